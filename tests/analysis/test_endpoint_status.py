"""Endpoints that failed lately are named, with their own words."""

from __future__ import annotations

from annoy_store.analysis.endpoint_status import RECENT, EndpointTrouble, endpoint_troubles
from annoy_store.db.engine import Database
from tests.analysis.test_status import attempt, called, teacher

__all__ = ["called"]  # a fixture


def troubles(store: Database) -> list[EndpointTrouble]:
    with store.read() as connection:
        return endpoint_troubles(connection)


def test_an_endpoint_that_only_fails_is_named_with_its_newest_words(called: Database) -> None:
    teacher(called, 1, "openai", "m")
    for number in range(3):
        attempt(
            called,
            1,
            status="retry",
            error_class="http_503",
            http_status=503,
            error_message=f"overloaded {number}",
            started_at=f"2026-06-01T00:00:0{number}.000Z",
        )
    attempt(called, 1, status="limited", error_class="http_429", http_status=429)
    (found,) = troubles(called)
    assert (found.model, found.n_recent, found.n_failed, found.is_last) == ("m", 4, 4, True)
    assert list(found.failed.items()) == [("http_503", 3), ("http_429", 1)]
    assert found.as_dict()["n_failed"] == 4


def test_what_is_the_fault_of_the_request_is_no_trouble_of_the_endpoint(called: Database) -> None:
    teacher(called, 1, "openai", "m")
    attempt(called, 1)
    attempt(called, 1, status="failed", error_class="content_filter", http_status=200)
    attempt(called, 1, status="failed", error_class="http_400", http_status=400)
    attempt(called, 1, status="stopped", error_class="interrupted")
    assert troubles(called) == []


def test_an_endpoint_that_answers_again_is_told_apart(called: Database) -> None:
    teacher(called, 1, "openai", "m")
    attempt(called, 1, status="limited", error_class="http_429", http_status=429)
    attempt(called, 1)
    (found,) = troubles(called)
    assert (found.n_recent, found.n_failed, found.is_last) == (2, 1, False)


def test_only_the_newest_attempts_count(called: Database) -> None:
    teacher(called, 1, "openai", "m")
    attempt(called, 1, status="retry", error_class="http_500", http_status=500)
    for _ in range(RECENT):
        attempt(called, 1)
    assert troubles(called) == []
