"""Near-duplicate clusters and overlaps with benchmarks. Imported by export and commands."""
