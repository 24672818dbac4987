"""The schema of the snapshot: the columns of its files, and the views over them.

Decisions
- A file holds the columns that queries count, group and join by. Large texts are omitted; their
  length stands in as `<column>_chars` (or the `n_chars` of the store). Digests that nothing joins
  by are omitted too. A query that needs them has to run on the store.
- Names are those of the store, so one SQL text serves both.
- Turns, answers and attempts are stored with their question (columns with a leading underscore,
  which only the views here use): it never changes, and nearly every query would have to join it.
- Marks are stored with the ids of the rows that they mark, because digests are omitted.
- Views of the store look up rows along an index; here they are written for whole tables at once.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Table,
    case,
    column,
    exists,
    func,
    select,
)
from sqlalchemy import table as sql_view

from annoy_store.db.annotation_views import DUCKDB_TAG_LIST, TAG_LIST, TAGS_OF_CHAINS
from annoy_store.db.cost import TOTAL_COST
from annoy_store.db.states import FAILED_STATES, sql_list
from annoy_store.db.tables import annotation_log, attempts, calls, metadata, responses, turns
from annoy_store.db.views import VIEWS, check_order, verdict_order
from annoy_store.records.queries import first_turn_of

SKIPPED_TABLES = {"signatures"}
TEXT_COLUMNS = {
    "sources": {"content"},
    "prompts": {"messages"},
    "responses": {"text", "reasoning"},
    "samples": {"problem_statement", "io_requirements", "refcode", "input_generator"},
    "io_pairs": {"input", "output"},
    "verdicts": {"predicted", "got", "feedback"},
    "benchmark_overlaps": {"evidence"},
}
LENGTH_IN_N_CHARS = {
    "sources": {"content"},
    "prompts": {"messages"},
    "responses": {"text"},
}  # has n_chars already
DIGEST_COLUMNS = {
    "origins": {"digest"},
    "prompts": {"digest"},
    "turns": {"digest"},
    "sample_origins": {"digest"},
    "io_pairs": {"input_digest"},
    "export_rows": {"digest"},
}
OMITTED_COLUMNS = {
    column for columns in (*TEXT_COLUMNS.values(), *DIGEST_COLUMNS.values()) for column in columns
}
_APPEND_ONLY = {
    "sources",
    "origins",
    "prompts",
    "teachers",
    "calls",
    "responses",
    "samples",
    "sample_origins",
    "executions",
    "io_pairs",
    "turns",
    "verdicts",
    "pair_checks",
    "attempts",
    "export_rows",
}
APPEND_ONLY_TABLES = tuple(t for t in metadata.sorted_tables if t.name in _APPEND_ONLY)
MUTABLE_TABLES = tuple(
    t for t in metadata.sorted_tables if t.name not in _APPEND_ONLY | SKIPPED_TABLES | {"jobs"}
)
TABLES_WITH_QUESTION = (turns, responses, attempts)
EXTENDED_TABLES = (*TABLES_WITH_QUESTION, annotation_log)
"""Tables that are stored with columns that their views hide."""
SNAPSHOT_TABLES = tuple(t for t in metadata.sorted_tables if t.name not in SKIPPED_TABLES)


def snapshot_select(table: Table) -> Select[Any]:
    """Return the SELECT of a table's rows as its files hold them."""
    columns = [column for known in table.columns for column in _snapshot_columns(table, known)]
    if table is turns:
        earlier = turns.alias("earlier")
        shared = exists().where(earlier.c.prompt_id == turns.c.prompt_id, earlier.c.id < turns.c.id)
        return select(*columns, case((shared, 1), else_=0).label("_shared"))
    if table is annotation_log:
        shown = _ANNOTATIONS.c.annotation_id == annotation_log.c.id
        subject = _ANNOTATIONS.c.subject_id.label("_subject_id")
        return select(*columns, subject).select_from(annotation_log.outerjoin(_ANNOTATIONS, shown))
    if table not in TABLES_WITH_QUESTION:
        return select(*columns)
    return select(*columns, *_QUESTION_COLUMNS).select_from(_with_question(table))


def _snapshot_columns(table: Table, column: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    if column.name in DIGEST_COLUMNS.get(table.name, ()) or column.name in LENGTH_IN_N_CHARS.get(
        table.name, ()
    ):
        return []
    if column.name not in TEXT_COLUMNS.get(table.name, ()):
        return [column]
    return [func.length(column, type_=BigInteger()).label(f"{column.name}_chars")]


_ANNOTATIONS = sql_view(
    "v_annotations", column("annotation_id", BigInteger), column("subject_id", BigInteger)
)
_QUESTION_COLUMNS = [
    calls.c.prompt_id.label("_prompt_id"),
    calls.c.sample_no.label("_sample_no"),
    turns.c.id.label("_turn_id"),
    turns.c.kind.label("_kind"),
    turns.c.number.label("_number"),
    turns.c.sample_id.label("_sample_id"),
    turns.c.io_pair_id.label("_io_pair_id"),
    turns.c.chain_response_id.label("_chain_id"),
]


def _with_question(table: Table) -> FromClause:
    """Join rows with their call, and with the first turn of its prompt."""
    called = table.outerjoin(calls, calls.c.id == table.c.call_id)
    return called.outerjoin(turns, turns.c.id == first_turn_of(calls.c.prompt_id))


# Views ---------------------------------------------------------------------------------------


def view_statements(several: Collection[str]) -> list[str]:
    """Return the statements that create the views of the store.

    They read the tables of the snapshot, and `kept_<table>` for those in `EXTENDED_TABLES`.

    Args:
        several: Stages that have had more than one variant. Of the other stages all rows are
            current, and need not be selected.
    """
    named = [
        f"CREATE VIEW {t.name} AS SELECT {_public_columns(t)} FROM kept_{t.name}"
        for t in EXTENDED_TABLES
    ]
    current = {
        name: (_VARIANTS if stage in several else _ONE_VARIANT)[name]
        for name, stage in _STAGE_OF_VIEW.items()
    }
    known = {view.name: view.sql for view in VIEWS} | _REWRITTEN_VIEWS | current
    order = ["v_current_verdicts", "v_answers", *_HELPER_VIEWS, *known]
    texts = {
        n: sql.replace(TAG_LIST, DUCKDB_TAG_LIST) for n, sql in (_HELPER_VIEWS | known).items()
    }
    return named + [f"CREATE VIEW {name} AS {texts[name]}" for name in dict.fromkeys(order)]


def _public_columns(table: Table) -> str:
    names = (str(column.key) for column in snapshot_select(table).selected_columns)
    shown = ", ".join(f'"{name}"' for name in names if not name.startswith("_"))
    return f"DISTINCT {shown}" if table is annotation_log else shown  # it may mark several rows


_PAIR = """
    SELECT p.id, p.sample_id, p.position, p.seed, c.status, c.lines_executed, c.shown, c.variant_id,
           c.id AS check_id, p.input_chars, p.output_chars
    FROM io_pairs p JOIN pair_checks c ON c.io_pair_id = p.id
"""
_VERDICT = """
    SELECT v.id, v.response_id, v.checker, v.variant_id, v.status, v.mismatch, v.created_at,
           v.execution_id, v.predicted_chars, v.got_chars, v.feedback_chars
    FROM verdicts v JOIN variants w ON w.id = v.variant_id WHERE w.stage = 'verify'
"""
_STAGE_OF_VIEW = {"v_current_pairs": "generate", "v_current_verdicts": "verify"}
_ONE_VARIANT = {"v_current_pairs": _PAIR, "v_current_verdicts": _VERDICT}
_VARIANTS = {
    name: f"{sql} QUALIFY row_number() OVER (PARTITION BY {subject} ORDER BY {order}) = 1"
    for name, sql, subject, order in (
        ("v_current_pairs", _PAIR, "p.id", check_order("c")),
        ("v_current_verdicts", _VERDICT, "v.response_id", verdict_order("w.active", "w.id")),
    )
}
_HELPER_VIEWS = {
    "chained": """
    WITH answered AS (
        SELECT a.turn_id, a.response_id, a.status, a.verdict_id
        FROM v_answers a JOIN calls c ON c.id = a.call_id
        LEFT JOIN (SELECT DISTINCT revises_response_id AS id FROM turns) v ON v.id = a.response_id
        WHERE a.number > 1
        QUALIFY row_number() OVER (PARTITION BY a.turn_id
                                   ORDER BY v.id IS NULL, c.sample_no, c.pinned_teacher_id) = 1),
    later AS (
        SELECT t.chain_response_id AS chain_id, t.number,
               FIRST({'turn_id': t.id, 'number': t.number, 'prompt_id': t.prompt_id,
                      'response_id': a.response_id, 'status': a.status,
                      'verdict_id': a.verdict_id} ORDER BY t.id) AS turn
        FROM turns t LEFT JOIN answered a ON a.turn_id = t.id
        WHERE t.chain_response_id IS NOT NULL GROUP BY ALL),
    revised AS (
        SELECT chain_id, ARG_MAX(turn, number) AS e, ARG_MAX(turn, number) FILTER (number = 2) AS s
        FROM later GROUP BY chain_id)
    SELECT f.chain_id, f.kind, f.sample_id, f.io_pair_id, f.teacher_id, f.sample_no,
           f.turn_id AS turn_1_id,
           f.prompt_id AS prompt_1_id, f.response_id AS response_1_id, f.status AS status_1,
           f.verdict_id AS verdict_1_id, r.s, r.e
    FROM v_answers f LEFT JOIN revised r ON r.chain_id = f.chain_id
    WHERE f.number = 1 AND f.turn_id NOT IN (SELECT id FROM kept_turns WHERE _shared = 1)
    """,
}
_REWRITTEN_VIEWS = {
    "v_answers": """
    WITH asked AS (
        SELECT _turn_id AS turn_id, _kind AS kind, _number AS number,
               _sample_id AS sample_id, _io_pair_id AS io_pair_id,
               _prompt_id AS prompt_id, call_id, _sample_no AS sample_no, id AS response_id,
               teacher_id, finish_reason, COALESCE(_chain_id, id) AS chain_id
        FROM kept_responses WHERE _sample_id IS NOT NULL
        UNION ALL
        SELECT t.id, t.kind, t.number, t.sample_id, t.io_pair_id, t.prompt_id, r.call_id, r._sample_no, r.id,
               r.teacher_id, r.finish_reason, COALESCE(t.chain_response_id, r.id)
        FROM kept_turns t JOIN kept_responses r ON r._prompt_id = t.prompt_id
        WHERE t._shared = 1 AND t.sample_id IS NOT NULL)
    SELECT a.*, v.id AS verdict_id, v.status, v.mismatch
    FROM asked a LEFT JOIN v_current_verdicts v ON v.response_id = a.response_id
    """,
    "v_chains": f"""
    WITH ended AS (
        SELECT stage, subject_id FROM jobs
        WHERE state IN {sql_list(FAILED_STATES)} AND stage IN ('complete', 'verify', 'revise')),
    whole AS (
        SELECT c.chain_id, c.kind, c.sample_id, c.io_pair_id, c.teacher_id, c.sample_no,
               c.turn_1_id, c.prompt_1_id, c.response_1_id, c.status_1, c.verdict_1_id,
               c.s.turn_id AS turn_2_id, c.s.response_id AS response_2_id,
               c.s.status AS status_2, c.s.verdict_id AS verdict_2_id,
               COALESCE(c.e.number, 1) AS turns,
               IF(c.e IS NULL, c.response_1_id, c.e.response_id) AS last_response_id,
               IF(c.e IS NULL, c.status_1, c.e.status) AS last_status,
               COALESCE(c.e.prompt_id, c.prompt_1_id) AS last_prompt_id,
               IF(c.e IS NULL, c.verdict_1_id, c.e.verdict_id) AS last_verdict_id
        FROM chained c)
    SELECT whole.* EXCLUDE (last_prompt_id, last_verdict_id),
           CASE WHEN last_status = 'correct' THEN 1
                WHEN last_status IS NOT NULL AND turns >= CAST(COALESCE(
                    (SELECT value FROM policies WHERE key = 'max_turns'), '2') AS INTEGER) THEN 1
                WHEN last_response_id IS NULL AND last_prompt_id IN (
                    SELECT c.prompt_id FROM ended e JOIN calls c ON c.id = e.subject_id
                    WHERE e.stage = 'complete') THEN 1
                WHEN last_verdict_id IN (
                    SELECT subject_id FROM ended WHERE stage = 'revise') THEN 1
                WHEN last_response_id IN (
                    SELECT subject_id FROM ended WHERE stage = 'verify') THEN 1
                ELSE 0 END AS closed,
           COALESCE(g.tags, '[]') AS tags
    FROM whole LEFT JOIN {TAGS_OF_CHAINS} g ON g.chain_id = whole.chain_id
    """,
    "v_annotations": """
    SELECT id AS annotation_id, kind, _subject_id AS subject_id, mark, value, author, created_at
    FROM kept_annotation_log WHERE _subject_id IS NOT NULL
    """,
    "v_transitions": """
    SELECT kind, status_1, s.status AS status_2, COUNT(*) AS chains
    FROM chained WHERE status_1 IS NOT NULL GROUP BY ALL
    """,
    "v_cost": f"""
    WITH priced AS (
        SELECT *, LEAD(from_time) OVER (PARTITION BY model ORDER BY from_time) AS to_time
        FROM prices)
    SELECT a._kind AS kind, a._number AS turn, b.backend, b.model, COUNT(*) AS attempts,
           SUM(CASE WHEN a.status = 'ok' THEN 1 ELSE 0 END) AS answered,
           SUM(a.prompt_tokens) AS prompt_tokens, SUM(a.cached_tokens) AS cached_tokens,
           SUM(a.completion_tokens) AS completion_tokens,
           SUM(a.reasoning_tokens) AS reasoning_tokens,
           {TOTAL_COST} AS cost_usd
    FROM kept_attempts a JOIN teachers b ON b.id = a.teacher_id
    LEFT JOIN priced p ON p.model = b.model AND p.from_time <= a.started_at
         AND (p.to_time IS NULL OR p.to_time > a.started_at)
    WHERE a._turn_id IS NOT NULL GROUP BY ALL
    """,
}
