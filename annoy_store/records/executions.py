"""The rows of sandbox runs, and the limits that the policy sets for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annoy_store.config import Policy
from annoy_store.db.tables import executions
from annoy_store.hashing import canonical_json, clean_text
from annoy_store.interfaces import ExecutionResult, Limits, NewRow, SandboxInfo


def call_limits(policy: Policy) -> Limits:
    """Return what one call in the sandbox may use under a policy."""
    return Limits(
        cpu_seconds=policy.cpu_seconds,
        wall_seconds=policy.wall_seconds,
        memory_mb=policy.memory_mb,
    )


def new_execution(
    result: ExecutionResult,
    info: SandboxInfo,
    purpose: str,
    *,
    sample_id: int | None = None,
    response_id: int | None = None,
    draws: Mapping[str, Any] | None = None,
) -> NewRow:
    """Return the row of a sandbox run.

    Args:
        result: the result of the run.
        info: where it ran.
        purpose: why it ran: generate, verify or check.
        sample_id: the sample that it ran for.
        response_id: the response that it ran for.
        draws: the summary of a sample's draws, if it drew inputs.
    """
    message = result.error_message
    return NewRow(
        executions,
        {
            "sample_id": sample_id,
            "response_id": response_id,
            "purpose": purpose,
            "outcome": result.outcome,
            "error_type": result.error_type,
            "missing_module": result.missing_module,
            "phase": result.phase,
            "cpu_ms": result.cpu_ms,
            "wall_ms": result.wall_ms,
            "isolation": info.isolation,
            "runner_version": info.runner_version,
            "interpreter": info.interpreter,
            "draws": canonical_json(dict(draws)) if draws is not None else None,
            "error_message": clean_text(message) if message is not None else None,
        },
    )
