"""Changes of the policy as they are typed: `KEY=VALUE`."""

from __future__ import annotations

import click

from annoy_store.tasks.policy import default_text


def policy_change(given: str) -> tuple[str, str]:
    """Return key and value of `KEY=VALUE`; an empty value means the default.

    Raises:
        click.BadParameter: If there is no equals sign.
        UsageError: If the key is unknown.
    """
    key, equals, value = given.partition("=")
    if not equals:
        raise click.BadParameter(f"{given!r} is not KEY=VALUE", param_hint="KEY=VALUE")
    return key, value or default_text(key)
