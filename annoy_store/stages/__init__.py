"""The seven stages in pipeline order; each file says what its stage selects, does and writes."""

from __future__ import annotations

from annoy_store.interfaces import Stage
from annoy_store.stages import complete, generate, parse, predict, revise, transform, verify

PIPELINE: tuple[Stage, ...] = (
    transform.STAGE,
    complete.STAGE,
    parse.STAGE,
    generate.STAGE,
    predict.STAGE,
    verify.STAGE,
    revise.STAGE,
)
STAGES = {stage.name: stage for stage in PIPELINE}
