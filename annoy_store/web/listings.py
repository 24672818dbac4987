"""The lists of rows that can be paged, filtered and searched.

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

from annoy_store.analysis.task_titles import question_titles
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

PREVIEW_CHARS = 220


@dataclass(frozen=True)
class Filter:
    """A filter of a listing.

    Attributes:
        column: The column that is compared.
        choices: Its values if they are few, else empty.
    """

    column: ColumnElement[Any]
    choices: Sequence[str] = ()


@dataclass(frozen=True)
class Listing:
    """A list of rows.

    Attributes:
        name: Name of the list, and its address.
        kind: Kind of its rows, as in `lineage_edges.KINDS`.
        key: Their id.
        joined: The table with the joins that columns and filters need.
        columns: Columns that are shown, by name.
        filters: Filters by name.
        search_columns: Columns that a search compares.
    """

    name: str
    kind: str
    key: Column[Any]
    joined: FromClause
    columns: Mapping[str, ColumnElement[Any]]
    filters: Mapping[str, Filter]
    search_columns: Sequence[ColumnElement[Any]]


def _preview(of: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.substr(of, 1, PREVIEW_CHARS)


_answers = (
    answered_turns()
    .join(teachers, teachers.c.id == responses.c.teacher_id)
    .join(current_verdicts, current_verdicts.c.response_id == responses.c.id, isouter=True)
)
_verdicts = verdicts.join(responses, responses.c.id == verdicts.c.response_id)
_prompts = prompts.join(
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
    """Select the state or reason of the newest job of a stage about a row."""
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
            _answers,
            {
                "question": turns.c.kind,
                "turn": turns.c.number,
                "status": current_verdicts.c.status,
                "mismatch": current_verdicts.c.mismatch,
                "model": teachers.c.model,
                "text": _preview(responses.c.text),
            },
            {
                "question": Filter(turns.c.kind, tuple(question_titles())),
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
            _verdicts,
            {
                "checker": verdicts.c.checker,
                "status": verdicts.c.status,
                "mismatch": verdicts.c.mismatch,
                "predicted": _preview(verdicts.c.predicted),
                "feedback": _preview(verdicts.c.feedback),
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
                "problem": _preview(samples.c.problem_statement),
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
            _prompts,
            {
                "question": turns.c.kind,
                "turn": turns.c.number,
                "characters": prompts.c.n_chars,
                "template": prompts.c.template,
                "messages": _preview(prompts.c.messages),
            },
            {
                "question": Filter(turns.c.kind, tuple(question_titles())),
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
                "content": _preview(sources.c.content),
            },
            {"language": Filter(sources.c.language)},
            (sources.c.content,),
        ),
    )
}
