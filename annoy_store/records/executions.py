"""The row of one sandbox run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annoy_store.config import Policy
from annoy_store.db.tables import executions
from annoy_store.hashing import canonical_json, clean_text
from annoy_store.interfaces import ExecutionResult, Limits, NewRow, SandboxInfo


def call_limits(policy: Policy) -> Limits:
    """What one call may use under a policy."""
    return Limits(
        cpu_seconds=policy.cpu_seconds,
        wall_seconds=policy.wall_seconds,
        memory_mb=policy.memory_mb,
    )


def new_execution(
    ran: ExecutionResult,
    habitat: SandboxInfo,
    purpose: str,
    *,
    sample_id: int | None = None,
    response_id: int | None = None,
    draws: Mapping[str, Any] | None = None,
) -> NewRow:
    """The row of a run on behalf of a sample or a response."""
    message = ran.error_message
    return NewRow(
        executions,
        {
            "sample_id": sample_id,
            "response_id": response_id,
            "purpose": purpose,
            "outcome": ran.outcome,
            "error_type": ran.error_type,
            "missing_module": ran.missing_module,
            "phase": ran.phase,
            "cpu_ms": ran.cpu_ms,
            "wall_ms": ran.wall_ms,
            "isolation": habitat.isolation,
            "runner_version": habitat.runner_version,
            "interpreter": habitat.interpreter,
            "draws": canonical_json(dict(draws)) if draws is not None else None,
            "error_message": clean_text(message) if message is not None else None,
        },
    )
