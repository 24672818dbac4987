"""Batches as providers report them."""

from __future__ import annotations

import pytest

from annoy_store.inference.client.batch_types import ProviderBatch


@pytest.mark.parametrize(
    ("status", "is_live"),
    [
        ("validating", True),
        ("in_progress", True),
        ("finalizing", True),
        ("cancelling", True),
        ("completed", False),
        ("failed", False),
        ("expired", False),
        ("cancelled", False),
    ],
)
def test_provider_batch_is_live_until_it_has_ended(status: str, is_live: bool) -> None:
    assert ProviderBatch("batch_1", status).is_live == is_live
