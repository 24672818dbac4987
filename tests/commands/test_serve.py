"""`annoy serve rewards` as a person meets it; what it serves is tested in tests/rewards."""

from __future__ import annotations

import sys

import pytest

from tests.commands.conftest import Annoy


def test_serve_rewards_needs_a_token_where_others_can_reach_it(
    annoy: Annoy,
    one_line,  # type: ignore[no-untyped-def]
) -> None:
    assert "ANNOY_REWARD_TOKEN" in one_line(annoy("serve", "rewards", "--host", "0.0.0.0"))


def test_serve_rewards_without_its_packages(
    annoy: Annoy,
    one_line,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "annoy_store.rewards.service", raising=False)
    monkeypatch.setitem(sys.modules, "starlette", None)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    assert "pip install 'annoy-store[web]'" in one_line(annoy("serve", "rewards"))
