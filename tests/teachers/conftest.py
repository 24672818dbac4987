"""A provider on loopback for the tests of this folder, and an environment without keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.provider import Provider


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """A provider that serves until the test ends; `behave` changes it."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ADMIN_KEY", "DEEPSEEK_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with Provider(slow_seconds=0.4).serving() as running:
        yield running
