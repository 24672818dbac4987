"""What more can be known of a subject than the table `subjects` holds, and how it is read.

Each attribute is read by the ids in one column of `subjects`, and joined to it (candidates.py).
Marks are few and read as a whole: those of a chain are all that concern one of its answers, those
of a preference pair all that concern its two answers, those of a sample its own and those of its
pairs and sources.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Select,
    Text,
    and_,
    case,
    column,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    table,
    union_all,
)

from annoy_store.db.tables import (
    benchmark_overlaps,
    calls,
    clusters,
    hidden_subjects,
    io_pairs,
    origins,
    prompts,
    responses,
    sample_origins,
    samples,
    sources,
    takedowns,
    teachers,
    turn_pairs,
    turns,
)
from annoy_store.records.queries import current_pairs
from annoy_store.tasks import TASKS

# The samples that are under a takedown.
TAKEN_DOWN_SAMPLES = select(hidden_subjects.c.subject_id).where(hidden_subjects.c.kind == "sample")


@dataclass(frozen=True)
class Attribute:
    """Columns that can be joined to `subjects s`.

    Attributes:
        names: The columns, as filters and formats name them.
        query: SELECT of the rows; they become the DuckDB table `a_NAME`.
        columns: The columns in SQL, for the list of a SELECT.
        join: The SQL that joins `a_NAME` to `subjects s`, if anything does.
        key: The column of `subjects` whose ids are read; empty to read all rows.
        by: The column of `query` that those ids are compared with.
        aggregation: SQL over the rows read (`fetched`) that makes the table of them.
    """

    names: tuple[str, ...]
    query: Select[Any]
    columns: str
    join: str = ""
    key: str = ""
    by: ColumnElement[int] | None = None
    aggregation: str = "SELECT DISTINCT * FROM fetched"


ANSWER_SHOWN = "answer_shown"  # the status of a stable pair that its question tells
_annotations = table(
    "v_annotations",
    column("kind", Text),
    column("subject_id", BigInteger),
    column("mark", Text),
    column("value", Text),
)
_answer_marks = table(
    "v_answer_marks",
    column("chain_id", BigInteger),
    column("response_id", BigInteger),
    column("mark", Text),
    column("value", Text),
)
_pass_rates = table(
    "v_pass_rate",
    column("prompt_id", BigInteger),
    column("io_pair_id", BigInteger),
    column("answers", BigInteger),
    column("rate", Double),
)


def _origins() -> Select[Any]:
    """Every origin of every source of the samples; without a source, what the import said."""
    joined = sample_origins.outerjoin(sources, sources.c.id == sample_origins.c.source_id)
    return select(
        sample_origins.c.sample_id,
        sample_origins.c.source_id,
        origins.c.id.label("origin_id"),
        origins.c.digest,
        sources.c.language,
        origins.c.repo,
        origins.c.path,
        origins.c.licence,
        func.coalesce(origins.c.origin, sample_origins.c.origin).label("origin"),
        sample_origins.c.digest.label("sample_origin_digest"),
        case((sample_origins.c.metadata.is_not(None), sample_origins.c.id)).label("with_metadata"),
    ).select_from(
        joined.outerjoin(origins, and_(origins.c.source_id == sources.c.id, ~_is_taken_down()))
    )


def _is_taken_down() -> ColumnElement[bool]:
    """The origin is under a takedown: its licence and its place do not count."""
    same = (
        and_(takedowns.c.kind == kind, func.lower(takedowns.c.value) == func.lower(origins.c[kind]))
        for kind in ("origin", "repo", "licence")
    )
    return exists().where(takedowns.c.lifted_at.is_(None), or_(*same))


def _lengths() -> Select[Any]:
    """Length of the last conversation, prompt and answer, in characters."""
    joined = responses.join(calls, calls.c.id == responses.c.call_id)
    return select(
        responses.c.id, (responses.c.n_chars + prompts.c.n_chars).label("n_chars")
    ).select_from(joined.join(prompts, prompts.c.id == calls.c.prompt_id))


def _overlapping_samples() -> Select[Any]:
    """Samples that overlap with a benchmark, themselves or by the source that they came from."""
    own = select(benchmark_overlaps.c.subject_id.label("sample_id")).where(
        benchmark_overlaps.c.kind == "sample"
    )
    by_source = (
        select(sample_origins.c.sample_id)
        .join(benchmark_overlaps, benchmark_overlaps.c.subject_id == sample_origins.c.source_id)
        .where(benchmark_overlaps.c.kind == "source")
    )
    both = own.union(by_source).subquery()
    return select(both.c.sample_id)


def _marks() -> Select[Any]:
    """Marks with what they are marks of: a `chain`, an answer (`response`) or a `sample`."""
    of_answers, shown = _answer_marks.c, _annotations.c
    own = select(literal("sample", Text), shown.subject_id, shown.mark, shown.value)
    of_pair = select(literal("sample", Text), io_pairs.c.sample_id, shown.mark, shown.value)
    of_source = select(literal("sample", Text), sample_origins.c.sample_id, shown.mark, shown.value)
    made = sample_origins.c.source_id == shown.subject_id
    found = origins.join(_annotations, origins.c.id == shown.subject_id)
    every = union_all(
        select(literal("chain", Text), of_answers.chain_id, of_answers.mark, of_answers.value),
        select(
            literal("response", Text), of_answers.response_id, of_answers.mark, of_answers.value
        ),
        own.where(shown.kind == "sample"),
        of_pair.join(_annotations, io_pairs.c.id == shown.subject_id).where(
            shown.kind == "io_pair"
        ),
        of_source.join(_annotations, made).where(shown.kind == "source"),
        of_source.select_from(
            found.join(sample_origins, sample_origins.c.source_id == origins.c.source_id)
        ).where(shown.kind == "origin"),
    ).subquery("every_mark")
    of, key, mark, value = every.c
    return select(of.label("of_kind"), key.label("of_id"), mark.label("mark"), value.label("value"))


def _pair_statuses() -> Select[Any]:
    """The current check of every pair that a prompt was asked for, of all its turns.

    A stable pair whose answer stands in the question is `answer_shown`.
    """
    single = select(turns.c.prompt_id, turns.c.kind, turns.c.io_pair_id).where(
        turns.c.io_pair_id.is_not(None)
    )
    several = select(turns.c.prompt_id, turns.c.kind, turn_pairs.c.io_pair_id).join(
        turn_pairs, turn_pairs.c.turn_id == turns.c.id
    )
    asked = single.union_all(several).subquery("asked").c
    reveals = or_(
        false(),
        *(
            and_(asked.kind == task.name, current_pairs.c.shown.in_(task.revealing))
            for task in TASKS.values()
        ),
    )
    own = case(
        (and_(current_pairs.c.status == "stable", reveals), literal(ANSWER_SHOWN, Text)),
        else_=current_pairs.c.status,
    )
    status = select(own).where(current_pairs.c.id == asked.io_pair_id).correlate(asked.kind.table)
    checked = func.coalesce(status.scalar_subquery(), "unchecked")
    return select(asked.prompt_id, checked.label("status"))


_MARKED = """
LEFT JOIN (
    SELECT u.subject_id, bool_or(m.mark = 'flag') AS flagged,
           list_sort(list(DISTINCT m.value) FILTER (m.mark = 'tag')) AS tags
    FROM (SELECT subject_id, marked_as AS of_kind, subject_id AS of_id FROM subjects
          UNION ALL SELECT subject_id, marked_as, chosen_id FROM subjects) u
    JOIN a_marks m ON m.of_kind = u.of_kind AND m.of_id = u.of_id
    GROUP BY u.subject_id) marked ON marked.subject_id = s.subject_id
"""
PAIR_STATUSES = _pair_statuses()
ATTRIBUTES = {
    "teacher": Attribute(
        ("backend", "model"),
        select(teachers.c.id, teachers.c.backend, teachers.c.model),
        "teacher.backend, teacher.model",
        "LEFT JOIN a_teacher teacher ON teacher.id = s.teacher_id",
        key="teacher_id",
        by=teachers.c.id,
    ),
    "pair": Attribute(
        ("lines_executed",),
        select(current_pairs.c.id, current_pairs.c.lines_executed),
        "pair.lines_executed",
        "LEFT JOIN a_pair pair ON pair.id = s.io_pair_id",
        key="io_pair_id",
        by=current_pairs.c.id,
    ),
    # A question about several pairs holds while all of them do.
    "pair_status": Attribute(
        ("pair_status",),
        PAIR_STATUSES,
        "pairs.pair_status",
        "LEFT JOIN a_pair_status pairs ON pairs.prompt_id = s.prompt_id",
        key="prompt_id",
        by=PAIR_STATUSES.selected_columns.prompt_id,
        aggregation="""
        SELECT prompt_id, coalesce(min(status) FILTER (status <> 'stable'), 'stable') AS pair_status
        FROM fetched GROUP BY prompt_id
        """,
    ),
    "position": Attribute(
        ("position",),
        select(io_pairs.c.id, io_pairs.c.position),
        "place_.position",
        "LEFT JOIN a_position place_ ON place_.id = s.io_pair_id",
        key="io_pair_id",
        by=io_pairs.c.id,
    ),
    # Which pairs were stable in the snapshot: their texts are read after it.
    "held": Attribute(
        ("held",),
        select(current_pairs.c.sample_id, current_pairs.c.input_digest).where(
            current_pairs.c.status == "stable"
        ),
        "held.held",
        "LEFT JOIN a_held held ON held.sample_id = s.sample_id",
        key="sample_id",
        by=current_pairs.c.sample_id,
        aggregation="""
        SELECT sample_id, md5(string_agg(input_digest, ',' ORDER BY input_digest)) AS held
        FROM fetched GROUP BY sample_id
        """,
    ),
    "sample": Attribute(
        ("sample", "funcname"),
        select(samples.c.id, samples.c.digest, samples.c.funcname),
        "sample.digest AS sample, sample.funcname",
        "LEFT JOIN a_sample sample ON sample.id = s.sample_id",
        key="sample_id",
        by=samples.c.id,
    ),
    # The first origin by digest counts for all, one without a raw file last; the licences are
    # those of all; of imported files the first that has metadata.
    "origin": Attribute(
        (
            "source_id",
            "origin_id",
            "origin",
            "repo",
            "path",
            "licence",
            "licences",
            "language",
            "sample_origin_id",
        ),
        _origins(),
        "origin.* EXCLUDE (sample_id)",
        "LEFT JOIN a_origin origin ON origin.sample_id = s.sample_id",
        key="sample_id",
        by=sample_origins.c.sample_id,
        aggregation="""
        SELECT sample_id, unnest(arg_min({'source_id': source_id, 'origin_id': origin_id,
                   'origin': origin, 'repo': repo, 'path': path, 'licence': licence,
                   'language': language}, coalesce(digest, 'none'))),
               arg_min(with_metadata, sample_origin_digest)
                   FILTER (with_metadata IS NOT NULL) AS sample_origin_id,
               list_sort(list(DISTINCT lower(licence)) FILTER (licence IS NOT NULL)) AS licences
        FROM fetched GROUP BY sample_id
        """,
    ),
    "finish": Attribute(
        ("finish_reason",),
        select(responses.c.id, responses.c.finish_reason),
        "finish.finish_reason",
        "LEFT JOIN a_finish finish ON finish.id = s.last_response_id",
        key="last_response_id",
        by=responses.c.id,
    ),
    "chars": Attribute(
        ("n_chars",),
        _lengths(),
        "chars.n_chars",
        "LEFT JOIN a_chars chars ON chars.id = s.last_response_id",
        key="last_response_id",
        by=responses.c.id,
    ),
    "pass_rate": Attribute(
        ("pass_rate", "answers"),
        select(
            _pass_rates.c.prompt_id,
            _pass_rates.c.io_pair_id,
            _pass_rates.c.answers,
            _pass_rates.c.rate,
        ),
        "rate.rate AS pass_rate, rate.answers",
        "LEFT JOIN a_pass_rate rate ON rate.prompt_id = s.prompt_id "
        "AND rate.io_pair_id IS NOT DISTINCT FROM s.io_pair_id",
        key="prompt_id",
        by=_pass_rates.c.prompt_id,
    ),
    "hidden": Attribute(
        (),
        TAKEN_DOWN_SAMPLES,
        "s.sample_id IN (SELECT subject_id FROM a_hidden) AS hidden",
    ),
    "overlap": Attribute(
        ("overlapping",),
        _overlapping_samples(),
        "s.sample_id IN (SELECT sample_id FROM a_overlap) AS overlapping",
    ),
    "marks": Attribute(
        ("tags", "flagged"),
        _marks(),
        "coalesce(marked.tags, []) AS tags, coalesce(marked.flagged, false) AS flagged",
        _MARKED,
    ),
    "cluster": Attribute(
        ("cluster",),
        select(clusters.c.subject_id, clusters.c.cluster).where(clusters.c.kind == "sample"),
        "cluster.cluster",
        "LEFT JOIN a_cluster cluster ON cluster.subject_id = s.sample_id",
        key="sample_id",
        by=clusters.c.subject_id,
    ),
}


def referenced_attributes(sql: str) -> tuple[str, ...]:
    """Return the attributes whose columns `sql` names; one too many does no harm.

    Args:
        sql: An expression over `candidates`, or a list of columns.
    """
    words = set(re.findall(r"\w+", sql.lower()))
    return tuple(name for name, about in ATTRIBUTES.items() if words & set(about.names))
