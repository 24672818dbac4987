"""What can be listed, filtered and searched.

Decision: a listing is a SELECT over one table by falling id, with the joins that its columns
need; a filter names the column that it compares. Long texts are cut in SQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    func,
    select,
)

from annoy_store.analysis.task_titles import kind_titles
from annoy_store.db.states import ENDED_STATES
from annoy_store.db.tables import (
    STATUSES,
    jobs,
    origins,
    prompts,
    responses,
    sample_origins,
    samples,
    sources,
    teachers,
    turns,
    verdicts,
)
from annoy_store.records.queries import answered_turns, current_verdicts

GIST = 220


@dataclass(frozen=True)
class Filter:
    """A column that a page can be narrowed by; `choices` are its values, if they are few."""

    column: ColumnElement[Any]
    choices: Sequence[str] = ()


@dataclass(frozen=True)
class Listing:
    """A table to page through: its columns, its filters, and the texts that search looks at."""

    name: str
    kind: str
    key: Column[Any]
    joined: FromClause
    columns: Mapping[str, ColumnElement[Any]]
    filters: Mapping[str, Filter]
    searched: Sequence[ColumnElement[Any]]


def _gist(of: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.substr(of, 1, GIST)


_asked = answered_turns()
_answered = _asked.join(teachers, teachers.c.id == responses.c.teacher_id).join(
    current_verdicts, current_verdicts.c.response_id == responses.c.id, isouter=True
)
_judged = verdicts.join(responses, responses.c.id == verdicts.c.response_id)
_prompted = prompts.join(
    turns,
    turns.c.id
    == select(func.min(turns.c.id))
    .where(turns.c.prompt_id == prompts.c.id)
    .correlate(prompts)
    .scalar_subquery(),
    isouter=True,
)


def _first(of: Column[Any], where: ColumnElement[bool], *tables: Any) -> ColumnElement[Any]:
    return select(func.min(of)).where(where).correlate(*tables).scalar_subquery()


def _path(source: Column[Any], *tables: Any) -> ColumnElement[Any]:
    return _first(origins.c.path, origins.c.source_id == source, *tables)


def _job(name: str, stage: str, subject: Column[Any]) -> ColumnElement[Any]:
    """The state or reason of the newest job of a stage on a row."""
    return (
        select(jobs.c[name])
        .where(jobs.c.stage == stage, jobs.c.subject_id == subject)
        .order_by(jobs.c.variant_id.desc())
        .limit(1)
        .correlate(subject.table)
        .scalar_subquery()
    )


_NUMBERS = ("1", "2", "3")
_state = _job("state", "generate", samples.c.id)
LISTINGS = {
    listing.name: listing
    for listing in (
        Listing(
            "answers",
            "response",
            responses.c.id,
            _answered,
            {
                "question": turns.c.kind,
                "turn": turns.c.number,
                "status": current_verdicts.c.status,
                "mismatch": current_verdicts.c.mismatch,
                "model": teachers.c.model,
                "text": _gist(responses.c.text),
            },
            {
                "question": Filter(turns.c.kind, tuple(kind_titles())),
                "turn": Filter(turns.c.number, _NUMBERS),
                "status": Filter(current_verdicts.c.status, STATUSES),
                "mismatch": Filter(current_verdicts.c.mismatch),
                "model": Filter(teachers.c.model),
                "finish": Filter(responses.c.finish_reason),
            },
            (responses.c.text,),
        ),
        Listing(
            "verdicts",
            "verdict",
            verdicts.c.id,
            _judged,
            {
                "checker": verdicts.c.checker,
                "status": verdicts.c.status,
                "mismatch": verdicts.c.mismatch,
                "predicted": _gist(verdicts.c.predicted),
                "feedback": _gist(verdicts.c.feedback),
            },
            {
                "checker": Filter(verdicts.c.checker),
                "status": Filter(verdicts.c.status, STATUSES),
                "mismatch": Filter(verdicts.c.mismatch),
            },
            (verdicts.c.feedback, verdicts.c.predicted),
        ),
        Listing(
            "samples",
            "sample",
            samples.c.id,
            samples,
            {
                "state": _state,
                "reason": _job("reason", "generate", samples.c.id),
                "problem": _gist(samples.c.problem_statement),
                "path": _first(
                    origins.c.path,
                    (sample_origins.c.sample_id == samples.c.id)
                    & (origins.c.source_id == sample_origins.c.source_id),
                    samples,
                ),
            },
            {"state": Filter(_state, (*ENDED_STATES, "pending"))},
            (samples.c.problem_statement, samples.c.refcode),
        ),
        Listing(
            "prompts",
            "prompt",
            prompts.c.id,
            _prompted,
            {
                "question": turns.c.kind,
                "turn": turns.c.number,
                "characters": prompts.c.n_chars,
                "template": prompts.c.template,
                "messages": _gist(prompts.c.messages),
            },
            {
                "question": Filter(turns.c.kind, tuple(kind_titles())),
                "turn": Filter(turns.c.number, _NUMBERS),
                "template": Filter(prompts.c.template),
            },
            (prompts.c.messages,),
        ),
        Listing(
            "sources",
            "source",
            sources.c.id,
            sources,
            {
                "language": sources.c.language,
                "characters": sources.c.n_chars,
                "state": _job("state", "transform", sources.c.id),
                "path": _path(sources.c.id, sources),
                "content": _gist(sources.c.content),
            },
            {"language": Filter(sources.c.language)},
            (sources.c.content,),
        ),
    )
}
