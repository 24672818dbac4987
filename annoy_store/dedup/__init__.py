"""Near-duplicate detection, behavioural twins, and overlaps with benchmarks."""
