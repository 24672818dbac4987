"""The schema: what is stored, one table per noun.

Decisions
- Data tables are append-only; control tables (jobs, workers, job_counters, watermarks,
  commit_horizons, policies, variants, takedowns, purged_digests, hidden_subjects,
  unfinished_copies, budgets, batches, clusters) change. Nothing is deleted.
- `digest` is the content hash of a row, over content and other rows' digests (hashing.py).
- Values of code (inputs, outputs) are JSON text: integers of any size, mixed types, one order.
- Small columns stand before large texts, so that a scan need not read overflow pages.
- Prompts hold only their messages; turns say why they are asked. So the keys form no cycle.
- States and statuses are words, and the literals in the partial indexes are the ones that the
  statements of queue/jobs.py spell out: a bound parameter cannot use such an index.
- `NATURAL_KEYS` is what makes a row the same row; a table without one only grows.
Dialect options are only keyword arguments of a table; behaviour that differs is in sql.py. Tables
stand in data_tables.py, control_tables.py and export_tables.py; others import them from here.
"""

from __future__ import annotations

from annoy_store.db.columns import metadata
from annoy_store.db.control_tables import (
    JOB_OPTIONS,
    batch_items,
    batches,
    budgets,
    commit_horizons,
    hidden_subjects,
    job_counters,
    jobs,
    policies,
    purged_digests,
    takedowns,
    unfinished_copies,
    variants,
    watermarks,
    workers,
)
from annoy_store.db.data_tables import (
    annotation_log,
    attempts,
    calls,
    executions,
    io_pairs,
    origins,
    pair_checks,
    prices,
    prompts,
    responses,
    sample_origins,
    samples,
    sources,
    teachers,
    turn_pairs,
    turns,
    verdicts,
)
from annoy_store.db.export_tables import (
    behaviour_probes,
    behaviours,
    benchmark_comparisons,
    benchmark_overlaps,
    clusters,
    export_rows,
    exports,
    retractions,
    signatures,
    splits,
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
    "annotation_log": ("digest",),
}

__all__ = [
    "JOB_OPTIONS",
    "NATURAL_KEYS",
    "STATUSES",
    "annotation_log",
    "attempts",
    "batch_items",
    "batches",
    "behaviour_probes",
    "behaviours",
    "benchmark_comparisons",
    "benchmark_overlaps",
    "budgets",
    "calls",
    "clusters",
    "commit_horizons",
    "executions",
    "export_rows",
    "exports",
    "hidden_subjects",
    "io_pairs",
    "job_counters",
    "jobs",
    "metadata",
    "origins",
    "pair_checks",
    "policies",
    "prices",
    "prompts",
    "purged_digests",
    "responses",
    "retractions",
    "sample_origins",
    "samples",
    "signatures",
    "sources",
    "splits",
    "takedowns",
    "teachers",
    "turn_pairs",
    "turns",
    "unfinished_copies",
    "variants",
    "verdicts",
    "watermarks",
    "workers",
]
