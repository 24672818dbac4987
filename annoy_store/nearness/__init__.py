"""What is nearly the same: clusters of near-duplicates, and overlaps with benchmarks."""
