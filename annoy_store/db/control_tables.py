"""The control tables: policies, the job queue, takedowns, batches and budgets (see tables.py)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, Column, Double, SmallInteger, Table, UniqueConstraint, text

from annoy_store.db.columns import (
    POSTGRESQL_OPTIONS,
    digest_column,
    id_column,
    metadata,
    number_column,
    partial_index,
    reference,
    text_column,
)
from annoy_store.db.states import FAILED_STATES, JOB_STATES, sql_list

JOB_OPTIONS: dict[str, Any] = {
    "sqlite_with_rowid": False,
    "info": {
        POSTGRESQL_OPTIONS: {
            "postgresql_with": {
                "fillfactor": "80",
                "autovacuum_vacuum_scale_factor": "0.02",
                "autovacuum_vacuum_cost_delay": "0",
                "autovacuum_analyze_scale_factor": "0.02",
            }
        }
    },
}

policies = Table(
    "policies",
    metadata,
    text_column("key", primary_key=True),
    text_column("value"),
    text_column("since"),
    comment="settings that define data and differ from their defaults",
)

variants = Table(
    "variants",
    metadata,
    id_column(),
    text_column("stage"),
    text_column("digest"),
    text_column("description"),
    Column("active", SmallInteger, nullable=False),
    text_column("task", server_default=text("''")),
    UniqueConstraint("stage", "digest"),
    comment="one version of a stage's code with the policy values it depends on",
)

jobs = Table(
    "jobs",
    metadata,
    text_column("stage", primary_key=True),
    number_column("subject_id", primary_key=True),
    number_column("variant_id", primary_key=True),
    text_column("state", server_default="pending"),
    Column("priority", SmallInteger, nullable=False, server_default="0"),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("crashes", SmallInteger, nullable=False, server_default="0"),
    number_column("worker_id", nullable=True),
    Column("due_at", Double),
    Column("claimed_at", Double),
    text_column("reason", nullable=True),
    text_column("detail", nullable=True),
    CheckConstraint(f"state IN {sql_list(JOB_STATES)}", name="state"),
    partial_index(
        "ix_jobs_pending",
        "stage",
        "variant_id",
        "priority",
        "subject_id",
        where="state = 'pending'",
    ),
    partial_index("ix_jobs_claimed", "worker_id", where="state = 'claimed'"),
    partial_index("ix_jobs_deferred", "due_at", where="state = 'deferred'"),
    partial_index(
        "ix_jobs_suspect", "stage", "variant_id", "subject_id", where="state = 'suspect'"
    ),
    partial_index(
        "ix_jobs_ended_badly", "stage", "reason", where=f"state IN {sql_list(FAILED_STATES)}"
    ),
    comment="one unit of work of one stage, with its state",
    **JOB_OPTIONS,
)

workers = Table(
    "workers",
    metadata,
    id_column(),
    text_column("host"),
    number_column("pid"),
    text_column("process_start"),
    text_column("stages"),
    Column("alive", SmallInteger, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("started_at", Double, nullable=False),
    text_column("notice", nullable=True),
    partial_index("ix_workers_alive", "lease_until", where="alive = 1"),
    comment="one process incarnation that claims jobs",
)

job_counters = Table(
    "job_counters",
    metadata,
    number_column("worker_id", primary_key=True),
    text_column("stage", primary_key=True),
    text_column("state", primary_key=True),
    number_column("n"),
    comment="jobs moved into minus out of each state, per worker: the sum is the number of jobs in it",
)

watermarks = Table(
    "watermarks",
    metadata,
    text_column("stage", primary_key=True),
    text_column("scope", primary_key=True),
    number_column("upto"),
    comment="up to which watched id all jobs of a stage were entered under one scope",
)

commit_horizons = Table(
    "commit_horizons",
    metadata,
    text_column("table_name", primary_key=True),
    number_column("upto"),
    number_column("seen"),
    text_column("writers"),
    comment="up to which id all rows of a table are committed; the same of seen when writers end",
)

takedowns = Table(
    "takedowns",
    metadata,
    id_column(),
    text_column("kind"),
    text_column("value"),
    text_column("why"),
    text_column("created_at"),
    text_column("lifted_at", nullable=True),
    text_column("purged_at", nullable=True),
    digest_column(),
    comment="a rule that hides origins",
)

purged_digests = Table(
    "purged_digests",
    metadata,
    text_column("kind", primary_key=True),
    text_column("digest", primary_key=True),
    text_column("purged_at"),
    comment="digests of purged sources and samples, and of their texts: refused for ever",
)

unfinished_copies = Table(
    "unfinished_copies",
    metadata,
    text_column("origin", primary_key=True),
    text_column("started_at"),
    comment="the store that is being copied into this one; empty when the copy is whole",
)

hidden_subjects = Table(
    "hidden_subjects",
    metadata,
    text_column("kind", primary_key=True),
    number_column("subject_id", primary_key=True),
    comment="sources and samples with no allowed origin left",
)

batches = Table(
    "batches",
    metadata,
    id_column(),
    text_column("name"),
    reference("teachers"),
    number_column("worker_id", nullable=True),
    text_column("state"),
    text_column("status", nullable=True),
    text_column("remote_id", nullable=True),
    text_column("input_file", nullable=True),
    text_column("output_file", nullable=True),
    text_column("error_file", nullable=True),
    number_column("n_calls", server_default="0"),
    number_column("n_answered", server_default="0"),
    number_column("n_failed", server_default="0"),
    number_column("prompt_tokens", server_default="0"),
    number_column("completion_tokens", server_default="0"),
    Column("refusals", SmallInteger, nullable=False, server_default="0"),
    Column("due_at", Double),
    text_column("created_at"),
    text_column("polled_at", nullable=True),
    text_column("error", nullable=True),
    UniqueConstraint("name"),
    CheckConstraint("state IN ('bound', 'exported', 'sent', 'ended')", name="state"),
    partial_index("ix_batches_open", "state", where="state <> 'ended'"),
    comment="calls submitted to a provider or written to a file together; tokens are an upper bound",
)

batch_items = Table(
    "batch_items",
    metadata,
    reference("batches", "batch_id"),
    number_column("call_id"),
    Column("is_open", SmallInteger, nullable=False),
    Column("is_read", SmallInteger, nullable=False, server_default="0"),
    Column("n_tries", SmallInteger, nullable=False, server_default="0"),
    UniqueConstraint("call_id", "batch_id"),
    partial_index("uq_batch_items_is_open", "call_id", where="is_open = 1", unique=True),
    comment="which calls a batch holds; a call is open in one batch at most",
)

budgets = Table(
    "budgets",
    metadata,
    text_column("name", primary_key=True),
    Column("cap", Double, nullable=False),
    Column("reserved", Double, nullable=False),
    Column("used", Double, nullable=False),
    Column("window_start", Double, nullable=False),
    comment="limits that all workers share: money, tokens, requests per minute",
)
