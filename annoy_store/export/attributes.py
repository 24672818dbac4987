"""What more can be known of a subject: small tables fetched on demand, for the subjects still in.

Each attribute is fetched by the ids of one column of `subjects`, in pages, and joined to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    Select,
    and_,
    case,
    column,
    exists,
    func,
    or_,
    select,
    table,
)

from annoy_store.db.duckdb_session import chunks, id_column, load_table
from annoy_store.db.sql import in_values
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
)
from annoy_store.records.queries import current_pairs

Statement = Callable[[Connection, Sequence[int]], Select[Any]]


@dataclass(frozen=True)
class Attribute:
    """Columns `names`, joined to `subjects s`; `statement` fetches them for the ids in `key`."""

    names: tuple[str, ...]
    key: str
    statement: Statement
    columns: str
    join: str
    aggregation: str = ""


_pass_rates = table(
    "v_pass_rate",
    column("prompt_id", BigInteger),
    column("io_pair_id", BigInteger),
    column("answers", BigInteger),
    column("rate", Double),
)


def _by(key: ColumnElement[int], *columns: ColumnElement[Any]) -> Statement:
    """Columns of one table, found by its column `key`."""

    def statement(connection: Connection, ids: Sequence[int]) -> Select[Any]:
        return select(key, *columns).where(in_values(connection, key, ids))

    return statement


_teacher = _by(teachers.c.id, teachers.c.backend, teachers.c.model)
_pair = _by(current_pairs.c.id, current_pairs.c.status, current_pairs.c.lines_executed)
_pair_place = _by(io_pairs.c.id, io_pairs.c.position)
_sample = _by(samples.c.id, samples.c.digest, samples.c.funcname)
_finish = _by(responses.c.id, responses.c.finish_reason)
_pass_rate = _by(
    _pass_rates.c.prompt_id, _pass_rates.c.io_pair_id, _pass_rates.c.answers, _pass_rates.c.rate
)


def _origin(connection: Connection, ids: Sequence[int]) -> Select[Any]:
    """Every origin of every source of the samples; of those without a source, what was said."""
    joined = sample_origins.outerjoin(sources, sources.c.id == sample_origins.c.source_id)
    return (
        select(
            sample_origins.c.sample_id,
            sample_origins.c.source_id,
            origins.c.id.label("origin_id"),
            origins.c.digest,
            sources.c.language,
            origins.c.repo,
            origins.c.path,
            origins.c.licence,
            func.coalesce(origins.c.origin, sample_origins.c.origin).label("origin"),
            sample_origins.c.digest.label("named"),
            case((sample_origins.c.metadata.is_not(None), sample_origins.c.id)).label("tells"),
        )
        .select_from(
            joined.outerjoin(origins, and_(origins.c.source_id == sources.c.id, ~_taken_down()))
        )
        .where(in_values(connection, sample_origins.c.sample_id, ids))
    )


def _taken_down() -> ColumnElement[bool]:
    """An origin under a rule: what it says of licence and place does not count."""
    same = (
        and_(takedowns.c.kind == kind, func.lower(takedowns.c.value) == func.lower(origins.c[kind]))
        for kind in ("origin", "repo", "licence")
    )
    return exists().where(takedowns.c.lifted_at.is_(None), or_(*same))


def _chars(connection: Connection, ids: Sequence[int]) -> Select[Any]:
    """Length of the last conversation, prompt and answer."""
    joined = responses.join(calls, calls.c.id == responses.c.call_id)
    return (
        select(responses.c.id, (responses.c.n_chars + prompts.c.n_chars).label("n_chars"))
        .select_from(joined.join(prompts, prompts.c.id == calls.c.prompt_id))
        .where(in_values(connection, responses.c.id, ids))
    )


def _hidden(connection: Connection, ids: Sequence[int]) -> Select[Any]:
    return select(hidden_subjects.c.subject_id).where(hidden_subjects.c.kind == "sample")


def _overlap(connection: Connection, ids: Sequence[int]) -> Select[Any]:
    """Overlaps of the samples themselves and of the sources that they came from."""
    own = select(benchmark_overlaps.c.subject_id.label("sample_id")).where(
        benchmark_overlaps.c.kind == "sample"
    )
    raw = (
        select(sample_origins.c.sample_id)
        .join(benchmark_overlaps, benchmark_overlaps.c.subject_id == sample_origins.c.source_id)
        .where(benchmark_overlaps.c.kind == "source")
    )
    both = own.union(raw).subquery()
    return select(both.c.sample_id)


def _cluster(connection: Connection, ids: Sequence[int]) -> Select[Any]:
    chosen = select(clusters.c.subject_id, clusters.c.cluster).where(clusters.c.kind == "sample")
    return chosen.where(in_values(connection, clusters.c.subject_id, ids))


def _held(connection: Connection, ids: Sequence[int]) -> Select[Any]:
    chosen = select(current_pairs.c.sample_id, current_pairs.c.input_digest)
    stable = current_pairs.c.status == "stable"
    return chosen.where(in_values(connection, current_pairs.c.sample_id, ids), stable)


ATTRIBUTES = {
    "teacher": Attribute(
        ("backend", "model"),
        "teacher_id",
        _teacher,
        "teacher.backend, teacher.model",
        "LEFT JOIN a_teacher teacher ON teacher.id = s.teacher_id",
    ),
    "pair": Attribute(
        ("lines_executed",),
        "io_pair_id",
        _pair,
        "pair.lines_executed",
        "LEFT JOIN a_pair pair ON pair.id = s.io_pair_id",
    ),
    "position": Attribute(
        ("position",),
        "io_pair_id",
        _pair_place,
        "place_.position",
        "LEFT JOIN a_position place_ ON place_.id = s.io_pair_id",
    ),
    "held": Attribute(
        ("held",),
        "sample_id",
        _held,
        "held.held",
        "LEFT JOIN a_held held ON held.sample_id = s.sample_id",
        # Which pairs held in the snapshot: their texts are read after it.
        """
        SELECT sample_id, md5(string_agg(input_digest, ',' ORDER BY input_digest)) AS held
        FROM fetched GROUP BY sample_id
        """,
    ),
    "sample": Attribute(
        ("sample", "funcname"),
        "sample_id",
        _sample,
        "sample.digest AS sample, sample.funcname",
        "LEFT JOIN a_sample sample ON sample.id = s.sample_id",
    ),
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
        "sample_id",
        _origin,
        "origin.* EXCLUDE (sample_id)",
        "LEFT JOIN a_origin origin ON origin.sample_id = s.sample_id",
        # The first origin by digest speaks for the others, one without a raw file last of all;
        # licences are all of them; of imported files the first that tells more.
        """
        SELECT sample_id, unnest(arg_min({'source_id': source_id, 'origin_id': origin_id,
                   'origin': origin, 'repo': repo, 'path': path, 'licence': licence,
                   'language': language}, coalesce(digest, 'none'))),
               arg_min(tells, named) FILTER (tells IS NOT NULL) AS sample_origin_id,
               list_sort(list(DISTINCT lower(licence)) FILTER (licence IS NOT NULL)) AS licences
        FROM fetched GROUP BY sample_id
        """,
    ),
    "finish": Attribute(
        ("finish_reason",),
        "last_response_id",
        _finish,
        "finish.finish_reason",
        "LEFT JOIN a_finish finish ON finish.id = s.last_response_id",
    ),
    "chars": Attribute(
        ("n_chars",),
        "last_response_id",
        _chars,
        "chars.n_chars",
        "LEFT JOIN a_chars chars ON chars.id = s.last_response_id",
    ),
    "pass_rate": Attribute(
        ("pass_rate", "answers"),
        "prompt_id",
        _pass_rate,
        "rate.rate AS pass_rate, rate.answers",
        "LEFT JOIN a_pass_rate rate ON rate.prompt_id = s.prompt_id "
        "AND rate.io_pair_id = s.io_pair_id",
    ),
    "hidden": Attribute(
        (),
        "",
        _hidden,
        "s.sample_id IN (SELECT subject_id FROM a_hidden) AS hidden",
        "",
    ),
    "overlap": Attribute(
        ("overlapping",),
        "",
        _overlap,
        "s.sample_id IN (SELECT sample_id FROM a_overlap) AS overlapping",
        "",
    ),
    "cluster": Attribute(
        ("cluster",),
        "sample_id",
        _cluster,
        "cluster.cluster",
        "LEFT JOIN a_cluster cluster ON cluster.subject_id = s.sample_id",
    ),
}


def referenced_attributes(sql: str) -> tuple[str, ...]:
    """Return the attributes whose columns `sql` names; one too many does no harm."""
    words = set(re.findall(r"\w+", sql.lower()))
    return tuple(name for name, about in ATTRIBUTES.items() if words & set(about.names))


def fetch_attributes(
    duck: duckdb.DuckDBPyConnection, connection: Connection, names: Iterable[str]
) -> set[str]:
    """Fetch attributes of the subjects that are still in; return their names."""
    fetched = set()
    for name in names:
        about = ATTRIBUTES[name]
        wanted = f"SELECT DISTINCT {about.key} FROM subjects WHERE removed IS NULL"
        ids = id_column(duck, wanted) if about.key else []
        load_table(
            duck, "fetched", connection, *(about.statement(connection, p) for p in chunks(ids))
        )
        shape = about.aggregation or "SELECT DISTINCT * FROM fetched"
        duck.execute(f"CREATE TABLE a_{name} AS {shape}")
        duck.execute("DROP TABLE fetched")
        fetched.add(name)
    return fetched
