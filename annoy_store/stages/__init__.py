"""The seven stages in pipeline order; each file says what its stage selects, does and writes."""

from __future__ import annotations

from annoy_store.interfaces import Stage
from annoy_store.stages import complete, generate, parse, predict, revise, transform, verify

PIPELINE: tuple[Stage, ...] = (
    transform.STAGE,
    complete.STAGE,
    parse.STAGE,
    generate.STAGE,
    *predict.STAGES,
    *verify.STAGES,
    revise.STAGE,
)


def stages_named(name: str) -> list[Stage]:
    """Return the stages of this name: several where it is one per task, none if it is unknown."""
    return [stage for stage in PIPELINE if stage.name == name]
