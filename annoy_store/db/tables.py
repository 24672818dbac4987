"""The schema: what is stored, one table per noun.

Decisions
- Data tables are append-only; control tables (jobs, workers, job_counters, watermarks,
  commit_horizons, policies, variants, takedowns, hidden_subjects, budgets, batches, clusters) change.
  Nothing is deleted.
- `digest` is the content hash of a row, over content and other rows' digests (hashing.py).
- Values of code (inputs, outputs) are JSON text: integers of any size, mixed types, one order.
- Small columns stand before large texts, so that a scan need not read overflow pages.
- Prompts hold only their messages; turns say why they are asked. So the keys form no cycle.
- States and statuses are words, and the literals in the partial indexes are the ones that the
  statements of queue/jobs.py spell out: a bound parameter cannot use such an index.
- `NATURAL_KEYS` is what makes a row the same row; a table without one only grows.
Dialect options stand here only as keyword arguments of a table; behaviour lives in sql.py.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from annoy_store.db.states import FAILED_STATES, JOB_STATES, sql_list

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

STATUSES = [
    "correct",
    "wrong",
    "no_answer",
    "bad_args",
    "exception",
    "cpu_timeout",
    "wall_timeout",
    "memory",
    "crash",
    "output_too_large",
    "not_json",
]

JOB_OPTIONS: dict[str, Any] = {
    "sqlite_with_rowid": False,
    "postgresql_with": {
        "fillfactor": "80",
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_vacuum_cost_delay": "0",
        "autovacuum_analyze_scale_factor": "0.02",
    },
}


def _id() -> Column[int]:
    return Column("id", BigInteger, primary_key=True)


def _ref(
    target: str,
    name: str | None = None,
    *,
    nullable: bool = False,
    index: bool = True,
    **options: Any,
) -> Column[int]:
    """A reference to another table's id; indexed unless a unique key begins with it."""
    column = name or f"{target.rstrip('s')}_id"
    key = ForeignKey(f"{target}.id")
    return Column(column, BigInteger, key, nullable=nullable, index=index, **options)


def _text(name: str, *, nullable: bool = False, **options: Any) -> Column[str]:
    return Column(name, Text, nullable=nullable, **options)


def _number(name: str, *, nullable: bool = False, **options: Any) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable, **options)


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    only = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=only, postgresql_where=only)


def _digest() -> Column[str]:
    return Column("digest", Text, nullable=False, unique=True)


# Data ----------------------------------------------------------------------------------------

sources = Table(
    "sources",
    metadata,
    _id(),
    _digest(),
    _text("language"),
    _number("n_chars"),
    _text("created_at"),
    _text("content"),
    comment="one raw code file; equal content is one row",
)
origins = Table(
    "origins",
    metadata,
    _id(),
    _digest(),
    _ref("sources"),
    _text("origin"),
    _text("repo"),
    _text("path"),
    _text("licence"),
    _text("metadata"),
    Index("ix_origins_repo", "repo"),
    Index("ix_origins_licence", "licence"),
    comment="where a source was found; a source may have several",
)
prompts = Table(
    "prompts",
    metadata,
    _id(),
    _digest(),
    _text("template"),
    _text("template_digest"),
    _number("n_chars"),
    _text("messages"),
    comment="the messages sent to a model; equal messages are one row",
)
teachers = Table(
    "teachers",
    metadata,
    _id(),
    _digest(),
    _text("backend"),
    _text("model"),
    _text("base_url"),
    _text("parameters"),
    comment="a model with its sampling parameters and endpoint; row 0 is any",
)
calls = Table(
    "calls",
    metadata,
    _id(),
    _ref("prompts", index=False),
    Column("sample_no", Integer, nullable=False),
    _ref("teachers", "pinned_teacher_id", index=False),
    UniqueConstraint("prompt_id", "sample_no", "pinned_teacher_id"),
    _partial("ix_calls_pinned", "pinned_teacher_id", where="pinned_teacher_id > 0"),
    comment="one planned answer to a prompt",
)
responses = Table(
    "responses",
    metadata,
    _id(),
    _ref("calls", index=False),
    _ref("teachers"),
    _text("finish_reason"),
    _number("n_chars"),
    _text("created_at"),
    _text("text"),
    _text("reasoning", nullable=True),
    UniqueConstraint("call_id"),
    comment="the answer that a call got",
)
samples = Table(
    "samples",
    metadata,
    _id(),
    _digest(),
    _text("funcname"),
    _text("problem_statement"),
    _text("io_requirements"),
    _text("refcode"),
    _text("input_generator", nullable=True),
    comment="a unified function with its input generator and problem statement",
)
sample_origins = Table(
    "sample_origins",
    metadata,
    _id(),
    _digest(),
    _ref("samples"),
    _ref("responses", nullable=True),
    _ref("sources", nullable=True),
    _number("variant_id", nullable=True),
    _text("origin", nullable=True),
    _number("line", nullable=True),
    _text("metadata", nullable=True),
    comment="where a sample came from: a response and its source, or an imported file",
)
executions = Table(
    "executions",
    metadata,
    _id(),
    _ref("samples", nullable=True),
    _ref("responses", nullable=True),
    _text("purpose"),
    _text("outcome"),
    _text("error_type", nullable=True),
    _text("missing_module", nullable=True),
    _text("phase", nullable=True),
    Column("cpu_ms", Double, nullable=False),
    Column("wall_ms", Double, nullable=False),
    _text("isolation"),
    _text("runner_version"),
    _text("interpreter"),
    _text("draws", nullable=True),
    _text("error_message", nullable=True),
    CheckConstraint("purpose IN ('generate', 'verify', 'check')", name="purpose"),
    comment="one sandbox run on behalf of a sample or a response",
)
io_pairs = Table(
    "io_pairs",
    metadata,
    _id(),
    _ref("samples", index=False),
    Column("position", Integer, nullable=False),
    _text("input_digest"),
    _number("seed", nullable=True),
    _ref("executions", nullable=True, index=False),
    _text("input"),
    _text("output"),
    UniqueConstraint("sample_id", "input_digest"),
    comment="one input and the output that the sample's code gives for it",
)
turns = Table(
    "turns",
    metadata,
    _id(),
    _digest(),
    _ref("prompts"),
    _text("kind"),
    Column("number", SmallInteger, nullable=False),
    _ref("sources", nullable=True),
    _ref("io_pairs", nullable=True),
    _ref("responses", "revises_response_id", nullable=True),
    _ref("responses", "chain_response_id", nullable=True),
    _ref("samples", nullable=True),
    CheckConstraint("number >= 1", name="number"),
    comment="why a prompt is asked; chain_response_id is the first answer of its chain",
)
turn_pairs = Table(
    "turn_pairs",
    metadata,
    _ref("turns", index=False, primary_key=True),
    _ref("io_pairs", primary_key=True),
    _text("role"),
    comment="the pairs of a question that is about several",
)
verdicts = Table(
    "verdicts",
    metadata,
    _id(),
    _ref("responses", index=False),
    _text("checker"),
    _ref("variants", index=False),
    _text("status"),
    _text("mismatch", nullable=True),
    _ref("executions", nullable=True, index=False),
    _text("created_at"),
    _text("predicted", nullable=True),
    _text("got", nullable=True),
    _text("feedback"),
    UniqueConstraint("response_id", "checker", "variant_id"),
    comment="the result of checking one response",
)
pair_checks = Table(
    "pair_checks",
    metadata,
    _id(),
    _ref("io_pairs", index=False),
    _ref("variants", index=False),
    _text("status"),
    _ref("executions", nullable=True, index=False),
    _number("lines_executed", nullable=True),
    UniqueConstraint("io_pair_id", "variant_id"),
    comment="whether a pair is reproduced by another run with another hash seed, random seed and clock",
)
attempts = Table(
    "attempts",
    metadata,
    _id(),
    _ref("calls"),
    _ref("teachers", index=False),
    _number("worker_id"),
    _text("started_at"),
    Column("latency_ms", Double, nullable=False),
    _text("status"),
    _text("error_class", nullable=True),
    _number("http_status", nullable=True),
    _number("prompt_tokens", nullable=True),
    _number("cached_tokens", nullable=True),
    _number("completion_tokens", nullable=True),
    _number("reasoning_tokens", nullable=True),
    _text("model", nullable=True),
    _text("error_message", nullable=True),
    comment="one try of a call, with its usage",
)
prices = Table(
    "prices",
    metadata,
    _text("model", primary_key=True),
    _text("from_time", primary_key=True),
    Column("input", Double, nullable=False),
    Column("cached", Double, nullable=False),
    Column("output", Double, nullable=False),
    comment="USD per million tokens, from a time on",
)

# Control -------------------------------------------------------------------------------------

policies = Table(
    "policies",
    metadata,
    _text("key", primary_key=True),
    _text("value"),
    _text("since"),
    comment="settings that define data and differ from their defaults",
)
variants = Table(
    "variants",
    metadata,
    _id(),
    _text("stage"),
    _text("digest"),
    _text("description"),
    Column("active", SmallInteger, nullable=False),
    _text("task", server_default=text("''")),
    UniqueConstraint("stage", "digest"),
    comment="one version of a stage's code with the policy values it depends on",
)
jobs = Table(
    "jobs",
    metadata,
    _text("stage", primary_key=True),
    _number("subject_id", primary_key=True),
    _number("variant_id", primary_key=True),
    _text("state", server_default="pending"),
    Column("priority", SmallInteger, nullable=False, server_default="0"),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("crashes", SmallInteger, nullable=False, server_default="0"),
    _number("worker_id", nullable=True),
    Column("due_at", Double),
    Column("claimed_at", Double),
    _text("reason", nullable=True),
    _text("detail", nullable=True),
    CheckConstraint(f"state IN {sql_list(JOB_STATES)}", name="state"),
    _partial(
        "ix_jobs_pending",
        "stage",
        "variant_id",
        "priority",
        "subject_id",
        where="state = 'pending'",
    ),
    _partial("ix_jobs_claimed", "worker_id", where="state = 'claimed'"),
    _partial("ix_jobs_deferred", "due_at", where="state = 'deferred'"),
    _partial("ix_jobs_suspect", "stage", "variant_id", "subject_id", where="state = 'suspect'"),
    _partial("ix_jobs_ended_badly", "stage", "reason", where=f"state IN {sql_list(FAILED_STATES)}"),
    comment="one unit of work of one stage, with its state",
    **JOB_OPTIONS,
)
workers = Table(
    "workers",
    metadata,
    _id(),
    _text("host"),
    _number("pid"),
    _text("process_start"),
    _text("stages"),
    Column("alive", SmallInteger, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("started_at", Double, nullable=False),
    _partial("ix_workers_alive", "lease_until", where="alive = 1"),
    comment="one process incarnation that claims jobs",
)
job_counters = Table(
    "job_counters",
    metadata,
    _number("worker_id", primary_key=True),
    _text("stage", primary_key=True),
    _text("state", primary_key=True),
    _number("n"),
    comment="jobs moved into minus out of each state, per worker: the sum is the number of jobs in it",
)
watermarks = Table(
    "watermarks",
    metadata,
    _text("stage", primary_key=True),
    _text("scope", primary_key=True),
    _number("upto"),
    comment="up to which watched id all jobs of a stage were entered under one scope",
)
commit_horizons = Table(
    "commit_horizons",
    metadata,
    _text("table_name", primary_key=True),
    _number("upto"),
    _number("seen"),
    _text("writers"),
    comment="up to which id all rows of a table are committed; the same of seen when writers end",
)
takedowns = Table(
    "takedowns",
    metadata,
    _id(),
    _text("kind"),
    _text("value"),
    _text("why"),
    _text("created_at"),
    _text("lifted_at", nullable=True),
    _text("purged_at", nullable=True),
    comment="a rule that hides origins",
)
hidden_subjects = Table(
    "hidden_subjects",
    metadata,
    _text("kind", primary_key=True),
    _number("subject_id", primary_key=True),
    comment="sources and samples with no allowed origin left",
)
clusters = Table(
    "clusters",
    metadata,
    _text("kind", primary_key=True),
    _number("subject_id", primary_key=True),
    _text("cluster"),
    Index("ix_clusters_cluster", "cluster"),
    comment="near-duplicate cluster of a source or sample, named by its smallest digest",
)
splits = Table(
    "splits",
    metadata,
    _text("salt", primary_key=True),
    _number("sample_id", primary_key=True),
    _text("split"),
    _number("bucket"),
    _text("cluster"),
    _text("created_at"),
    CheckConstraint("split IN ('train', 'validation', 'test', 'excluded')", name="split"),
    comment="the split that a sample was given with its cluster; it is never given another",
)
exports = Table(
    "exports",
    metadata,
    _id(),
    _digest(),
    _ref("exports", "parent_id", nullable=True),
    _text("format"),
    _text("split", nullable=True),
    _text("filter"),
    _number("n_rows"),
    _number("n_retractions"),
    _text("folder"),
    _text("files"),
    _text("seen"),
    _text("created_at"),
    _text("published_at", nullable=True),
    comment="what was published; parent_id is the export that this one adds to",
)
export_rows = Table(
    "export_rows",
    metadata,
    _id(),
    _ref("exports", index=False),
    _number("position"),
    _number("chain_id", nullable=True),
    _number("sample_id", nullable=True),
    _text("split", nullable=True),
    _text("digest"),
    UniqueConstraint("export_id", "position"),
    Index("ix_export_rows_chain_id", "chain_id", "export_id"),
    _partial("ix_export_rows_sample_id", "sample_id", "export_id", where="sample_id IS NOT NULL"),
    comment="which chain (or sample) went into which export, and the digest of its state then",
)
batches = Table(
    "batches",
    metadata,
    _id(),
    _text("name"),
    _ref("teachers"),
    _number("worker_id", nullable=True),
    _text("state"),
    _text("status", nullable=True),
    _text("remote_id", nullable=True),
    _text("input_file", nullable=True),
    _text("output_file", nullable=True),
    _text("error_file", nullable=True),
    _number("n_calls", server_default="0"),
    _number("n_answered", server_default="0"),
    _number("n_failed", server_default="0"),
    _number("prompt_tokens", server_default="0"),
    _number("completion_tokens", server_default="0"),
    Column("refusals", SmallInteger, nullable=False, server_default="0"),
    Column("due_at", Double),
    _text("created_at"),
    _text("polled_at", nullable=True),
    _text("error", nullable=True),
    UniqueConstraint("name"),
    CheckConstraint("state IN ('bound', 'exported', 'sent', 'ended')", name="state"),
    _partial("ix_batches_open", "state", where="state <> 'ended'"),
    comment="calls submitted to a provider or written to a file together; tokens are an upper bound",
)
batch_items = Table(
    "batch_items",
    metadata,
    _ref("batches", "batch_id"),
    _number("call_id"),
    Column("is_open", SmallInteger, nullable=False),
    Column("is_read", SmallInteger, nullable=False, server_default="0"),
    Column("n_tries", SmallInteger, nullable=False, server_default="0"),
    UniqueConstraint("call_id", "batch_id"),
    _partial("uq_batch_items_is_open", "call_id", where="is_open = 1", unique=True),
    comment="which calls a batch holds; a call is open in one batch at most",
)
budgets = Table(
    "budgets",
    metadata,
    _text("name", primary_key=True),
    Column("cap", Double, nullable=False),
    Column("reserved", Double, nullable=False),
    Column("used", Double, nullable=False),
    Column("window_start", Double, nullable=False),
    comment="limits that all workers share: money, tokens, requests per minute",
)

# Exports and splits --------------------------------------------------------------------------

retractions = Table(
    "retractions",
    metadata,
    _ref("exports", index=False, primary_key=True),
    _ref("export_rows", primary_key=True),
    _text("reason"),
    comment="rows published earlier that an export withdraws",
)
signatures = Table(
    "signatures",
    metadata,
    _text("kind", primary_key=True),
    _number("subject_id", primary_key=True),
    _text("version", primary_key=True),
    _number("n_shingles"),
    Column("signature", LargeBinary, nullable=False),
    comment="MinHash of the text of a source or a sample",
)
benchmark_overlaps = Table(
    "benchmark_overlaps",
    metadata,
    _id(),
    _text("kind"),
    _number("subject_id"),
    _text("benchmark"),
    _text("item"),
    _text("method"),
    _text("created_at"),
    _text("evidence"),
    UniqueConstraint("kind", "subject_id", "benchmark", "item", "method"),
    comment="what a source or sample shares with a benchmark, with the evidence",
)

behaviour_probes = Table(
    "behaviour_probes",
    metadata,
    _text("shape", primary_key=True),
    _text("inputs"),
    _text("created_at"),
    comment="inputs on which samples with the same parameter types are compared, chosen once",
)
behaviours = Table(
    "behaviours",
    metadata,
    _number("sample_id", primary_key=True),
    _text("version", primary_key=True),
    _text("shape"),
    _text("fingerprint", nullable=True),
    _number("twin_id", nullable=True),
    Index("ix_behaviours_fingerprint", "fingerprint"),
    comment="what a sample gives on the probes, and an older sample that behaves like it",
)

NATURAL_KEYS: dict[str, tuple[str, ...]] = {
    "sources": ("digest",),
    "origins": ("digest",),
    "prompts": ("digest",),
    "teachers": ("digest",),
    "calls": ("prompt_id", "sample_no", "pinned_teacher_id"),
    "responses": ("call_id",),
    "samples": ("digest",),
    "sample_origins": ("digest",),
    "io_pairs": ("sample_id", "input_digest"),
    "turns": ("digest",),
    "turn_pairs": ("turn_id", "io_pair_id"),
    "verdicts": ("response_id", "checker", "variant_id"),
    "pair_checks": ("io_pair_id", "variant_id"),
    "variants": ("stage", "digest"),
}
