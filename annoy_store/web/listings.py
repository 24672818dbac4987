"""The lists of rows that can be paged, filtered and searched.

Decision: a listing is a SELECT over one table by falling id, with the joins that its columns
need; a filter names the column that it compares. Long texts are cut in SQL; of an answer the end is
shown, where its result is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Double,
    FromClause,
    Integer,
    case,
    func,
    literal_column,
    select,
)

from annoy_store.analysis.task_titles import question_titles
from annoy_store.db.cost import ATTEMPT_COST
from annoy_store.db.states import ENDED_STATES
from annoy_store.db.tables import (
    STATUSES,
    attempts,
    io_pairs,
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
END_CHARS = 90  # fit a cell, which shows three lines


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
        sortable: Names of the columns that the list can be sorted by; the snapshot has them.
    """

    name: str
    kind: str
    key: Column[Any]
    joined: FromClause
    columns: Mapping[str, ColumnElement[Any]]
    filters: Mapping[str, Filter]
    search_columns: Sequence[ColumnElement[Any]]
    sortable: Sequence[str] = ()


def _preview(of: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.substr(of, 1, PREVIEW_CHARS)


def _end(of: ColumnElement[Any]) -> ColumnElement[Any]:
    """Cut a text to its last characters."""
    n = func.length(of, type_=Integer())
    start = case((n > END_CHARS, n - (END_CHARS - 1)), else_=1)
    return func.substr(of, start)


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


def _of_call(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Select a value of the attempt that gave an answer."""
    return (
        select(func.max(value))
        .where(attempts.c.call_id == responses.c.call_id, attempts.c.status == "ok")
        .correlate(responses)
        .scalar_subquery()
    )


def _verdict_text(of: Column[Any]) -> ColumnElement[Any]:
    chosen = select(of).where(verdicts.c.id == current_verdicts.c.id)
    return _preview(chosen.correlate(current_verdicts).scalar_subquery())


_cost: ColumnElement[Any] = literal_column(
    f"""(SELECT MAX({ATTEMPT_COST}) FROM attempts a JOIN teachers b ON b.id = a.teacher_id
        LEFT JOIN prices p ON p.model = b.model AND p.from_time = (
            SELECT MAX(q.from_time) FROM prices q
            WHERE q.model = b.model AND q.from_time <= a.started_at)
        WHERE a.call_id = responses.call_id AND a.status = 'ok')""",
    Double(),
)
_expected = (
    select(_preview(io_pairs.c.output))
    .where(io_pairs.c.id == turns.c.io_pair_id)
    .correlate(turns)
    .scalar_subquery()
)
_NUMBERS = ("1", "2", "3")
_state = _job("state", "generate", samples.c.id)
_reason = _job("reason", "generate", samples.c.id)
_n_pairs = (
    select(func.count())
    .select_from(io_pairs)
    .where(io_pairs.c.sample_id == samples.c.id)
    .correlate(samples)
    .scalar_subquery()
)
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
                "predicted": _verdict_text(verdicts.c.predicted),
                "expected": _expected,
                "tokens": _of_call(attempts.c.completion_tokens),
                "latency": _of_call(attempts.c.latency_ms),
                "cost": _cost,
                "model": teachers.c.model,
                "text": _end(responses.c.text),
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
            ("question", "turn", "status", "mismatch", "tokens", "latency", "model"),
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
                "actual output": _preview(verdicts.c.got),
                "feedback": _preview(verdicts.c.feedback),
            },
            {
                "checker": Filter(verdicts.c.checker),
                "status": Filter(verdicts.c.status, STATUSES),
                "mismatch": Filter(verdicts.c.mismatch),
            },
            (verdicts.c.feedback, verdicts.c.predicted),
            ("checker", "status", "mismatch"),
        ),
        Listing(
            "samples",
            "sample",
            samples.c.id,
            samples,
            {
                "state": _state,
                "reason": _reason,
                "pairs": _n_pairs,
                "problem": _preview(samples.c.problem_statement),
                "path": _first(
                    origins.c.path,
                    (sample_origins.c.sample_id == samples.c.id)
                    & (origins.c.source_id == sample_origins.c.source_id),
                    samples,
                ),
            },
            {"state": Filter(_state, (*ENDED_STATES, "pending")), "reason": Filter(_reason)},
            (samples.c.problem_statement, samples.c.refcode),
            ("state", "reason", "pairs"),
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
                "messages": _end(prompts.c.messages),
            },
            {
                "question": Filter(turns.c.kind, tuple(question_titles())),
                "turn": Filter(turns.c.number, _NUMBERS),
                "template": Filter(prompts.c.template),
            },
            (prompts.c.messages,),
            ("question", "turn", "characters", "template"),
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
            {
                "language": Filter(sources.c.language),
                "state": Filter(
                    _job("state", "transform", sources.c.id), (*ENDED_STATES, "pending")
                ),
            },
            (sources.c.content,),
            ("language", "characters", "state"),
        ),
    )
}
