"""What chains there are and how each went: narrow rows of the store, joined in DuckDB.

Decisions
- The store joins turns to calls, answers and verdicts along its indexes and streams ids and
  words, no texts; DuckDB makes chains of them, of any number of turns.
- A chain is named by content: its turn, its sample number and the teacher it was pinned to. So
  two stores fed the same put it in the same place (`place`) and give it the same `state`, a
  digest that changes when it is judged otherwise.
- A chain is closed when its last answer is correct, when no further turn is allowed, or when the
  next step ended badly: then nothing more will happen to it unless someone asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import duckdb
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    column,
    select,
    table,
)

from annoy_store.database import among
from annoy_store.duck import pour
from annoy_store.tables import (
    calls,
    io_pairs,
    jobs,
    responses,
    samples,
    teachers,
    turns,
    variants,
    verdicts,
)

Within = Callable[[ColumnElement[int]], ColumnElement[bool]]
_ENDED_BADLY = jobs.c.state.in_(["rejected", "failed"])


def first_answers(within: Within | None = None) -> Select[Any]:
    """Every answer to a first prediction turn with its verdicts; `within` narrows its id."""
    chosen = (
        select(
            responses.c.id.label("chain_id"),
            turns.c.id.label("turn_id"),
            turns.c.digest,
            turns.c.kind,
            turns.c.io_pair_id,
            io_pairs.c.sample_id,
            turns.c.prompt_id,
            calls.c.sample_no,
            calls.c.pinned_teacher_id,
            responses.c.teacher_id,
            responses.c.finish_reason,
            *_verdict(),
        )
        .select_from(
            turns.join(calls, calls.c.prompt_id == turns.c.prompt_id)
            .join(responses, responses.c.call_id == calls.c.id)
            .join(io_pairs, io_pairs.c.id == turns.c.io_pair_id)
            .outerjoin(verdicts, verdicts.c.response_id == responses.c.id)
        )
        .where(turns.c.number == 1, turns.c.io_pair_id.is_not(None))
    )
    return chosen if within is None else chosen.where(within(responses.c.id))


def later_answers(within: Within | None = None) -> Select[Any]:
    """Every revision that was asked for, with its answers and verdicts where there are any."""
    chosen = (
        select(
            turns.c.chain_response_id.label("chain_id"),
            turns.c.id.label("turn_id"),
            turns.c.number,
            turns.c.io_pair_id,
            turns.c.prompt_id,
            calls.c.sample_no,
            calls.c.pinned_teacher_id,
            responses.c.id.label("response_id"),
            responses.c.finish_reason,
            *_verdict(),
        )
        .select_from(
            turns.join(calls, calls.c.prompt_id == turns.c.prompt_id)
            .outerjoin(responses, responses.c.call_id == calls.c.id)
            .outerjoin(verdicts, verdicts.c.response_id == responses.c.id)
        )
        .where(turns.c.number > 1, turns.c.chain_response_id.is_not(None))
    )
    return chosen if within is None else chosen.where(within(turns.c.chain_response_id))


def _verdict() -> list[ColumnElement[Any]]:
    return [verdicts.c.id.label("verdict_id"), verdicts.c.status, verdicts.c.variant_id]


def ended() -> Select[Any]:
    """What gave up or was refused, so that a chain goes no further: revisions, verdicts, turns."""
    stuck = jobs.c.stage.in_(["revise", "verify", "complete"])
    return select(jobs.c.stage, jobs.c.subject_id, calls.c.prompt_id).select_from(
        jobs.outerjoin(calls, (jobs.c.stage == "complete") & (calls.c.id == jobs.c.subject_id))
    ).where(stuck, _ENDED_BADLY)  # fmt: skip


def gather(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    max_turns: int,
    within: Within | None = None,
) -> int:
    """Make the table `subjects` in DuckDB, a row per first answer; return the most turns of one.

    Columns: subject_id (the first answer), sample_id, io_pair_id, kind, sample_no, teacher_id, prompt_id (first),
    last_prompt_id, last_response_id, turns, response_N_id, verdict_N_id, status_N, last_status,
    finish_reason, closed, removed (null as yet), place (its order), state (32 hex digits).
    """
    pour(duck, "variants", connection, select(variants.c.id, variants.c.stage, variants.c.active))
    pour(duck, "teachers", connection, select(teachers.c.id, teachers.c.digest))
    pour(duck, "ended", connection, ended())
    pour(duck, "firsts", connection, first_answers(within))
    pour(duck, "laters", connection, later_answers(within))
    duck.execute(_judged("first_answers", "firsts", "chain_id, turn_id"))
    duck.execute(_judged("second_answers", "laters", "turn_id, response_id"))
    duck.execute(_LATER)
    most = duck.execute("SELECT coalesce(max(asked), 1) FROM later").fetchall()[0][0]
    most = max(2, int(most))
    duck.execute(_chains(most, max_turns))
    for name in ("firsts", "laters", "first_answers", "second_answers", "later"):
        duck.execute(f"DROP TABLE {name}")
    return most


def _judged(name: str, table: str, key: str) -> str:
    """One verdict per answer: the active checker's, else the newest (as v_current_verdicts)."""
    return f"""
    CREATE TABLE {name} AS
    SELECT a.* EXCLUDE (verdict_id, status, variant_id),
           CASE WHEN v.stage = 'verify' THEN a.verdict_id END AS verdict_id,
           CASE WHEN v.stage = 'verify' THEN a.status END AS status
    FROM {table} a LEFT JOIN variants v ON v.id = a.variant_id
    QUALIFY row_number() OVER (
        PARTITION BY {key} ORDER BY v.stage = 'verify' DESC, v.active DESC, v.id DESC) = 1
    """


# A revision that was asked again counts by its last answer; with none at all it is unanswered.
_LATER = """
CREATE TABLE later AS
WITH one AS (
    SELECT * FROM second_answers QUALIFY row_number() OVER (
        PARTITION BY chain_id, number
        ORDER BY response_id IS NULL, sample_no DESC, pinned_teacher_id DESC) = 1)
SELECT chain_id, max(number) AS asked,
       list({'number': number, 'response_id': response_id, 'verdict_id': verdict_id,
             'status': status, 'prompt_id': prompt_id, 'finish_reason': finish_reason}
            ORDER BY number) FILTER (response_id IS NOT NULL) AS answers,
       bool_or(response_id IS NULL AND prompt_id IN (
           SELECT prompt_id FROM ended WHERE stage = 'complete')) AS stuck
FROM one GROUP BY chain_id
"""


def _chains(most: int, max_turns: int) -> str:
    """Answers become chains; of two turns with one answer the one of the smaller digest has it."""
    each = [
        f"answers[{n}].{column} AS {name.format(n)}"
        for n in range(1, most + 1)
        for column, name in (
            ("response_id", "response_{}_id"),
            ("verdict_id", "verdict_{}_id"),
            ("status", "status_{}"),
        )
    ]
    return f"""
    CREATE TABLE subjects AS
    WITH joined AS (
        SELECT f.*, l.asked, l.stuck, t.digest AS pinned,
               [{{'number': 1::BIGINT, 'response_id': f.chain_id, 'verdict_id': f.verdict_id,
                  'status': f.status, 'prompt_id': f.prompt_id,
                  'finish_reason': f.finish_reason}}] || coalesce(l.answers, []) AS answers
        FROM first_answers f
        LEFT JOIN later l ON l.chain_id = f.chain_id
        LEFT JOIN teachers t ON t.id = f.pinned_teacher_id
        QUALIFY row_number() OVER (PARTITION BY f.chain_id ORDER BY f.digest) = 1),
    ends AS (SELECT *, answers[-1] AS last FROM joined)
    SELECT chain_id AS subject_id, sample_id, io_pair_id, kind, sample_no, teacher_id, prompt_id,
           last.prompt_id AS last_prompt_id, last.response_id AS last_response_id,
           last.number AS turns, last.status AS last_status, last.finish_reason, {", ".join(each)},
           CASE WHEN asked > last.number AND NOT stuck THEN false
                ELSE coalesce(
                     last.status = 'correct'
                     OR (last.status IS NOT NULL AND last.number >= {max_turns}) OR stuck
                     OR last.verdict_id IN (SELECT subject_id FROM ended WHERE stage = 'revise')
                     OR last.response_id IN (SELECT subject_id FROM ended WHERE stage = 'verify'),
                     false)
           END AS closed, NULL::VARCHAR AS removed,
           md5_number(concat_ws('/', digest, sample_no, pinned)) AS place,
           left(sha256(concat_ws('/', 'chain', digest, sample_no, pinned,
                array_to_string([coalesce(a.status, '?') FOR a IN answers], ','))), 32) AS state
    FROM ends
    """


# Samples -------------------------------------------------------------------------------------

_current_pairs = table(
    "v_current_pairs", column("sample_id", BigInteger), column("position", BigInteger),
    column("input_digest", Text), column("status", Text), column("input", Text),
    column("output", Text),
)  # fmt: skip


def stable_pairs(connection: Connection, sample_ids: Sequence[int]) -> Select[Any]:
    """Sample id, input and output of the pairs that hold, sample by sample in their order."""
    pairs = _current_pairs.c
    return (
        select(pairs.sample_id, pairs.input, pairs.output)
        .where(among(connection, pairs.sample_id, sample_ids), pairs.status == "stable")
        .order_by(pairs.sample_id, pairs.position, pairs.input_digest)
    )


def gather_samples(duck: duckdb.DuckDBPyConnection, connection: Connection) -> None:
    """Make the table `subjects` in DuckDB, a row per sample; closed when it has a stable pair."""
    pairs = _current_pairs.c
    pour(duck, "samples", connection, select(samples.c.id, samples.c.digest))
    held = select(pairs.sample_id, pairs.input_digest).where(pairs.status == "stable")
    pour(duck, "pairs", connection, held)
    duck.execute("""
    CREATE TABLE subjects AS
    WITH held AS (SELECT sample_id, string_agg(input_digest, ',' ORDER BY input_digest) AS inputs
                  FROM pairs GROUP BY sample_id)
    SELECT s.id AS subject_id, s.id AS sample_id, h.inputs IS NOT NULL AS closed,
           NULL::VARCHAR AS removed, md5_number(s.digest) AS place,
           left(sha256(concat_ws('/', 'sample', s.digest, h.inputs)), 32) AS state
    FROM samples s LEFT JOIN held h ON h.sample_id = s.id
    """)
    duck.execute("DROP TABLE pairs; DROP TABLE samples")
