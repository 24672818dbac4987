"""Preference pairs: every answer, and beside a wrong one a correct answer to the same messages.

Decisions
- Both answers are to one prompt, that is to the very same messages: first answers to a question,
  or later answers to the conversation so far. A revision never stands beside the first answer.
- The subject is the wrong answer. Its correct one is chosen by a hash among all correct answers to
  the prompt, those of its own teacher first, and no filter changes the choice: so `state` holds it,
  and a pair whose correct answer is judged otherwise now is retracted.
- A teacher is its model: other sampling parameters do not make it another one.
"""

from __future__ import annotations

import duckdb
from sqlalchemy import Connection, Select, select

from annoy_store.db.duckdb_session import load_table
from annoy_store.db.tables import calls, responses, teachers, turns, verdicts
from annoy_store.export.chains import NAMED_TEACHERS
from annoy_store.export.current_verdicts import VERDICT_COLUMNS, keep_current_verdicts
from annoy_store.parsing.finish_reasons import is_cut_off

_N_TURNS = 2  # the columns of `records` are those of chains of two; an answer has one


def load_answers(
    duck: duckdb.DuckDBPyConnection, connection: Connection, judged_by: int | None = None
) -> int:
    """Make the table `subjects` in DuckDB, a row per answer to a prediction turn of any number.

    The columns are those of chains (chains.py), about this answer alone: `turns` is the number of
    its turn, `prompt_id` what it answers. A wrong answer also has rejected_id (itself), chosen_id,
    rejected_teacher, chosen_teacher and same_teacher; they are null if there is no correct answer.
    `is_cut_off` says of any answer whether it is whole.

    Args:
        duck: DuckDB without such a table.
        connection: The snapshot of the store.
        judged_by: Id of the variant of `verify` whose verdicts count before all others.

    Returns:
        The number of turns that the columns of `records` are made for.

    Raises:
        UsageError: If `judged_by` is not such a variant.
    """
    load_table(duck, "teachers", connection, select(teachers))
    duck.execute(NAMED_TEACHERS)
    load_table(duck, "answers", connection, _answers())
    keep_current_verdicts(duck, connection, judged_by, {"answers": ("response_id", "digest")})
    reasons = duck.execute("SELECT DISTINCT finish_reason FROM answers_once").fetchall()
    cut_off = [reason for (reason,) in reasons if is_cut_off(reason)]
    duck.execute("CREATE TABLE cut_off AS SELECT unnest(?::VARCHAR[]) AS finish_reason", [cut_off])
    for statement in (_PLACED, _COUPLES, _SUBJECTS):
        duck.execute(statement)
    duck.execute(
        "DROP TABLE answers_once; DROP TABLE placed; DROP TABLE couples; DROP TABLE cut_off"
    )
    return _N_TURNS


def _answers() -> Select[tuple[object, ...]]:
    return (
        select(
            responses.c.id.label("response_id"),
            turns.c.digest,
            turns.c.number,
            turns.c.kind,
            turns.c.io_pair_id,
            turns.c.sample_id,
            turns.c.prompt_id,
            calls.c.sample_no,
            calls.c.pinned_teacher_id,
            responses.c.teacher_id,
            responses.c.finish_reason,
            *VERDICT_COLUMNS,
        )
        .select_from(
            turns.join(calls, calls.c.prompt_id == turns.c.prompt_id)
            .join(responses, responses.c.call_id == calls.c.id)
            .outerjoin(verdicts, verdicts.c.response_id == responses.c.id)
        )
        .where(turns.c.sample_id.is_not(None))
    )


_PLACED = """
CREATE TABLE placed AS
SELECT a.*, pinned.digest AS pinned, t.teacher,
       md5_number(concat_ws('/', a.digest, a.sample_no, pinned.digest)) AS place
FROM answers_once a LEFT JOIN teachers pinned ON pinned.id = a.pinned_teacher_id
LEFT JOIN named t ON t.id = a.teacher_id
"""
_COUPLES = """
CREATE TABLE couples AS
WITH both_ AS (
    SELECT w.response_id AS rejected_id, r.response_id AS chosen_id, r.teacher, r.place,
           r.teacher = w.teacher AS same_teacher,
           md5(concat_ws('/', w.place, r.place)) AS rank_
    FROM placed w JOIN placed r ON r.prompt_id = w.prompt_id AND r.status = 'correct'
    WHERE w.status <> 'correct')
SELECT * FROM both_
QUALIFY row_number() OVER (PARTITION BY rejected_id ORDER BY same_teacher DESC, rank_) = 1
"""
_SUBJECTS = """
CREATE TABLE subjects AS
SELECT p.response_id AS subject_id, p.sample_id, p.io_pair_id, p.kind, p.sample_no, p.teacher_id,
       p.prompt_id, p.prompt_id AS last_prompt_id, p.response_id AS last_response_id,
       p.number AS turns, p.status AS last_status, [p.teacher] AS teachers,
       p.response_id AS response_1_id, p.verdict_id AS verdict_1_id, p.status AS status_1,
       NULL::BIGINT AS response_2_id, NULL::BIGINT AS verdict_2_id, NULL::VARCHAR AS status_2,
       CASE WHEN p.status <> 'correct' THEN p.response_id END AS rejected_id, c.chosen_id,
       CASE WHEN p.status <> 'correct' THEN p.teacher END AS rejected_teacher,
       c.teacher AS chosen_teacher, c.same_teacher,
       p.finish_reason IN (FROM cut_off) AS is_cut_off,
       p.status IS NOT NULL AS closed, NULL::VARCHAR AS removed, p.place,
       left(sha256(concat_ws('/', 'preference', p.digest, p.sample_no, p.pinned, p.status,
                             c.place)), 32) AS state
FROM placed p LEFT JOIN couples c ON c.rejected_id = p.response_id
"""


# What a filter of this format removes; a prompt whose answers are left but for these has no pair.
_UNPAIRED = """
SELECT is_first, count(*), max(answers) FROM (
    SELECT min(turns) = 1 AS is_first, count(*) AS answers FROM subjects
    WHERE removed IS NULL OR removed IN
        ('published', 'unpaired', 'not_rejected', 'truncated', 'other_teacher')
    GROUP BY prompt_id HAVING NOT bool_or(removed IS NULL OR removed = 'published'))
GROUP BY 1 ORDER BY 1 DESC
"""


def unpaired_warnings(duck: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Return how many prompts have no pair that more answers could give one, as sentences.

    Args:
        duck: DuckDB with the filtered `subjects` of `load_answers`.
    """
    found = duck.execute(_UNPAIRED).fetchall()
    return tuple(_unpaired(bool(first), int(n), int(most)) for first, n, most in found)


def _unpaired(is_first: bool, prompts: int, answers: int) -> str:
    turn, flag = ("first", "") if is_first else ("later", " --turn 2")
    return (
        f"{prompts:,} prompts of {turn} turns have no pair of a correct and a wrong answer by one "
        f"teacher; more answers could give one: annoy resample -n {answers + 3}{flag}"
    )
