"""The views that ship with the schema: what is commonly asked of a store.

Decision: views are derived, so they are not migrated. They are dropped before any migration and
created again at the newest schema, in the same transaction. Their SQL is valid in SQLite,
PostgreSQL and DuckDB, but for the aggregate that `TAG_LIST` stands for. Their order here is the
order of creation.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from annoy_store.db.annotation_views import (
    ANNOTATIONS,
    ANSWER_MARKS,
    TAG_LIST,
    TAGS_OF_CHAINS,
    tag_list,
)
from annoy_store.db.cost import TOTAL_COST
from annoy_store.db.states import CHECK_STATUSES, FAILED_STATES, sql_list


@dataclass(frozen=True)
class View:
    """A view.

    Attributes:
        name: its name, `v_..`.
        meaning: what its rows are, in one line.
        example: a query to start with.
        sql: its SELECT.
    """

    name: str
    meaning: str
    example: str
    sql: str


def check_order(check: str) -> str:
    """Return the ORDER BY that puts the current check of a pair first.

    It is the newest check that says something about the pair: what a machine lacks neither
    confirms nor refutes an older check.

    Args:
        check: alias of pair_checks.
    """
    return f"({check}.status IN {sql_list(CHECK_STATUSES)}) DESC, {check}.id DESC"


def verdict_order(active: str, variant_id: str) -> str:
    """Return the ORDER BY that puts the current verdict of ours on an answer first.

    Args:
        active: the column whether the variant is active.
        variant_id: the column with its id.
    """
    return f"{active} DESC, {variant_id} DESC"


def _counted_answer(turn: str) -> str:
    """Return SQL of the answer that counts of a later turn: the one that was revised, else the first.

    Args:
        turn: alias of turns.
    """
    return f"""(SELECT r.id FROM responses r JOIN calls c ON c.id = r.call_id
             WHERE c.prompt_id = {turn}.prompt_id
             ORDER BY CASE WHEN EXISTS (SELECT 1 FROM turns y WHERE y.revises_response_id = r.id)
                      THEN 0 ELSE 1 END, c.sample_no, c.pinned_teacher_id LIMIT 1)"""


VIEWS = (
    View(
        "v_funnel",
        "jobs per stage and state, without scanning the jobs",
        "SELECT * FROM v_funnel",
        """
        SELECT c.stage, c.state, SUM(c.n) AS jobs FROM job_counters c
        GROUP BY c.stage, c.state HAVING SUM(c.n) <> 0
        """,
    ),
    View(
        "v_failures",
        "why jobs were rejected or failed, with one example each",
        "SELECT * FROM v_failures ORDER BY jobs DESC LIMIT 10",
        f"""
        SELECT stage, state, reason, COUNT(*) AS jobs, MIN(subject_id) AS example_subject_id,
               MIN(detail) AS example_detail
        FROM jobs WHERE state IN {sql_list(FAILED_STATES)} GROUP BY stage, state, reason
        """,
    ),
    View(
        "v_current_pairs",
        "every I/O pair with its current check: the newest that says something about the pair",
        "SELECT status, COUNT(*) FROM v_current_pairs GROUP BY status",
        f"""
        SELECT p.id, p.sample_id, p.position, p.input_digest, p.seed, c.status,
               c.lines_executed, c.shown, c.variant_id, c.id AS check_id, p.input, p.output
        FROM io_pairs p JOIN pair_checks c ON c.io_pair_id = p.id
        WHERE c.id = (SELECT k.id FROM pair_checks k WHERE k.io_pair_id = p.id
                      ORDER BY {check_order("k")} LIMIT 1)
        """,
    ),
    View(
        "v_current_verdicts",
        "one verdict per judged response: the active checker's, else the newest of ours",
        "SELECT status, COUNT(*) FROM v_current_verdicts GROUP BY status",
        f"""
        SELECT v.id, v.response_id, v.checker, v.variant_id, v.status, v.mismatch, v.created_at,
               v.execution_id, v.predicted, v.got, v.feedback
        FROM verdicts v
        WHERE v.id = (SELECT k.id FROM verdicts k JOIN variants w ON w.id = k.variant_id
                      WHERE k.response_id = v.response_id AND w.stage = 'verify'
                      ORDER BY {verdict_order("w.active", "w.id")} LIMIT 1)
        """,
    ),
    View(
        "v_answers",
        "every answer to a prediction turn, with its chain and its current verdict; an answer to a "
        "prompt that was asked for several pairs has a row for each",
        "SELECT kind, number, status, COUNT(*) FROM v_answers GROUP BY 1, 2, 3",
        """
        SELECT t.id AS turn_id, t.kind, t.number, t.sample_id, t.io_pair_id, t.prompt_id, a.id AS call_id,
               a.sample_no, r.id AS response_id, r.teacher_id, r.finish_reason,
               COALESCE(t.chain_response_id, r.id) AS chain_id,
               v.id AS verdict_id, v.status, v.mismatch
        FROM turns t JOIN calls a ON a.prompt_id = t.prompt_id
        JOIN responses r ON r.call_id = a.id
        LEFT JOIN v_current_verdicts v ON v.response_id = r.id
        WHERE t.sample_id IS NOT NULL
        """,
    ),
    View(
        "v_annotations",
        "flags, tags and notes that readers set, by the row that is marked",
        "SELECT kind, subject_id, value, author FROM v_annotations WHERE mark = 'tag'",
        ANNOTATIONS,
    ),
    View(
        "v_answer_marks",
        "every mark of an answer, or of what it belongs to: its chain, verdicts, question, I/O pair, "
        "sample and source",
        "SELECT value, COUNT(*) FROM v_answer_marks WHERE mark = 'tag' GROUP BY 1",
        ANSWER_MARKS,
    ),
    View(
        "v_chains",
        "one row per first answer: its turns, how it went, whether it is closed, and its tags",
        "SELECT kind, status_1, status_2, COUNT(*) FROM v_chains GROUP BY 1, 2, 3",
        f"""
        SELECT f.chain_id, f.kind, f.sample_id, f.io_pair_id, f.teacher_id, f.sample_no,
               f.turn_id AS turn_1_id, f.prompt_id AS prompt_1_id, f.response_id AS response_1_id,
               f.status AS status_1, f.verdict_id AS verdict_1_id,
               t.id AS turn_2_id, s.response_id AS response_2_id, s.status AS status_2,
               s.verdict_id AS verdict_2_id,
               l.number AS turns, e.response_id AS last_response_id, e.status AS last_status,
               CASE WHEN e.status = 'correct' THEN 1
                    WHEN e.status IS NOT NULL AND l.number >= CAST(COALESCE(
                        (SELECT value FROM policies WHERE key = 'max_turns'), '2') AS INTEGER)
                    THEN 1
                    WHEN EXISTS (SELECT 1 FROM jobs j JOIN calls c ON c.id = j.subject_id
                                 WHERE j.stage = 'complete' AND c.prompt_id = l.prompt_id
                                 AND j.state IN {sql_list(FAILED_STATES)}
                                 AND e.response_id IS NULL) THEN 1
                    WHEN EXISTS (SELECT 1 FROM jobs j WHERE j.stage = 'revise'
                                 AND j.subject_id = e.verdict_id
                                 AND j.state IN {sql_list(FAILED_STATES)}) THEN 1
                    WHEN EXISTS (SELECT 1 FROM jobs j WHERE j.stage = 'verify'
                                 AND j.subject_id = e.response_id
                                 AND j.state IN {sql_list(FAILED_STATES)}) THEN 1
                    ELSE 0 END AS closed,
               COALESCE(g.tags, '[]') AS tags
        FROM v_answers f
        LEFT JOIN {TAGS_OF_CHAINS} g ON g.chain_id = f.chain_id
        LEFT JOIN turns t ON t.id = (
             SELECT MIN(x.id) FROM turns x WHERE x.chain_response_id = f.chain_id AND x.number = 2)
        LEFT JOIN v_answers s ON s.turn_id = t.id AND s.response_id = {_counted_answer("t")}
        JOIN turns l ON l.id = COALESCE((
             SELECT x.id FROM turns x WHERE x.chain_response_id = f.chain_id
             ORDER BY x.number DESC, x.id LIMIT 1), f.turn_id)
        LEFT JOIN v_answers e ON e.turn_id = l.id AND e.response_id = CASE
             WHEN l.number = 1 THEN f.response_id ELSE {_counted_answer("l")} END
        WHERE f.number = 1 AND f.turn_id = (
             SELECT MIN(x.id) FROM turns x WHERE x.prompt_id = f.prompt_id)
        """,
    ),
    View(
        "v_transitions",
        "statuses of first answers, and of the second answers to those that were wrong",
        "SELECT * FROM v_transitions WHERE status_1 <> 'correct' ORDER BY chains DESC",
        """
        SELECT kind, status_1, status_2, COUNT(*) AS chains FROM v_chains
        WHERE status_1 IS NOT NULL GROUP BY kind, status_1, status_2
        """,
    ),
    View(
        "v_cost",
        "attempts, tokens and cost by kind of turn, turn number and teacher; null if unknown",
        "SELECT * FROM v_cost",
        f"""
        SELECT t.kind, t.number AS turn, b.backend, b.model, COUNT(*) AS attempts,
               SUM(CASE WHEN a.status = 'ok' THEN 1 ELSE 0 END) AS answered,
               SUM(a.prompt_tokens) AS prompt_tokens, SUM(a.cached_tokens) AS cached_tokens,
               SUM(a.completion_tokens) AS completion_tokens,
               SUM(a.reasoning_tokens) AS reasoning_tokens,
               {TOTAL_COST} AS cost_usd
        FROM attempts a JOIN calls c ON c.id = a.call_id
        JOIN turns t ON t.id = (SELECT MIN(x.id) FROM turns x WHERE x.prompt_id = c.prompt_id)
        JOIN teachers b ON b.id = a.teacher_id
        LEFT JOIN prices p ON p.model = b.model AND p.from_time = (
             SELECT MAX(q.from_time) FROM prices q
             WHERE q.model = b.model AND q.from_time <= a.started_at)
        GROUP BY t.kind, t.number, b.backend, b.model
        """,
    ),
    View(
        "v_cost_per_correct",
        "what one correct answer costs, by kind of turn and teacher, its wrong answers included; "
        "in `all`, rewriting too",
        "SELECT * FROM v_cost_per_correct ORDER BY usd_per_correct",
        """
        WITH spent AS (
            SELECT kind, backend, model, SUM(answered) AS answered,
                   CASE WHEN COUNT(*) = COUNT(cost_usd) THEN SUM(cost_usd) END AS cost_usd
            FROM v_cost GROUP BY kind, backend, model),
        good AS (
            SELECT a.kind, b.backend, b.model, COUNT(DISTINCT a.response_id) AS correct
            FROM v_answers a JOIN teachers b ON b.id = a.teacher_id
            WHERE a.status = 'correct' GROUP BY a.kind, b.backend, b.model)
        SELECT s.kind, s.backend, s.model, s.answered, COALESCE(g.correct, 0) AS correct,
               s.cost_usd, s.cost_usd / g.correct AS usd_per_correct
        FROM spent s LEFT JOIN good g
             ON g.kind = s.kind AND g.backend = s.backend AND g.model = s.model
        WHERE s.kind <> 'transform'
        UNION ALL
        SELECT 'all', 'all', 'all', a.answered, a.correct, a.cost_usd, a.cost_usd / a.correct
        FROM (SELECT SUM(answered) AS answered, (SELECT SUM(correct) FROM good) AS correct,
                     CASE WHEN COUNT(*) = COUNT(cost_usd) THEN SUM(cost_usd) END AS cost_usd
              FROM spent) a WHERE a.correct > 0
        """,
    ),
    View(
        "v_pass_rate",
        "of the answers to one first-turn prompt, how many are correct: a difficulty",
        "SELECT * FROM v_pass_rate WHERE rate BETWEEN 0.1 AND 0.9",
        """
        SELECT prompt_id, kind, io_pair_id, COUNT(*) AS answers,
               SUM(CASE WHEN status = 'correct' THEN 1 ELSE 0 END) AS correct,
               SUM(CASE WHEN status = 'correct' THEN 1.0 ELSE 0.0 END) / COUNT(*) AS rate
        FROM v_answers WHERE number = 1 AND status IS NOT NULL
        GROUP BY prompt_id, kind, io_pair_id
        """,
    ),
    View(
        "v_missing_modules",
        "packages that samples import and the interpreter lacks, with the number of samples",
        "SELECT * FROM v_missing_modules ORDER BY samples DESC LIMIT 5",
        """
        SELECT missing_module, COUNT(DISTINCT sample_id) AS samples
        FROM executions WHERE missing_module IS NOT NULL GROUP BY missing_module
        """,
    ),
    View(
        "v_lineage",
        "from a chain back to the raw file: pair, sample, source, repository, licence",
        "SELECT repo, path, licence FROM v_lineage WHERE chain_id = 1",
        """
        SELECT a.chain_id, a.kind, a.io_pair_id, a.sample_id, so.response_id AS transform_response_id,
               so.source_id, o.id AS origin_id, o.origin, o.repo, o.path, o.licence
        FROM v_answers a LEFT JOIN sample_origins so ON so.sample_id = a.sample_id
        LEFT JOIN origins o ON o.source_id = so.source_id
        WHERE a.number = 1
        """,
    ),
    View(
        "v_clusters",
        "clusters of near-duplicate code, with the samples made of it",
        "SELECT * FROM v_clusters WHERE sources > 1 ORDER BY sources DESC LIMIT 10",
        """
        SELECT cluster, SUM(CASE WHEN kind = 'source' THEN 1 ELSE 0 END) AS sources,
               SUM(CASE WHEN kind = 'sample' THEN 1 ELSE 0 END) AS samples,
               MIN(CASE WHEN kind = 'source' THEN subject_id END) AS example_source_id,
               MIN(CASE WHEN kind = 'sample' THEN subject_id END) AS example_sample_id
        FROM clusters GROUP BY cluster
        """,
    ),
)


def drop_views(connection: Connection) -> None:
    """Drop every view of ours that exists."""
    for view in reversed(VIEWS):
        connection.execute(text(f"DROP VIEW IF EXISTS {view.name}"))


def create_views(connection: Connection) -> None:
    """Create every view; the schema must be the newest."""
    listed = tag_list(connection)
    for view in VIEWS:
        sql = view.sql.replace(TAG_LIST, listed)
        connection.execute(text(f"CREATE VIEW {view.name} AS {sql}"))
