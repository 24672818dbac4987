"""The policy of a store, as rows: reading it and changing it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy import Connection, delete, insert, select

from annoy_store.config import Policy
from annoy_store.db.tables import policies
from annoy_store.db.timestamps import utc_now
from annoy_store.errors import UsageError
from annoy_store.hashing import canonical_json


def load_policy(connection: Connection) -> Policy:
    """Return the policy of the store: its rows over the defaults.

    Raises:
        pydantic.ValidationError: a stored value that this version does not accept.
    """
    rows = connection.execute(select(policies.c.key, policies.c.value))
    return Policy.model_validate({key: json.loads(value) for key, value in rows})


def set_policy(connection: Connection, changes: Mapping[str, str]) -> Policy:
    """Change the policy of the store.

    Args:
        connection: a write transaction.
        changes: new values as text by key; `@FILE` stands for the text of a file.

    Returns:
        The new policy.

    Raises:
        UsageError: an unknown key, or an invalid value; nothing is changed then.
    """
    new = changed_policy(load_policy(connection), changes)
    for key in changes:
        connection.execute(delete(policies).where(policies.c.key == key))
        value = getattr(new, key)
        if value != Policy.model_fields[key].default:
            row = {"key": key, "value": canonical_json(value), "since": utc_now()}
            connection.execute(insert(policies).values(row))
    return new


def changed_policy(old: Policy, changes: Mapping[str, str]) -> Policy:
    """Return a policy with changed values, as `set_policy` would store it.

    Args:
        old: the policy to change.
        changes: new values as text by key; `@FILE` stands for the text of a file.

    Raises:
        UsageError: an unknown key, or an invalid value.
    """
    merged = old.model_dump() | {key: _parse_value(key, value) for key, value in changes.items()}
    try:
        return Policy.model_validate(merged)
    except ValidationError as error:
        raise UsageError(_first_error(error)) from error


def _parse_value(key: str, value: str) -> str:
    if key not in Policy.model_fields:
        known = ", ".join(Policy.model_fields)
        raise UsageError(f"unknown policy {key!r}; known are: {known}")
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {value[1:]}: {error}") from error


def _first_error(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"policy {'.'.join(str(p) for p in first['loc'])}: {first['msg']}"
