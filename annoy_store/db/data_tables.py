"""The data tables: append-only, one per noun of the pipeline (see tables.py)."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    SmallInteger,
    Table,
    UniqueConstraint,
)

from annoy_store.db.columns import (
    digest_column,
    id_column,
    metadata,
    number_column,
    partial_index,
    reference,
    text_column,
)

sources = Table(
    "sources",
    metadata,
    id_column(),
    digest_column(),
    text_column("language"),
    number_column("n_chars"),
    text_column("created_at"),
    text_column("content"),
    comment="one raw code file; equal content is one row",
)

origins = Table(
    "origins",
    metadata,
    id_column(),
    digest_column(),
    reference("sources"),
    text_column("origin"),
    text_column("repo"),
    text_column("path"),
    text_column("licence"),
    text_column("metadata"),
    Index("ix_origins_repo", "repo"),
    Index("ix_origins_licence", "licence"),
    comment="where a source was found; a source may have several",
)

prompts = Table(
    "prompts",
    metadata,
    id_column(),
    digest_column(),
    text_column("template"),
    text_column("template_digest"),
    number_column("n_chars"),
    text_column("messages"),
    comment="the messages sent to a model; equal messages are one row",
)

teachers = Table(
    "teachers",
    metadata,
    id_column(),
    digest_column(),
    text_column("backend"),
    text_column("model"),
    text_column("base_url"),
    text_column("parameters"),
    text_column("omitted", nullable=True),
    comment="a model with its sampling parameters and endpoint; row 0 is any",
)

calls = Table(
    "calls",
    metadata,
    id_column(),
    reference("prompts", index=False),
    Column("sample_no", Integer, nullable=False),
    reference("teachers", "pinned_teacher_id", index=False),
    UniqueConstraint("prompt_id", "sample_no", "pinned_teacher_id"),
    partial_index("ix_calls_pinned", "pinned_teacher_id", where="pinned_teacher_id > 0"),
    comment="one planned answer to a prompt",
)

responses = Table(
    "responses",
    metadata,
    id_column(),
    reference("calls", index=False),
    reference("teachers"),
    text_column("finish_reason"),
    number_column("n_chars"),
    text_column("created_at"),
    text_column("text"),
    text_column("reasoning", nullable=True),
    text_column("digest", nullable=True),
    UniqueConstraint("call_id"),
    partial_index("ix_responses_undigested", "id", where="digest IS NULL"),
    comment="the answer that a call got",
)

samples = Table(
    "samples",
    metadata,
    id_column(),
    digest_column(),
    text_column("funcname"),
    text_column("problem_statement"),
    text_column("io_requirements"),
    text_column("refcode"),
    text_column("input_generator", nullable=True),
    comment="a unified function with its input generator and problem statement",
)

sample_origins = Table(
    "sample_origins",
    metadata,
    id_column(),
    digest_column(),
    reference("samples"),
    reference("responses", nullable=True),
    reference("sources", nullable=True),
    number_column("variant_id", nullable=True),
    text_column("origin", nullable=True),
    number_column("line", nullable=True),
    text_column("metadata", nullable=True),
    comment="where a sample came from: a response and its source, or an imported file",
)

executions = Table(
    "executions",
    metadata,
    id_column(),
    reference("samples", nullable=True),
    reference("responses", nullable=True),
    text_column("purpose"),
    text_column("outcome"),
    text_column("error_type", nullable=True),
    text_column("missing_module", nullable=True),
    text_column("phase", nullable=True),
    Column("cpu_ms", Double, nullable=False),
    Column("wall_ms", Double, nullable=False),
    text_column("isolation"),
    text_column("runner_version"),
    text_column("interpreter"),
    text_column("draws", nullable=True),
    text_column("error_message", nullable=True),
    CheckConstraint("purpose IN ('generate', 'verify', 'check')", name="purpose"),
    comment="one sandbox run on behalf of a sample or a response",
)

io_pairs = Table(
    "io_pairs",
    metadata,
    id_column(),
    reference("samples", index=False),
    Column("position", Integer, nullable=False),
    text_column("input_digest"),
    number_column("seed", nullable=True),
    reference("executions", nullable=True, index=False),
    text_column("input"),
    text_column("output"),
    UniqueConstraint("sample_id", "input_digest"),
    comment="one input and the output that the sample's code gives for it",
)

turns = Table(
    "turns",
    metadata,
    id_column(),
    digest_column(),
    reference("prompts"),
    text_column("kind"),
    Column("number", SmallInteger, nullable=False),
    reference("sources", nullable=True),
    reference("io_pairs", nullable=True),
    reference("responses", "revises_response_id", nullable=True),
    reference("responses", "chain_response_id", nullable=True),
    reference("samples", nullable=True),
    CheckConstraint("number >= 1", name="number"),
    comment="why a prompt is asked; chain_response_id is the first answer of its chain",
)

turn_pairs = Table(
    "turn_pairs",
    metadata,
    reference("turns", index=False, primary_key=True),
    reference("io_pairs", primary_key=True),
    text_column("role"),
    comment="the pairs of a question that is about several",
)

verdicts = Table(
    "verdicts",
    metadata,
    id_column(),
    reference("responses", index=False),
    text_column("checker"),
    reference("variants", index=False),
    text_column("status"),
    text_column("mismatch", nullable=True),
    reference("executions", nullable=True, index=False),
    text_column("created_at"),
    text_column("predicted", nullable=True),
    text_column("got", nullable=True),
    text_column("feedback"),
    UniqueConstraint("response_id", "checker", "variant_id"),
    comment="the result of checking one response",
)

pair_checks = Table(
    "pair_checks",
    metadata,
    id_column(),
    reference("io_pairs", index=False),
    reference("variants", index=False),
    text_column("status"),
    reference("executions", nullable=True, index=False),
    number_column("lines_executed", nullable=True),
    text_column("shown", nullable=True),
    UniqueConstraint("io_pair_id", "variant_id"),
    CheckConstraint("shown IN ('call', 'input', 'no')", name="shown"),
    partial_index("ix_pair_checks_not_compared", "id", where="shown IS NULL"),
    comment="whether a pair is reproduced by another run with another hash seed, random seed and clock",
)

attempts = Table(
    "attempts",
    metadata,
    id_column(),
    reference("calls"),
    reference("teachers", index=False),
    number_column("worker_id"),
    text_column("started_at"),
    Column("latency_ms", Double, nullable=False),
    text_column("status"),
    text_column("error_class", nullable=True),
    number_column("http_status", nullable=True),
    number_column("prompt_tokens", nullable=True),
    number_column("cached_tokens", nullable=True),
    number_column("completion_tokens", nullable=True),
    number_column("reasoning_tokens", nullable=True),
    text_column("model", nullable=True),
    text_column("error_message", nullable=True),
    text_column("text", nullable=True),
    text_column("reasoning", nullable=True),
    text_column("digest", nullable=True),
    partial_index("ix_attempts_undigested", "id", where="digest IS NULL"),
    comment="one try of a call, with its usage",
)

prices = Table(
    "prices",
    metadata,
    text_column("model", primary_key=True),
    text_column("from_time", primary_key=True),
    Column("input", Double, nullable=False),
    Column("cached", Double, nullable=False),
    Column("output", Double, nullable=False),
    comment="USD per million tokens, from a time on",
)

annotation_log = Table(
    "annotation_log",
    metadata,
    id_column(),
    digest_column(),
    text_column("kind"),
    text_column("root"),
    text_column("subject"),
    text_column("mark"),
    Column("is_set", SmallInteger, nullable=False),
    text_column("author"),
    text_column("created_at"),
    text_column("value"),
    CheckConstraint("mark IN ('flag', 'tag', 'note')", name="mark"),
    Index("ix_annotation_log_subject", "root", "subject"),
    comment="a reader set or removed a mark of a row, which is named by content (db/annotation_views.py)",
)
