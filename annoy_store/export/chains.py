"""What chains there are and how each went: narrow rows of the store, joined in DuckDB.

Decisions
- The store joins turns to calls, answers and verdicts along its indexes and streams ids and
  statuses, no texts; DuckDB makes chains of them, of any number of turns.
- A chain has one answer per turn. Further answers to a later turn are not chains of their own: they
  stand beside the one that counts in preference pairs (answers.py).
- A chain is identified by content: its turn, its sample number and the teacher it was pinned to.
  So two stores with the same content give it the same position (`place`) and the same `state`, a
  digest that changes with its verdicts.
- A chain is closed when its last answer is correct, when no further turn is allowed, or when the
  next step ended badly: then nothing more will happen to it unless a user asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
from sqlalchemy import ColumnElement, Connection, Select, not_, or_, select

from annoy_store.db.duckdb_session import load_table
from annoy_store.db.sql import in_values
from annoy_store.db.states import FAILED_STATES
from annoy_store.db.tables import (
    calls,
    export_rows,
    jobs,
    responses,
    teachers,
    turns,
    verdicts,
)
from annoy_store.export.current_verdicts import VERDICT_COLUMNS, keep_current_verdicts

ChainCondition = Callable[[ColumnElement[int]], ColumnElement[bool]]
_IS_FAILED = jobs.c.state.in_(FAILED_STATES)


@dataclass(frozen=True)
class ChainScope:
    """Which chains are read.

    Attributes:
        parent_ids: The exports that hold the chains which need not be read; empty to read all.
        changed: The chains of those exports that are read all the same; None to read all.
    """

    parent_ids: Sequence[int] = ()
    changed: Sequence[int] | None = None

    def condition(self, connection: Connection) -> ChainCondition | None:
        """Return the condition on the id of a chain; None to read all.

        Args:
            connection: The snapshot of the store.
        """
        if not self.parent_ids or self.changed is None:
            return None
        changed = self.changed

        def is_wanted(chain_id: ColumnElement[int]) -> ColumnElement[bool]:
            published = select(export_rows.c.id).where(
                export_rows.c.chain_id == chain_id, export_rows.c.export_id.in_(self.parent_ids)
            )
            is_new = not_(published.correlate_except(export_rows).exists())
            return or_(is_new, in_values(connection, chain_id, changed)) if changed else is_new

        return is_wanted


def first_answers(within: ChainCondition | None = None) -> Select[Any]:
    """Return the SELECT of every answer to a first prediction turn with its verdicts.

    Args:
        within: Narrows the id of the answer.
    """
    chosen = (
        select(
            responses.c.id.label("chain_id"),
            turns.c.digest,
            turns.c.kind,
            turns.c.io_pair_id,
            turns.c.sample_id,
            turns.c.prompt_id,
            calls.c.sample_no,
            calls.c.pinned_teacher_id,
            responses.c.teacher_id,
            *VERDICT_COLUMNS,
        )
        .select_from(
            turns.join(calls, calls.c.prompt_id == turns.c.prompt_id)
            .join(responses, responses.c.call_id == calls.c.id)
            .outerjoin(verdicts, verdicts.c.response_id == responses.c.id)
        )
        .where(turns.c.number == 1, turns.c.sample_id.is_not(None))
    )
    return chosen if within is None else chosen.where(within(responses.c.id))


def later_answers(within: ChainCondition | None = None) -> Select[Any]:
    """Return the SELECT of every revision, with its answers and verdicts where there are any.

    Args:
        within: Narrows the id of the chain.
    """
    chosen = (
        select(
            turns.c.chain_response_id.label("chain_id"),
            turns.c.id.label("turn_id"),
            turns.c.number,
            turns.c.prompt_id,
            calls.c.sample_no,
            calls.c.pinned_teacher_id,
            turns.c.revises_response_id,
            responses.c.id.label("response_id"),
            responses.c.teacher_id,
            *VERDICT_COLUMNS,
        )
        .select_from(
            turns.join(calls, calls.c.prompt_id == turns.c.prompt_id)
            .outerjoin(responses, responses.c.call_id == calls.c.id)
            .outerjoin(verdicts, verdicts.c.response_id == responses.c.id)
        )
        .where(turns.c.number > 1, turns.c.chain_response_id.is_not(None))
    )
    return chosen if within is None else chosen.where(within(turns.c.chain_response_id))


def ended_jobs() -> Select[Any]:
    """Return the SELECT of jobs that ended badly, so that a chain goes no further."""
    stuck = jobs.c.stage.in_(["revise", "verify", "complete"])
    return (
        select(jobs.c.stage, jobs.c.subject_id, calls.c.prompt_id)
        .select_from(
            jobs.outerjoin(calls, (jobs.c.stage == "complete") & (calls.c.id == jobs.c.subject_id))
        )
        .where(stuck, _IS_FAILED)
    )


def load_chains(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    max_turns: int,
    scope: ChainScope,
    judged_by: int | None = None,
) -> int:
    """Make the table `subjects` in DuckDB, a row per first answer.

    Columns: subject_id (the first answer), sample_id, io_pair_id, kind, sample_no, teacher_id,
    prompt_id (first), last_prompt_id, last_response_id, turns, last_status, teachers, closed,
    response_N_id, verdict_N_id, status_N, removed (null as yet), place (its order), state.

    Args:
        duck: DuckDB without such a table.
        connection: The snapshot of the store.
        max_turns: The most turns that the policy allows.
        scope: Which chains are read.
        judged_by: Id of the variant of `verify` whose verdicts count before all others.

    Returns:
        The most turns of a chain, at least 2.

    Raises:
        UsageError: If `judged_by` is not such a variant.
    """
    within = scope.condition(connection)
    load_table(duck, "teachers", connection, select(teachers))
    duck.execute(NAMED_TEACHERS)
    load_table(duck, "ended", connection, ended_jobs())
    load_table(duck, "firsts", connection, first_answers(within))
    load_table(duck, "laters", connection, later_answers(within))
    keys = {"firsts": ("chain_id", "digest"), "laters": ("turn_id, response_id", "")}
    keep_current_verdicts(duck, connection, judged_by, keys)
    most = _later_turns(duck)
    duck.execute(_chains(most, max_turns))
    for n in range(2, most + 1):
        duck.execute(f"DROP TABLE turn_{n}")
    duck.execute(_DROP)
    return most


# A teacher by the name that a reader knows it by; other sampling parameters do not make it another.
NAMED_TEACHERS = """
CREATE VIEW named AS SELECT id, digest, coalesce(nullif(model, ''), backend) AS teacher FROM teachers
"""
_DROP = "DROP TABLE firsts_once; DROP TABLE laters_once"


def _later_turns(duck: duckdb.DuckDBPyConnection) -> int:
    """Make a table `turn_N` per later turn, a row per chain; return the most turns, at least 2.

    Of several answers to one turn the one that the next turn revises counts, else the first; with
    none at all the turn is unanswered.
    """
    most = duck.execute("SELECT greatest(2, max(number)) FROM laters_once").fetchall()[0][0] or 2
    stuck = "response_id IS NULL AND prompt_id IN (SELECT prompt_id FROM ended)"
    revised = "SELECT revises_response_id FROM laters_once WHERE revises_response_id IS NOT NULL"
    order = f"response_id IS NULL, coalesce(response_id IN ({revised}), false) DESC"
    best = f"PARTITION BY chain_id ORDER BY {order}, sample_no, pinned_teacher_id, turn_id"
    for n in range(2, int(most) + 1):
        follows = "true"  # what it revises is the answer that counts
        if n > 2:
            before = f"SELECT response_id FROM turn_{n - 1} WHERE response_id IS NOT NULL"
            follows = f"(revises_response_id IS NULL OR revises_response_id IN ({before}))"
        duck.execute(f"""
        CREATE TABLE turn_{n} AS
        SELECT l.* EXCLUDE (number), u.teacher, {stuck} AS stuck
        FROM laters_once l LEFT JOIN named u ON u.id = l.teacher_id
        WHERE number = {n} AND {follows}
        QUALIFY row_number() OVER ({best}) = 1
        """)
    return int(most)


def _chains(most: int, max_turns: int) -> str:
    """SQL that makes a row per chain, with the columns of all its turns side by side."""
    later = range(2, most + 1)
    joins = " ".join(f"LEFT JOIN turn_{n} t{n} ON t{n}.chain_id = f.chain_id" for n in later)
    each = ", ".join(
        f"t{n}.response_id AS response_{n}_id, t{n}.verdict_id AS verdict_{n}_id, "
        f"t{n}.status AS status_{n}"
        for n in later
    )
    number = "".join(f"WHEN t{n}.response_id IS NOT NULL THEN {n} " for n in reversed(later))
    asked = "".join(f"WHEN t{n}.prompt_id IS NOT NULL THEN {n} " for n in reversed(later))
    by = ", ".join(["first.teacher", *(f"t{n}.teacher" for n in later)])
    stuck = " OR ".join(f"coalesce(t{n}.stuck, false)" for n in later)
    return f"""
    CREATE TABLE subjects AS
    WITH joined AS (
        SELECT f.*, f.chain_id AS response_1_id, f.verdict_id AS verdict_1_id,
               f.status AS status_1, {each}, CASE {number} ELSE 1 END AS turns,
               CASE {asked} ELSE 1 END AS asked, {stuck} AS stuck, pinned.digest AS pinned,
               {_last("prompt_id", later)} AS last_prompt_id,
               {_last("response_id", later, "chain_id")} AS last_response_id,
               {_last("verdict_id", later)} AS last_verdict_id,
               {_last("status", later)} AS last_status,
               list_sort(list_distinct([{by}])) AS teachers
        FROM firsts_once f {joins} LEFT JOIN named first ON first.id = f.teacher_id
        LEFT JOIN teachers pinned ON pinned.id = f.pinned_teacher_id)
    SELECT chain_id AS subject_id, sample_id, io_pair_id, kind, sample_no, teacher_id, prompt_id,
           last_prompt_id, last_response_id, turns, last_status, teachers,
           {", ".join(f"response_{n}_id, verdict_{n}_id, status_{n}" for n in (1, *later))},
           CASE WHEN asked > turns AND NOT stuck THEN false
                ELSE coalesce(
                     last_status = 'correct'
                     OR (last_status IS NOT NULL AND turns >= {max_turns}) OR stuck
                     OR last_verdict_id IN (SELECT subject_id FROM ended WHERE stage = 'revise')
                     OR last_response_id IN (SELECT subject_id FROM ended WHERE stage = 'verify'),
                     false)
           END AS closed, NULL::VARCHAR AS removed,
           md5_number(concat_ws('/', digest, sample_no, pinned)) AS place,
           left(sha256(concat_ws('/', 'chain', digest, sample_no, pinned, status_1,
                {", ".join(_state(n) for n in later)})), 32) AS state
    FROM joined
    """


def _last(column: str, later: range, first: str = "") -> str:
    """SQL of a column of the last turn that was answered."""
    cases = "".join(
        f"WHEN t{n}.response_id IS NOT NULL THEN t{n}.{column} " for n in reversed(later)
    )
    return f"CASE {cases} ELSE f.{first or column} END"


def _state(n: int) -> str:
    return f"CASE WHEN response_{n}_id IS NOT NULL THEN coalesce(status_{n}, '?') END"
