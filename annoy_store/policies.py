"""What defines data, as rows: the policy of a store, and the variants that follow from it.

A variant is one version of a stage's code together with the policy values it depends on. Changing
such a value makes a new variant active; rows done under the old one stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, delete, insert, select, update

from annoy_store import wording
from annoy_store.contracts import Stage
from annoy_store.database import insert_new
from annoy_store.errors import UsageError
from annoy_store.identity import canonical, digest
from annoy_store.settings import Policy
from annoy_store.tables import policies, variants


@dataclass(frozen=True)
class Case:
    """One claimable kind of a stage's jobs: its variant, and what `wants` is narrowed to."""

    variant_id: int
    only: Mapping[str, Any] = field(default_factory=dict)


def utc_now() -> str:
    """The present time as the text that the store keeps: UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def load_policy(connection: Connection) -> Policy:
    """Return the policy of the store: its rows over the defaults."""
    rows = connection.execute(select(policies.c.key, policies.c.value))
    return Policy.model_validate({key: json.loads(value) for key, value in rows})


def set_policy(connection: Connection, changes: Mapping[str, str]) -> Policy:
    """Change policy values given as text; `@FILE` stands for the file's text.

    Raises UsageError for an unknown key or a value that does not fit, and changes nothing then.
    """
    new = changed_policy(load_policy(connection), changes)
    for key in changes:
        connection.execute(delete(policies).where(policies.c.key == key))
        value = getattr(new, key)
        if value != Policy.model_fields[key].default:
            row = {"key": key, "value": canonical(value), "since": utc_now()}
            connection.execute(insert(policies).values(row))
    return new


def changed_policy(old: Policy, changes: Mapping[str, str]) -> Policy:
    """Return a policy with values given as text, as `set_policy` would store it."""
    merged = old.model_dump() | {key: _read(key, value) for key, value in changes.items()}
    try:
        return Policy.model_validate(merged)
    except ValidationError as error:
        raise UsageError(_explain(error)) from error


def _read(key: str, value: str) -> str:
    if key not in Policy.model_fields:
        known = ", ".join(Policy.model_fields)
        raise UsageError(f"unknown policy {key!r}; known are: {known}")
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {value[1:]}: {error}") from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"policy {'.'.join(str(p) for p in first['loc'])}: {first['msg']}"


def foreseen_cases(connection: Connection, stage: Stage, policy: Policy) -> list[Case]:
    """The cases that a stage would have under a policy; a variant that is new has an id below 0."""
    known, wanted = _wanted_variants(connection, stage, policy)
    chosen = select(variants.c.digest, variants.c.id).where(variants.c.stage == stage.name)
    have = {row.digest: row.id for row in connection.execute(chosen)}
    return [
        Case(have.get(w["digest"], -1 - i), only)
        for i, (w, only) in enumerate(zip(wanted, known, strict=True))
    ]


def _wanted_variants(
    connection: Connection, stage: Stage, policy: Policy
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    known = stage.cases(connection) if stage.cases else [{}]
    values = {key: _weight(policy, key) for key in stage.depends}
    return known, [_variant(stage, values, only) for only in known]


def ensure_cases(connection: Connection, stage: Stage, policy: Policy) -> list[Case]:
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
        return ensure_cases(connection, stage, policy)
    return [Case(have[w["digest"]][0], only) for w, only in zip(wanted, known, strict=True)]


def _weight(policy: Policy, key: str) -> Any:
    """What a policy adds to a variant: its value, of a template the digest of its text."""
    value = getattr(policy, key)
    return wording.load(value).digest if key.startswith("template_") else value


def _variant(stage: Stage, values: Mapping[str, Any], only: Mapping[str, Any]) -> dict[str, Any]:
    described = {"version": stage.version, **values, **only}
    return {
        "stage": stage.name,
        "digest": digest("variant", stage.name, described),
        "description": canonical(described),
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
class Agenda:
    """What the ledger works by: the stages, the policy of the store, and the stages' cases."""

    stages: Mapping[str, Stage]
    policy: Policy
    cases: Mapping[str, list[Case]]

    def claimable(self, name: str) -> list[int]:
        """The variants of a stage."""
        return [case.variant_id for case in self.cases[name]]


def draw_up(connection: Connection, stages: Iterable[Stage]) -> Agenda:
    """Draw up the agenda of a store, entering the variants that are new."""
    policy = load_policy(connection)
    named = {stage.name: stage for stage in stages}
    cases = {name: ensure_cases(connection, stage, policy) for name, stage in named.items()}
    return Agenda(named, policy, cases)
