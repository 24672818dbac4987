"""One sandbox per module and isolation level; tests are skipped where a level does not work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from annoy_store.errors import UsageError
from annoy_store.interfaces import Limits
from annoy_store.sandbox import LocalSandbox, open_sandbox


def opened(level: str) -> LocalSandbox:
    """Open a sandbox at one isolation level, or skip the test."""
    try:
        return open_sandbox(slots=2, isolation=level, unsafe=True)
    except UsageError as error:
        pytest.skip(f"no {level} sandbox here: {error}")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[LocalSandbox]:
    """The strongest sandbox that this machine has."""
    with open_sandbox(slots=2, unsafe=True) as found:
        yield found


@pytest.fixture(scope="module", params=["strong", "fallback", "minimum"])
def each(request: pytest.FixtureRequest) -> Iterator[LocalSandbox]:
    """A sandbox at every isolation level in turn."""
    with opened(request.param) as found:
        yield found


@pytest.fixture
def limits() -> Limits:
    """Limits that no correct test reaches."""
    return Limits(cpu_seconds=5.0, wall_seconds=15.0, ceiling_seconds=60.0, memory_mb=256)
