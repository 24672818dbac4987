"""Fixtures for the tests of the helpers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.provider import Provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Return a provider that serves until the test ends; `behave` changes it."""
    with Provider(slow_seconds=0.4).serving() as running:
        yield running
