"""The rule-based backend: it answers prompts by reading code and running it step by step.

The backend itself is `backend.py`. Modules up to `transform_answer.py` are static and run nothing;
`sandbox_calls.py` runs `sandbox_stepper.py` and `sandbox_prober.py`, as texts, in the sandbox only.
"""

from __future__ import annotations

from annoy_store.inference.backends.tracer.backend import connect

__all__ = ["connect"]
