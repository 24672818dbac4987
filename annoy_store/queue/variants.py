"""What defines data, as rows: the policy of a store, and the variants that follow from it.

A variant is one version of a stage's code together with the policy values it depends on. Changing
such a value makes a new variant active; rows done under the old one stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select, update

from annoy_store.config import Policy
from annoy_store.db.sql import insert_new
from annoy_store.db.tables import variants
from annoy_store.hashing import canonical_json, digest
from annoy_store.interfaces import Stage
from annoy_store.prompts import template
from annoy_store.records.policy import load_policy


@dataclass(frozen=True)
class Partition:
    """One claimable kind of a stage's jobs: its variant, and what `wants` is narrowed to."""

    variant_id: int
    columns: Mapping[str, Any] = field(default_factory=dict)


def preview_partitions(connection: Connection, stage: Stage, policy: Policy) -> list[Partition]:
    """The cases that a stage would have under a policy; a variant that is new has an id below 0."""
    known, wanted = _wanted_variants(connection, stage, policy)
    chosen = select(variants.c.digest, variants.c.id).where(variants.c.stage == stage.name)
    have = {row.digest: row.id for row in connection.execute(chosen)}
    return [
        Partition(have.get(w["digest"], -1 - i), only)
        for i, (w, only) in enumerate(zip(wanted, known, strict=True))
    ]


def _wanted_variants(
    connection: Connection, stage: Stage, policy: Policy
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    known = stage.partitions(connection) if stage.partitions else [{}]
    values = {key: _policy_value(policy, key) for key in stage.depends}
    return known, [_variant(stage, values, only) for only in known]


def ensure_partitions(connection: Connection, stage: Stage, policy: Policy) -> list[Partition]:
    """Return the cases of a stage under a policy, entering and activating their variants."""
    known, wanted = _wanted_variants(connection, stage, policy)
    rows = connection.execute(
        select(variants.c.digest, variants.c.id, variants.c.active).where(
            variants.c.stage == stage.name
        )
    )
    have = {row.digest: (row.id, row.active) for row in rows}
    if any(have.get(w["digest"], (0, 0))[1] != 1 for w in wanted) or len(wanted) != sum(
        active for _, active in have.values()
    ):
        _activate(connection, stage, wanted)
        return ensure_partitions(connection, stage, policy)
    return [Partition(have[w["digest"]][0], only) for w, only in zip(wanted, known, strict=True)]


def _policy_value(policy: Policy, key: str) -> Any:
    """What a policy adds to a variant: its value, of a template the digest of its text."""
    value = getattr(policy, key)
    return template.load_template(value).digest if key.startswith("template_") else value


def _variant(stage: Stage, values: Mapping[str, Any], only: Mapping[str, Any]) -> dict[str, Any]:
    described = {"version": stage.version, **values, **only}
    return {
        "stage": stage.name,
        "digest": digest("variant", stage.name, described),
        "description": canonical_json(described),
        "active": 0,
    }


def _activate(connection: Connection, stage: Stage, wanted: list[dict[str, Any]]) -> None:
    insert_new(connection, variants, wanted)
    digests = [w["digest"] for w in wanted]
    mine = variants.c.stage == stage.name
    for active, condition in (
        (0, variants.c.digest.not_in(digests)),
        (1, variants.c.digest.in_(digests)),
    ):
        connection.execute(update(variants).where(mine, condition).values(active=active))


@dataclass(frozen=True)
class StagePlan:
    """What the ledger works by: the stages, the policy of the store, and the stages' cases."""

    stages: Mapping[str, Stage]
    policy: Policy
    partitions: Mapping[str, list[Partition]]

    def variant_ids(self, name: str) -> list[int]:
        """The variants of a stage."""
        return [case.variant_id for case in self.partitions[name]]


def load_plan(connection: Connection, stages: Iterable[Stage]) -> StagePlan:
    """Draw up the agenda of a store, entering the variants that are new."""
    policy = load_policy(connection)
    named = {stage.name: stage for stage in stages}
    cases = {name: ensure_partitions(connection, stage, policy) for name, stage in named.items()}
    return StagePlan(named, policy, cases)
