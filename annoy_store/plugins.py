"""Loads the objects that installed packages provide by entry points.

Decisions. A group is loaded once per process. A name that two packages provide is an error, and so
is an entry point that cannot be loaded: silently using one of two, or none, would make a store's
data depend on the order of installation. Errors name the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from annoy_store.errors import UsageError


@lru_cache(maxsize=8)
def load_group(group: str) -> Mapping[str, object]:
    """Load everything that installed packages provide in an entry point group.

    Args:
        group: Name of the group, for example `annoy_store.tasks`.

    Returns:
        The loaded objects by the name of their entry point, in the order of these names.

    Raises:
        UsageError: If two packages provide the same name, or one cannot be loaded.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        other = found.setdefault(point.name, point)
        if other != point:
            raise UsageError(
                f"{group}: {point.name!r} is offered by {_package(other)} and by "
                f"{_package(point)}; uninstall one of them"
            )
    return {name: _load(group, found[name]) for name in sorted(found)}


def _load(group: str, point: EntryPoint) -> object:
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"{group}: {point.name!r} of {_package(point)} cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value
