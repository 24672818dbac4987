"""The sandbox of this process is closed after each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from annoy_store.rewards.process_sandbox import process_sandbox


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    yield
    process_sandbox.close()
