"""Build a benchmark from held-out samples, score models on it, compare them."""
