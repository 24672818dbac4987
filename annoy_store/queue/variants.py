"""Variants of stages, their partitions, and the plan of a store.

A variant is one version of a stage's code together with the policy values it depends on. Changing
such a value makes a new variant active; rows done under the old one stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, select, update

from annoy_store.config import Policy
from annoy_store.db.sql import insert_new
from annoy_store.db.tables import variants
from annoy_store.hashing import canonical_json, digest
from annoy_store.interfaces import Stage
from annoy_store.prompts import template
from annoy_store.records.policy import load_policy


@dataclass(frozen=True)
class Partition:
    """A part of a stage's jobs that is claimed separately: its variant and column values."""

    variant_id: int
    columns: Mapping[str, Any] = field(default_factory=dict)


def variants_of(stage: Stage) -> ColumnElement[bool]:
    """The condition that a variant is one of this stage, and of its task if it has one."""
    return and_(variants.c.stage == stage.name, variants.c.task == stage.task)


def preview_partitions(connection: Connection, stage: Stage, policy: Policy) -> list[Partition]:
    """Return the partitions that a stage would have under a policy; writes nothing.

    A variant that does not exist yet has an id below 0.

    Args:
        connection: A transaction that reads.
        stage: The stage.
        policy: The policy to try; it need not be the store's.
    """
    known, wanted = _wanted_variants(connection, stage, policy)
    chosen = select(variants.c.digest, variants.c.id).where(variants_of(stage))
    have = {row.digest: row.id for row in connection.execute(chosen)}
    return [
        Partition(have.get(w["digest"], -1 - i), columns)
        for i, (w, columns) in enumerate(zip(wanted, known, strict=True))
    ]


def _wanted_variants(
    connection: Connection, stage: Stage, policy: Policy
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    known = stage.partitions(connection, policy) if stage.partitions else [{}]
    values = {
        key: value
        for key in stage.depends
        if (value := _policy_value(policy, key)) or not key.endswith("_round")
    }  # a round of 0 is no part of a variant, so that what was done before there were rounds counts
    values |= stage.options(policy) if stage.options else {}
    return known, [_variant(stage, values, columns) for columns in known]


def ensure_partitions(connection: Connection, stage: Stage, policy: Policy) -> list[Partition]:
    """Return the partitions of a stage under a policy, inserting and activating their variants."""
    known, wanted = _wanted_variants(connection, stage, policy)
    rows = connection.execute(
        select(variants.c.digest, variants.c.id, variants.c.active).where(variants_of(stage))
    )
    have = {row.digest: (row.id, row.active) for row in rows}
    if any(have.get(w["digest"], (0, 0))[1] != 1 for w in wanted) or len(wanted) != sum(
        active for _, active in have.values()
    ):
        _activate(connection, stage, wanted)
        return ensure_partitions(connection, stage, policy)
    return [
        Partition(have[w["digest"]][0], columns) for w, columns in zip(wanted, known, strict=True)
    ]


def _policy_value(policy: Policy, key: str) -> Any:
    """Return the value of a policy in a variant; for a template, the digest of its text."""
    value = getattr(policy, key)
    return template.load_template(value).digest if key.startswith("template_") else value


def _variant(stage: Stage, values: Mapping[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    described = {"version": stage.version, **values, **columns}
    return {
        "stage": stage.name,
        "digest": digest("variant", stage.name, described),
        "description": canonical_json(described),
        "active": 0,
        "task": stage.task,
    }


def _activate(connection: Connection, stage: Stage, wanted: list[dict[str, Any]]) -> None:
    insert_new(connection, variants, wanted)
    digests = [w["digest"] for w in wanted]
    for active, condition in (
        (0, variants.c.digest.not_in(digests)),
        (1, variants.c.digest.in_(digests)),
    ):
        connection.execute(
            update(variants).where(variants_of(stage), condition).values(active=active)
        )


@dataclass(frozen=True)
class StagePlan:
    """The stages and their partitions, by the stage's key, and the policy that they run under."""

    stages: Mapping[str, Stage]
    policy: Policy
    partitions: Mapping[str, list[Partition]]

    def variant_ids(self, name: str) -> list[int]:
        """The active variants of a stage, of all tasks if it is one per task."""
        return [
            partition.variant_id
            for key, stage in self.stages.items()
            if stage.name == name
            for partition in self.partitions[key]
        ]

    def writes(self, name: str) -> set[Table]:
        """The tables that the stages of this name may write."""
        return {table for s in self.stages.values() if s.name == name for table in s.writes}


def load_plan(connection: Connection, stages: Iterable[Stage]) -> StagePlan:
    """Return the plan of a store under its policy, inserting the variants that are new.

    Args:
        connection: A write transaction.
        stages: The stages to plan, each key once.

    Raises:
        UsageError: If the policy names a task that no installed package provides.
    """
    policy = load_policy(connection)
    by_key = {stage.key: stage for stage in stages}
    partitions = {
        key: ensure_partitions(connection, stage, policy) for key, stage in by_key.items()
    }
    return StagePlan(by_key, policy, partitions)
