"""The first schema, and the teacher that stands for any teacher."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "behaviours",
        sa.Column("sample_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("shape", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column("twin_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sample_id", "version", name=op.f("pk_behaviours")),
        comment="what a sample gives on the probes, and an older sample that behaves like it",
    )
    op.create_index("ix_behaviours_fingerprint", "behaviours", ["fingerprint"], unique=False)

    op.create_table(
        "budgets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cap", sa.Double(), nullable=False),
        sa.Column("reserved", sa.Double(), nullable=False),
        sa.Column("used", sa.Double(), nullable=False),
        sa.Column("window_start", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_budgets")),
        comment="limits that all workers share: money, tokens, requests per minute",
    )
    op.create_table(
        "clusters",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject_id", name=op.f("pk_clusters")),
        comment="near-duplicate cluster of a source or sample, named by its smallest digest",
    )
    op.create_index("ix_clusters_cluster", "clusters", ["cluster"], unique=False)

    op.create_table(
        "counters",
        sa.Column("worker_id", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("worker_id", "stage", "state", name=op.f("pk_counters")),
        comment="jobs entered into minus moved out of each state, per worker: their sum is the funnel",
    )
    op.create_table(
        "exports",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.BigInteger(), nullable=True),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("split", sa.Text(), nullable=True),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("n_rows", sa.BigInteger(), nullable=False),
        sa.Column("n_retractions", sa.BigInteger(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("seen", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("published_at", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["exports.id"], name=op.f("fk_exports_parent_id_exports")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
        sa.UniqueConstraint("digest", name=op.f("uq_exports_digest")),
        comment="what was published; parent_id is the export that this one adds to",
    )
    op.create_index(op.f("ix_exports_parent_id"), "exports", ["parent_id"], unique=False)

    op.create_table(
        "hidden",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject_id", name=op.f("pk_hidden")),
        comment="sources and samples with no allowed origin left",
    )
    op.create_table(
        "horizons",
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("upto", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("writers", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("table_name", name=op.f("pk_horizons")),
        comment="up to which id all rows of a table are committed; the same of seen when writers end",
    )
    op.create_table(
        "jobs",
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("variant_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("crashes", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("worker_id", sa.BigInteger(), nullable=True),
        sa.Column("due_at", sa.Double(), nullable=True),
        sa.Column("claimed_at", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'claimed', 'done', 'rejected', 'failed', 'deferred', 'suspect')",
            name=op.f("ck_jobs_state"),
        ),
        sa.PrimaryKeyConstraint("stage", "subject_id", "variant_id", name=op.f("pk_jobs")),
        comment="the ledger: one unit of work of one stage",
        postgresql_with={
            "fillfactor": "80",
            "autovacuum_vacuum_scale_factor": "0.02",
            "autovacuum_vacuum_cost_delay": "0",
            "autovacuum_analyze_scale_factor": "0.02",
        },
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_jobs_claimed",
        "jobs",
        ["worker_id"],
        unique=False,
        sqlite_where=sa.text("state = 'claimed'"),
        postgresql_where=sa.text("state = 'claimed'"),
    )
    op.create_index(
        "ix_jobs_deferred",
        "jobs",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("state = 'deferred'"),
        postgresql_where=sa.text("state = 'deferred'"),
    )
    op.create_index(
        "ix_jobs_ended_badly",
        "jobs",
        ["stage", "reason"],
        unique=False,
        sqlite_where=sa.text("state IN ('rejected', 'failed')"),
        postgresql_where=sa.text("state IN ('rejected', 'failed')"),
    )
    op.create_index(
        "ix_jobs_pending",
        "jobs",
        ["stage", "variant_id", "priority", "subject_id"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_jobs_suspect",
        "jobs",
        ["stage", "variant_id", "subject_id"],
        unique=False,
        sqlite_where=sa.text("state = 'suspect'"),
        postgresql_where=sa.text("state = 'suspect'"),
    )

    op.create_table(
        "overlaps",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("benchmark", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_overlaps")),
        sa.UniqueConstraint(
            "kind",
            "subject_id",
            "benchmark",
            "item",
            "method",
            name=op.f("uq_overlaps_kind_subject_id_benchmark_item_method"),
        ),
        comment="what a source or sample shares with a benchmark, with the evidence",
    )
    op.create_table(
        "policies",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_policies")),
        comment="settings that define data and differ from their defaults",
    )
    op.create_table(
        "prices",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("from_time", sa.Text(), nullable=False),
        sa.Column("input", sa.Double(), nullable=False),
        sa.Column("cached", sa.Double(), nullable=False),
        sa.Column("output", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("model", "from_time", name=op.f("pk_prices")),
        comment="USD per million tokens, from a time on",
    )
    op.create_table(
        "probes",
        sa.Column("shape", sa.Text(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("shape", name=op.f("pk_probes")),
        comment="inputs on which samples of one shape of parameters are compared, chosen once",
    )
    op.create_table(
        "prompts",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("template_digest", sa.Text(), nullable=False),
        sa.Column("n_chars", sa.BigInteger(), nullable=False),
        sa.Column("messages", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompts")),
        sa.UniqueConstraint("digest", name=op.f("uq_prompts_digest")),
        comment="the messages sent to a model; equal messages are one row",
    )
    op.create_table(
        "samples",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("funcname", sa.Text(), nullable=False),
        sa.Column("problem_statement", sa.Text(), nullable=False),
        sa.Column("io_requirements", sa.Text(), nullable=False),
        sa.Column("refcode", sa.Text(), nullable=False),
        sa.Column("input_generator", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_samples")),
        sa.UniqueConstraint("digest", name=op.f("uq_samples_digest")),
        comment="a unified function with its input generator and problem statement",
    )
    op.create_table(
        "signatures",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("n_shingles", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject_id", "version", name=op.f("pk_signatures")),
        comment="MinHash of the text of a source or a sample",
    )
    op.create_table(
        "sources",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("n_chars", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
        sa.UniqueConstraint("digest", name=op.f("uq_sources_digest")),
        comment="one raw code file; equal content is one row",
    )
    op.create_table(
        "splits",
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.BigInteger(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("bucket", sa.BigInteger(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "split IN ('train', 'validation', 'test', 'aside')", name=op.f("ck_splits_split")
        ),
        sa.PrimaryKeyConstraint("salt", "sample_id", name=op.f("pk_splits")),
        comment="the split that a sample was given with its cluster, for ever",
    )
    op.create_table(
        "takedowns",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("lifted_at", sa.Text(), nullable=True),
        sa.Column("purged_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_takedowns")),
        comment="a rule that hides origins",
    )
    op.create_table(
        "teachers",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_teachers")),
        sa.UniqueConstraint("digest", name=op.f("uq_teachers_digest")),
        comment="a model with its sampling parameters and endpoint; row 0 is any",
    )
    op.create_table(
        "variants",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("active", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_variants")),
        sa.UniqueConstraint("stage", "digest", name=op.f("uq_variants_stage_digest")),
        comment="one version of a stage's code with the policy values it depends on",
    )
    op.create_table(
        "watermarks",
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("upto", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stage", "scope", name=op.f("pk_watermarks")),
        comment="up to which watched id all jobs of a stage were entered under one scope",
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("process_start", sa.Text(), nullable=False),
        sa.Column("stages", sa.Text(), nullable=False),
        sa.Column("alive", sa.SmallInteger(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
        comment="one process incarnation that claims jobs",
    )
    op.create_index(
        "ix_workers_alive",
        "workers",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("alive = 1"),
        postgresql_where=sa.text("alive = 1"),
    )

    op.create_table(
        "batches",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("teacher_id", sa.BigInteger(), nullable=False),
        sa.Column("worker_id", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("remote_id", sa.Text(), nullable=True),
        sa.Column("input_file", sa.Text(), nullable=True),
        sa.Column("output_file", sa.Text(), nullable=True),
        sa.Column("error_file", sa.Text(), nullable=True),
        sa.Column("n_calls", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("n_answered", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("n_failed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("refusals", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("due_at", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("polled_at", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('bound', 'exported', 'sent', 'ended')", name=op.f("ck_batches_state")
        ),
        sa.ForeignKeyConstraint(
            ["teacher_id"], ["teachers.id"], name=op.f("fk_batches_teacher_id_teachers")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
        sa.UniqueConstraint("name", name=op.f("uq_batches_name")),
        comment="calls handed to a provider or a file together; tokens are the most they can use",
    )
    op.create_index(
        "ix_batches_open",
        "batches",
        ["state"],
        unique=False,
        sqlite_where=sa.text("state <> 'ended'"),
        postgresql_where=sa.text("state <> 'ended'"),
    )
    op.create_index(op.f("ix_batches_teacher_id"), "batches", ["teacher_id"], unique=False)

    op.create_table(
        "calls",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("prompt_id", sa.BigInteger(), nullable=False),
        sa.Column("sample_no", sa.Integer(), nullable=False),
        sa.Column("pinned_teacher_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pinned_teacher_id"], ["teachers.id"], name=op.f("fk_calls_pinned_teacher_id_teachers")
        ),
        sa.ForeignKeyConstraint(
            ["prompt_id"], ["prompts.id"], name=op.f("fk_calls_prompt_id_prompts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
        sa.UniqueConstraint(
            "prompt_id",
            "sample_no",
            "pinned_teacher_id",
            name=op.f("uq_calls_prompt_id_sample_no_pinned_teacher_id"),
        ),
        comment="one planned answer to a prompt",
    )
    op.create_index(
        "ix_calls_pinned",
        "calls",
        ["pinned_teacher_id"],
        unique=False,
        sqlite_where=sa.text("pinned_teacher_id > 0"),
        postgresql_where=sa.text("pinned_teacher_id > 0"),
    )

    op.create_table(
        "export_rows",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("export_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=True),
        sa.Column("sample_id", sa.BigInteger(), nullable=True),
        sa.Column("split", sa.Text(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["export_id"], ["exports.id"], name=op.f("fk_export_rows_export_id_exports")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export_rows")),
        sa.UniqueConstraint(
            "export_id", "position", name=op.f("uq_export_rows_export_id_position")
        ),
        comment="which chain (or sample) went into which export, and the digest of its state then",
    )
    op.create_index(
        "ix_export_rows_chain_id", "export_rows", ["chain_id", "export_id"], unique=False
    )
    op.create_index(
        "ix_export_rows_sample_id",
        "export_rows",
        ["sample_id", "export_id"],
        unique=False,
        sqlite_where=sa.text("sample_id IS NOT NULL"),
        postgresql_where=sa.text("sample_id IS NOT NULL"),
    )

    op.create_table(
        "origins",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("repo", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("licence", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"], ["sources.id"], name=op.f("fk_origins_source_id_sources")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_origins")),
        sa.UniqueConstraint("digest", name=op.f("uq_origins_digest")),
        comment="where a source was found; a source may have several",
    )
    op.create_index("ix_origins_licence", "origins", ["licence"], unique=False)
    op.create_index("ix_origins_repo", "origins", ["repo"], unique=False)
    op.create_index(op.f("ix_origins_source_id"), "origins", ["source_id"], unique=False)

    op.create_table(
        "attempts",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("call_id", sa.BigInteger(), nullable=False),
        sa.Column("teacher_id", sa.BigInteger(), nullable=False),
        sa.Column("worker_id", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error_class", sa.Text(), nullable=True),
        sa.Column("http_status", sa.BigInteger(), nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=True),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=True),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_attempts_call_id_calls")),
        sa.ForeignKeyConstraint(
            ["teacher_id"], ["teachers.id"], name=op.f("fk_attempts_teacher_id_teachers")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        comment="one try of a call, with what it used",
    )
    op.create_index(op.f("ix_attempts_call_id"), "attempts", ["call_id"], unique=False)

    op.create_table(
        "batch_items",
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("call_id", sa.BigInteger(), nullable=False),
        sa.Column("open", sa.SmallInteger(), nullable=False),
        sa.Column("read", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.id"], name=op.f("fk_batch_items_batch_id_batches")
        ),
        sa.UniqueConstraint("call_id", "batch_id", name=op.f("uq_batch_items_call_id_batch_id")),
        comment="which calls a batch holds; a call is open in one batch at most",
    )
    op.create_index(op.f("ix_batch_items_batch_id"), "batch_items", ["batch_id"], unique=False)
    op.create_index(
        "uq_batch_items_open",
        "batch_items",
        ["call_id"],
        unique=True,
        sqlite_where=sa.text("open = 1"),
        postgresql_where=sa.text("open = 1"),
    )

    op.create_table(
        "responses",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("call_id", sa.BigInteger(), nullable=False),
        sa.Column("teacher_id", sa.BigInteger(), nullable=False),
        sa.Column("finish_reason", sa.Text(), nullable=False),
        sa.Column("n_chars", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("reasoning", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_responses_call_id_calls")),
        sa.ForeignKeyConstraint(
            ["teacher_id"], ["teachers.id"], name=op.f("fk_responses_teacher_id_teachers")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_responses")),
        sa.UniqueConstraint("call_id", name=op.f("uq_responses_call_id")),
        comment="the answer that a call got",
    )
    op.create_index(op.f("ix_responses_teacher_id"), "responses", ["teacher_id"], unique=False)

    op.create_table(
        "retractions",
        sa.Column("export_id", sa.BigInteger(), nullable=False),
        sa.Column("export_row_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["export_id"], ["exports.id"], name=op.f("fk_retractions_export_id_exports")
        ),
        sa.ForeignKeyConstraint(
            ["export_row_id"],
            ["export_rows.id"],
            name=op.f("fk_retractions_export_row_id_export_rows"),
        ),
        sa.PrimaryKeyConstraint("export_id", "export_row_id", name=op.f("pk_retractions")),
        comment="rows published earlier that an export takes back",
    )
    op.create_index(
        op.f("ix_retractions_export_row_id"), "retractions", ["export_row_id"], unique=False
    )

    op.create_table(
        "executions",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("sample_id", sa.BigInteger(), nullable=True),
        sa.Column("response_id", sa.BigInteger(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("missing_module", sa.Text(), nullable=True),
        sa.Column("phase", sa.Text(), nullable=True),
        sa.Column("cpu_ms", sa.Double(), nullable=False),
        sa.Column("wall_ms", sa.Double(), nullable=False),
        sa.Column("rung", sa.Text(), nullable=False),
        sa.Column("runner_version", sa.Text(), nullable=False),
        sa.Column("interpreter", sa.Text(), nullable=False),
        sa.Column("draws", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "purpose IN ('generate', 'verify', 'check')", name=op.f("ck_executions_purpose")
        ),
        sa.ForeignKeyConstraint(
            ["response_id"], ["responses.id"], name=op.f("fk_executions_response_id_responses")
        ),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["samples.id"], name=op.f("fk_executions_sample_id_samples")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_executions")),
        comment="one sandbox run on behalf of a sample or a response",
    )
    op.create_index(op.f("ix_executions_response_id"), "executions", ["response_id"], unique=False)
    op.create_index(op.f("ix_executions_sample_id"), "executions", ["sample_id"], unique=False)

    op.create_table(
        "sample_origins",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.BigInteger(), nullable=False),
        sa.Column("response_id", sa.BigInteger(), nullable=True),
        sa.Column("source_id", sa.BigInteger(), nullable=True),
        sa.Column("variant_id", sa.BigInteger(), nullable=True),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.Column("line", sa.BigInteger(), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["response_id"], ["responses.id"], name=op.f("fk_sample_origins_response_id_responses")
        ),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["samples.id"], name=op.f("fk_sample_origins_sample_id_samples")
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["sources.id"], name=op.f("fk_sample_origins_source_id_sources")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sample_origins")),
        sa.UniqueConstraint("digest", name=op.f("uq_sample_origins_digest")),
        comment="where a sample came from: a response and its source, or an imported file",
    )
    op.create_index(
        op.f("ix_sample_origins_response_id"), "sample_origins", ["response_id"], unique=False
    )
    op.create_index(
        op.f("ix_sample_origins_sample_id"), "sample_origins", ["sample_id"], unique=False
    )
    op.create_index(
        op.f("ix_sample_origins_source_id"), "sample_origins", ["source_id"], unique=False
    )

    op.create_table(
        "io_pairs",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("sample_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("input_digest", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("execution_id", sa.BigInteger(), nullable=True),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_io_pairs_execution_id_executions")
        ),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["samples.id"], name=op.f("fk_io_pairs_sample_id_samples")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_io_pairs")),
        sa.UniqueConstraint(
            "sample_id", "input_digest", name=op.f("uq_io_pairs_sample_id_input_digest")
        ),
        comment="one input and the output that the sample's code gives for it",
    )
    op.create_table(
        "verdicts",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("response_id", sa.BigInteger(), nullable=False),
        sa.Column("checker", sa.Text(), nullable=False),
        sa.Column("variant_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("mismatch", sa.Text(), nullable=True),
        sa.Column("execution_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("predicted", sa.Text(), nullable=True),
        sa.Column("got", sa.Text(), nullable=True),
        sa.Column("feedback", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "status IN ('correct', 'wrong', 'no_answer', 'bad_args', 'exception', 'cpu_timeout', 'wall_timeout', 'memory', 'crash', 'output_too_large', 'not_json')",
            name=op.f("ck_verdicts_status"),
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_verdicts_execution_id_executions")
        ),
        sa.ForeignKeyConstraint(
            ["response_id"], ["responses.id"], name=op.f("fk_verdicts_response_id_responses")
        ),
        sa.ForeignKeyConstraint(
            ["variant_id"], ["variants.id"], name=op.f("fk_verdicts_variant_id_variants")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
        sa.UniqueConstraint(
            "response_id",
            "checker",
            "variant_id",
            name=op.f("uq_verdicts_response_id_checker_variant_id"),
        ),
        comment="a checker's judgement of one response",
    )
    op.create_table(
        "pair_checks",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("io_pair_id", sa.BigInteger(), nullable=False),
        sa.Column("variant_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("execution_id", sa.BigInteger(), nullable=True),
        sa.Column("lines_executed", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_pair_checks_execution_id_executions")
        ),
        sa.ForeignKeyConstraint(
            ["io_pair_id"], ["io_pairs.id"], name=op.f("fk_pair_checks_io_pair_id_io_pairs")
        ),
        sa.ForeignKeyConstraint(
            ["variant_id"], ["variants.id"], name=op.f("fk_pair_checks_variant_id_variants")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pair_checks")),
        sa.UniqueConstraint(
            "io_pair_id", "variant_id", name=op.f("uq_pair_checks_io_pair_id_variant_id")
        ),
        comment="whether a pair holds when it is run again in another world",
    )
    op.create_table(
        "turns",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("prompt_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=True),
        sa.Column("io_pair_id", sa.BigInteger(), nullable=True),
        sa.Column("revises_response_id", sa.BigInteger(), nullable=True),
        sa.Column("chain_response_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('transform', 'predict_output', 'predict_input')", name=op.f("ck_turns_kind")
        ),
        sa.CheckConstraint("number >= 1", name=op.f("ck_turns_number")),
        sa.ForeignKeyConstraint(
            ["chain_response_id"],
            ["responses.id"],
            name=op.f("fk_turns_chain_response_id_responses"),
        ),
        sa.ForeignKeyConstraint(
            ["io_pair_id"], ["io_pairs.id"], name=op.f("fk_turns_io_pair_id_io_pairs")
        ),
        sa.ForeignKeyConstraint(
            ["prompt_id"], ["prompts.id"], name=op.f("fk_turns_prompt_id_prompts")
        ),
        sa.ForeignKeyConstraint(
            ["revises_response_id"],
            ["responses.id"],
            name=op.f("fk_turns_revises_response_id_responses"),
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["sources.id"], name=op.f("fk_turns_source_id_sources")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_turns")),
        sa.UniqueConstraint("digest", name=op.f("uq_turns_digest")),
        comment="why a prompt is asked; chain_response_id is the first answer of its chain",
    )
    op.create_index(
        op.f("ix_turns_chain_response_id"), "turns", ["chain_response_id"], unique=False
    )
    op.create_index(op.f("ix_turns_io_pair_id"), "turns", ["io_pair_id"], unique=False)
    op.create_index(op.f("ix_turns_prompt_id"), "turns", ["prompt_id"], unique=False)
    op.create_index(
        op.f("ix_turns_revises_response_id"), "turns", ["revises_response_id"], unique=False
    )
    op.create_index(op.f("ix_turns_source_id"), "turns", ["source_id"], unique=False)
    teachers = sa.table(
        "teachers",
        *(sa.column(n) for n in ("id", "digest", "backend", "model", "base_url", "parameters")),
    )
    op.execute(
        teachers.insert().values(
            id=0, digest="any", backend="any", model="any", base_url="", parameters="{}"
        )
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_turns_source_id"), table_name="turns")
    op.drop_index(op.f("ix_turns_revises_response_id"), table_name="turns")
    op.drop_index(op.f("ix_turns_prompt_id"), table_name="turns")
    op.drop_index(op.f("ix_turns_io_pair_id"), table_name="turns")
    op.drop_index(op.f("ix_turns_chain_response_id"), table_name="turns")

    op.drop_table("turns")
    op.drop_table("pair_checks")
    op.drop_table("verdicts")
    op.drop_table("io_pairs")
    op.drop_index(op.f("ix_sample_origins_source_id"), table_name="sample_origins")
    op.drop_index(op.f("ix_sample_origins_sample_id"), table_name="sample_origins")
    op.drop_index(op.f("ix_sample_origins_response_id"), table_name="sample_origins")

    op.drop_table("sample_origins")
    op.drop_index(op.f("ix_executions_sample_id"), table_name="executions")
    op.drop_index(op.f("ix_executions_response_id"), table_name="executions")

    op.drop_table("executions")
    op.drop_index(op.f("ix_retractions_export_row_id"), table_name="retractions")

    op.drop_table("retractions")
    op.drop_index(op.f("ix_responses_teacher_id"), table_name="responses")

    op.drop_table("responses")
    op.drop_index(
        "uq_batch_items_open",
        table_name="batch_items",
        sqlite_where=sa.text("open = 1"),
        postgresql_where=sa.text("open = 1"),
    )
    op.drop_index(op.f("ix_batch_items_batch_id"), table_name="batch_items")

    op.drop_table("batch_items")
    op.drop_index(op.f("ix_attempts_call_id"), table_name="attempts")

    op.drop_table("attempts")
    op.drop_index(op.f("ix_origins_source_id"), table_name="origins")
    op.drop_index("ix_origins_repo", table_name="origins")
    op.drop_index("ix_origins_licence", table_name="origins")

    op.drop_table("origins")
    op.drop_index(
        "ix_export_rows_sample_id",
        table_name="export_rows",
        sqlite_where=sa.text("sample_id IS NOT NULL"),
        postgresql_where=sa.text("sample_id IS NOT NULL"),
    )
    op.drop_index("ix_export_rows_chain_id", table_name="export_rows")

    op.drop_table("export_rows")
    op.drop_index(
        "ix_calls_pinned",
        table_name="calls",
        sqlite_where=sa.text("pinned_teacher_id > 0"),
        postgresql_where=sa.text("pinned_teacher_id > 0"),
    )

    op.drop_table("calls")
    op.drop_index(op.f("ix_batches_teacher_id"), table_name="batches")
    op.drop_index(
        "ix_batches_open",
        table_name="batches",
        sqlite_where=sa.text("state <> 'ended'"),
        postgresql_where=sa.text("state <> 'ended'"),
    )

    op.drop_table("batches")
    op.drop_index(
        "ix_workers_alive",
        table_name="workers",
        sqlite_where=sa.text("alive = 1"),
        postgresql_where=sa.text("alive = 1"),
    )

    op.drop_table("workers")
    op.drop_table("watermarks")
    op.drop_table("variants")
    op.drop_table("teachers")
    op.drop_table("takedowns")
    op.drop_table("splits")
    op.drop_table("sources")
    op.drop_table("signatures")
    op.drop_table("samples")
    op.drop_table("prompts")
    op.drop_table("probes")
    op.drop_table("prices")
    op.drop_table("policies")
    op.drop_table("overlaps")
    op.drop_index(
        "ix_jobs_suspect",
        table_name="jobs",
        sqlite_where=sa.text("state = 'suspect'"),
        postgresql_where=sa.text("state = 'suspect'"),
    )
    op.drop_index(
        "ix_jobs_pending",
        table_name="jobs",
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.drop_index(
        "ix_jobs_ended_badly",
        table_name="jobs",
        sqlite_where=sa.text("state IN ('rejected', 'failed')"),
        postgresql_where=sa.text("state IN ('rejected', 'failed')"),
    )
    op.drop_index(
        "ix_jobs_deferred",
        table_name="jobs",
        sqlite_where=sa.text("state = 'deferred'"),
        postgresql_where=sa.text("state = 'deferred'"),
    )
    op.drop_index(
        "ix_jobs_claimed",
        table_name="jobs",
        sqlite_where=sa.text("state = 'claimed'"),
        postgresql_where=sa.text("state = 'claimed'"),
    )

    op.drop_table("jobs")
    op.drop_table("horizons")
    op.drop_table("hidden")
    op.drop_index(op.f("ix_exports_parent_id"), table_name="exports")

    op.drop_table("exports")
    op.drop_table("counters")
    op.drop_index("ix_clusters_cluster", table_name="clusters")

    op.drop_table("clusters")
    op.drop_table("budgets")
    op.drop_index("ix_behaviours_fingerprint", table_name="behaviours")

    op.drop_table("behaviours")
