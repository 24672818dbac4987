"""Accounts: their keys, endpoints that cannot be used, and the partitions of their teachers."""

from __future__ import annotations

import pytest

from annoy_store.batch.session import batch_teachers, partition_filter
from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.tables import batches
from annoy_store.errors import EndpointUnavailable, UsageError
from annoy_store.inference.client import batch_api
from tests.batch.conftest import RunOnce
from tests.integration.test_interrupted_calls import kept, plan_calls
from tests.support.provider import Provider, error_body

pytestmark = pytest.mark.slow_on("postgres")


def test_batch_keeps_and_shows_no_key(
    store: Database, provider: Provider, run_once: RunOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-very-secret-0123456789"
    monkeypatch.setenv("OTHER_API_KEY", "sk-not-the-right-one")
    provider.behave(key=key)
    plan_calls(store, 2)
    with pytest.raises(EndpointUnavailable) as rejected:
        run_once(store, api_key_env="OTHER_API_KEY")
    assert "the key in OTHER_API_KEY was sent" in str(rejected.value)
    monkeypatch.setenv("OTHER_API_KEY", key)
    run_once(store, api_key_env="OTHER_API_KEY")
    with store.read() as connection:
        everything = str(
            [connection.execute(t.select()).all() for t in batches.metadata.sorted_tables]
        )
    assert key not in everything
    assert "sk-" not in everything + str(rejected.value)


def test_endpoint_without_batch_api_loses_nothing(
    sqlite_store: Database, provider: Provider, run_once: RunOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_calls(sqlite_store, 2)
    monkeypatch.setattr(provider.batches, "route", lambda _: (404, error_body(404, "no such path")))
    with pytest.raises(EndpointUnavailable, match=r"has no Batch API .* annoy batch export FILE"):
        run_once(sqlite_store)
    assert kept(sqlite_store)["jobs"] == {"pending": 2}


def test_unreachable_endpoint_loses_nothing(
    sqlite_store: Database, run_once: RunOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_api, "RETRY_SECONDS", (0.01,))
    plan_calls(sqlite_store, 2)
    with pytest.raises(EndpointUnavailable, match=r"cannot be reached .* nothing is lost"):
        run_once(sqlite_store, base_url="http://127.0.0.1:9/v1")


def test_batch_run_needs_a_model(sqlite_store: Database, run_once: RunOnce) -> None:
    with pytest.raises(UsageError, match="no model named"):
        run_once(sqlite_store, model=None)


def test_partition_filter_selects_pinned_partitions_and_kinds_of_the_settings(
    sqlite_store: Database, provider: Provider
) -> None:
    settings = RunSettings(
        teacher="batch", model="a", transform_model="b", base_url="http://localhost:8000/v1"
    )
    teachers = batch_teachers(sqlite_store, settings)
    (a, b) = sorted(teachers, key=lambda key: teachers[key].identity.model)
    is_of_a = partition_filter(settings, teachers, a)
    assert is_of_a({"pinned_teacher_id": 0, "kind": "predict_output"})
    assert not is_of_a({"pinned_teacher_id": 0, "kind": "transform"})
    assert is_of_a({"pinned_teacher_id": a, "kind": "transform"})
    assert not is_of_a({"pinned_teacher_id": b, "kind": "predict_output"})
