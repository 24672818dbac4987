"""The policy of a store, as rows: reading it and changing it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, delete, insert, select

from annoy_store.config import Policy
from annoy_store.db.tables import policies
from annoy_store.db.timestamps import utc_now
from annoy_store.errors import UsageError
from annoy_store.hashing import canonical_json


def load_policy(connection: Connection) -> Policy:
    """Return the policy of the store: its rows over the defaults.

    Rows that are not general policies are options of tasks and are kept as stored.
    """
    rows = connection.execute(select(policies.c.key, policies.c.value).order_by(policies.c.key))
    values = {key: json.loads(value) for key, value in rows}
    general = {key: value for key, value in values.items() if key in Policy.model_fields}
    options = tuple((key, value) for key, value in values.items() if key not in general)
    return Policy.model_validate(general | {"task_options": options})


def store_policy_value(connection: Connection, key: str, value: Any, default: Any) -> None:
    """Write one policy row; a default value has no row.

    Args:
        connection: A write transaction.
        key: Key of the row.
        value: Any JSON value.
        default: The value that needs no row.
    """
    connection.execute(delete(policies).where(policies.c.key == key))
    if value != default:
        row = {"key": key, "value": canonical_json(value), "since": utc_now()}
        connection.execute(insert(policies).values(row))


def check_policy(values: Mapping[str, Any]) -> Policy:
    """Return the policy with these values.

    Raises:
        UsageError: If a value is invalid.
    """
    try:
        return Policy.model_validate(values)
    except ValidationError as error:
        raise UsageError(first_error(error)) from error


def read_text(value: str) -> str:
    """Return a value as typed, for `@FILE` the text of the file.

    Raises:
        UsageError: If the file cannot be read as UTF-8.
    """
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {value[1:]}: {error}") from error


def first_error(error: ValidationError, prefix: str = "") -> str:
    """Return the first error of a validation, with the name of its policy.

    Args:
        error: What pydantic found.
        prefix: Put before the key, e.g. the name of a task and a dot.
    """
    first = error.errors()[0]
    return f"policy {prefix}{'.'.join(str(p) for p in first['loc'])}: {first['msg']}"
