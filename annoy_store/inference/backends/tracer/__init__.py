"""A rule-based teacher that reads code, rewrites it, traces it and searches its inputs.

`backend` is the teacher. `transform_answer` and what it uses is static and runs nothing;
`output_answer` and `input_answer` run `sandbox_stepper` and `sandbox_prober`, as texts, inside the
sandbox only.
"""

from __future__ import annotations

from annoy_store.inference.backends.tracer.backend import connect

__all__ = ["connect"]
