"""A loopback provider for the tests of this folder."""

from __future__ import annotations

import pytest

from tests.support.provider import Provider


@pytest.fixture
def provider() -> Provider:
    """Return a provider that is not started yet; `behave` changes it."""
    return Provider(slow_seconds=0.4)
