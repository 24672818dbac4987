"""The tables of exports: clusters, splits, published rows, and what is compared (see tables.py)."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, LargeBinary, Table, UniqueConstraint

from annoy_store.db.columns import (
    digest_column,
    id_column,
    metadata,
    number_column,
    partial_index,
    reference,
    text_column,
)

clusters = Table(
    "clusters",
    metadata,
    text_column("kind", primary_key=True),
    number_column("subject_id", primary_key=True),
    text_column("cluster"),
    Index("ix_clusters_cluster", "cluster"),
    comment="near-duplicate cluster of a source or sample, named by its smallest digest",
)

splits = Table(
    "splits",
    metadata,
    text_column("salt", primary_key=True),
    number_column("sample_id", primary_key=True),
    text_column("split"),
    number_column("bucket"),
    text_column("cluster"),
    text_column("created_at"),
    CheckConstraint("split IN ('train', 'validation', 'test', 'excluded')", name="split"),
    comment="the split that a sample was given with its cluster; it is never given another",
)

exports = Table(
    "exports",
    metadata,
    id_column(),
    digest_column(),
    reference("exports", "parent_id", nullable=True),
    text_column("format"),
    text_column("split", nullable=True),
    text_column("filter"),
    number_column("n_rows"),
    number_column("n_retractions"),
    text_column("folder"),
    text_column("files"),
    text_column("seen"),
    text_column("created_at"),
    text_column("published_at", nullable=True),
    comment="what was published; parent_id is the export that this one adds to",
)

export_rows = Table(
    "export_rows",
    metadata,
    id_column(),
    reference("exports", index=False),
    number_column("position"),
    number_column("chain_id", nullable=True),
    number_column("sample_id", nullable=True),
    text_column("split", nullable=True),
    text_column("digest"),
    UniqueConstraint("export_id", "position"),
    Index("ix_export_rows_chain_id", "chain_id", "export_id"),
    partial_index(
        "ix_export_rows_sample_id", "sample_id", "export_id", where="sample_id IS NOT NULL"
    ),
    comment="which chain (or sample) went into which export, and the digest of its state then",
)

retractions = Table(
    "retractions",
    metadata,
    reference("exports", index=False, primary_key=True),
    reference("export_rows", primary_key=True),
    text_column("reason"),
    comment="rows published earlier that an export withdraws",
)

signatures = Table(
    "signatures",
    metadata,
    text_column("kind", primary_key=True),
    number_column("subject_id", primary_key=True),
    text_column("version", primary_key=True),
    number_column("n_shingles"),
    Column("signature", LargeBinary, nullable=False),
    comment="MinHash of the text of a source or a sample",
)

benchmark_overlaps = Table(
    "benchmark_overlaps",
    metadata,
    id_column(),
    text_column("kind"),
    number_column("subject_id"),
    text_column("benchmark"),
    text_column("item"),
    text_column("method"),
    text_column("created_at"),
    text_column("evidence"),
    UniqueConstraint("kind", "subject_id", "benchmark", "item", "method"),
    comment="what a source or sample shares with a benchmark, with the evidence",
)

benchmark_comparisons = Table(
    "benchmark_comparisons",
    metadata,
    text_column("benchmark", primary_key=True),
    number_column("n_items"),
    number_column("source_id"),
    number_column("sample_id"),
    number_column("io_pair_id"),
    text_column("created_at"),
    comment="up to which source, sample and pair a benchmark was compared, when it last was",
)

behaviour_probes = Table(
    "behaviour_probes",
    metadata,
    text_column("shape", primary_key=True),
    text_column("inputs"),
    text_column("created_at"),
    comment="inputs on which samples with the same parameter types are compared, chosen once",
)

behaviours = Table(
    "behaviours",
    metadata,
    number_column("sample_id", primary_key=True),
    text_column("version", primary_key=True),
    text_column("shape"),
    text_column("fingerprint", nullable=True),
    number_column("twin_id", nullable=True),
    Index("ix_behaviours_fingerprint", "fingerprint"),
    comment="what a sample gives on the probes, and an older sample that behaves like it",
)
