"""Turn functions with doctests or asserts into samples, without a model."""
