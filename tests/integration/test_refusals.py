"""Refusals of an endpoint, seen from a whole run: which calls they settle, and what stays."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select

from annoy_store.analysis.status import store_status
from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.tables import attempts, jobs
from annoy_store.errors import EndpointUnavailable
from annoy_store.inference.client.refusals import ENDPOINT_THRESHOLD
from annoy_store.stages import PIPELINE
from annoy_store.worker.progress import Progress
from annoy_store.worker.run import run
from tests.integration.test_interrupted_calls import kept, plan_calls
from tests.support.provider import Provider, error_body

FLAGGED = error_body(403, "Your input was flagged", code=None)
NOT_FOUND = {"detail": "Not Found"}
BAD_KEY = {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider().serving() as running:
        yield running


def complete(store: Database, provider: Provider, **values: Any) -> None:
    run(store, RunSettings(**{"base_url": provider.url, "model": "sim", **values}), ["complete"])


def numbered(*bad: int) -> Callable[[dict[str, Any]], bool]:
    """Return whether a request body is that of one of these calls."""
    return lambda body: int(body["messages"][0]["content"].partition(":")[0]) in bad


def refused_jobs(store: Database) -> list[tuple[str, str, str]]:
    ended = jobs.c.state, jobs.c.reason, jobs.c.detail
    with store.read() as connection:
        chosen = select(*ended).where(jobs.c.state.in_(["failed", "rejected"]))
        return [tuple(row) for row in connection.execute(chosen)]


@pytest.mark.parametrize("connections", [1, 4, 64])
def test_flagged_prompts_stop_no_other_call(
    sqlite_store: Database, provider: Provider, connections: int
) -> None:
    plan_calls(sqlite_store, 30)
    flagged = numbered(0, 3, 4, 5, 6, 17, 29)
    provider.behave(latency=0.02)
    provider.chat.refuse = lambda body: (403, FLAGGED) if flagged(body) else None
    complete(sqlite_store, provider, max_connections=connections)
    assert kept(sqlite_store)["jobs"] == {"done": 23, "rejected": 7}
    assert set(refused_jobs(sqlite_store)) == {
        ("rejected", "content_filter", "Your input was flagged")
    }
    assert kept(sqlite_store)["attempts"] == {"ok": 23, "failed": 7}


@pytest.mark.parametrize("connections", [1, 4, 64])
@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, FLAGGED, "flagged"),
        (403, error_body(403, "Country, region, or territory not supported"), "region"),
        (404, NOT_FOUND, "path of --base-url"),
        (404, b"404 page not found", "path of --base-url"),
        (400, [{"error": BAD_KEY}], "check the key"),
        (
            200,
            {"error": {"message": "Invalid API key provided", "code": None}},
            "http_401 Invalid API key",
        ),
        (400, error_body(400, "Unrecognized request argument supplied: top_k"), "top_k"),
        (422, {"detail": [{"loc": ["body", "top_k"], "msg": "extra fields"}]}, "top_k"),
    ],
)
def test_broken_endpoint_leaves_its_calls_pending(
    sqlite_store: Database,
    provider: Provider,
    connections: int,
    status: int,
    body: Any,
    words: str,
) -> None:
    plan_calls(sqlite_store, 30)
    provider.chat.refuse = lambda _: (status, body)
    with pytest.raises(EndpointUnavailable, match=words):
        complete(sqlite_store, provider, max_connections=connections)
    left = kept(sqlite_store)["jobs"]
    assert left == {"pending": 30}
    assert set(kept(sqlite_store)["attempts"]) == {"stopped"}
    assert provider.counts["requests"] < 32 + ENDPOINT_THRESHOLD


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html><body>Sign in</body></html>", "check --base-url"),
        (200, b"", "check --base-url"),
        (200, {"choices": []}, "check --base-url"),
        (200, {"error": {"message": "something broke"}}, "something broke"),
        (302, b"", "http_302"),
        (405, b"Method Not Allowed", "Method Not Allowed"),
        (500, error_body(500, "Internal error"), "see the server's log"),
    ],
)
def test_endpoint_that_only_fails_settles_no_call(
    sqlite_store: Database, provider: Provider, status: int, body: Any, words: str
) -> None:
    """Its errors use up the tries of the calls, and none of the calls is at fault."""
    plan_calls(sqlite_store, 9)
    provider.chat.refuse = lambda _: (status, body)
    with pytest.raises(EndpointUnavailable, match=words):
        complete(sqlite_store, provider, tries=1)
    assert kept(sqlite_store)["jobs"] == {"pending": 9}
    provider.chat.refuse = lambda _: None
    complete(sqlite_store, provider)
    assert kept(sqlite_store)["jobs"] == {"done": 9}


def test_server_errors_of_some_calls_fail_these_calls(
    sqlite_store: Database, provider: Provider
) -> None:
    """Whether others are answered afterwards, or no other is left."""
    plan_calls(sqlite_store, 20)
    bad = numbered(0, 7, 18, 19)
    failure = 500, error_body(500, "Internal error")
    provider.chat.refuse = lambda body: failure if bad(body) else None
    complete(sqlite_store, provider, tries=2, max_connections=4)
    assert kept(sqlite_store)["jobs"] == {"done": 16, "failed": 4}
    assert set(refused_jobs(sqlite_store)) == {("failed", "http_500", "Internal error")}
    assert kept(sqlite_store)["attempts"] == {"ok": 16, "retry": 4, "failed": 4}


def test_endpoint_that_breaks_keeps_the_answers_and_settles_no_call(
    store: Database, provider: Provider
) -> None:
    plan_calls(store, 60)
    provider.behave(latency=0.05, jitter=0.9)
    provider.chat.refuse = lambda _: (403, FLAGGED) if provider.counts["requests"] > 30 else None
    with pytest.raises(EndpointUnavailable, match="flagged"):
        complete(store, provider, max_connections=8)
    assert kept(store)["jobs"] == {"done": 30, "pending": 30}
    provider.chat.refuse = lambda _: None
    complete(store, provider)
    assert (kept(store)["jobs"], provider.stats()["paid_twice"]) == ({"done": 60}, 0)


def test_calls_that_a_stop_left_can_be_failed_by_a_limit(
    sqlite_store: Database, provider: Provider
) -> None:
    """As the advice says, where the prompts are at fault and no other call is left."""
    plan_calls(sqlite_store, 6)
    provider.chat.refuse = lambda _: (403, FLAGGED)
    with pytest.raises(EndpointUnavailable, match="annoy run complete --limit 4"):
        complete(sqlite_store, provider)
    settings = RunSettings(base_url=provider.url, model="sim")
    run(sqlite_store, settings, ["complete"], limit=4)
    assert kept(sqlite_store)["jobs"] == {"rejected": 4, "pending": 2}


@pytest.mark.parametrize("n", [1, ENDPOINT_THRESHOLD - 1])
def test_refusals_with_few_calls_left_are_those_of_the_calls(
    sqlite_store: Database, provider: Provider, n: int
) -> None:
    plan_calls(sqlite_store, n)
    provider.chat.refuse = lambda _: (404, NOT_FOUND)
    complete(sqlite_store, provider)
    assert refused_jobs(sqlite_store) == [("failed", "http_404", "Not Found")] * n


def test_wrong_key_settles_no_call_even_if_it_is_the_last(
    sqlite_store: Database, provider: Provider
) -> None:
    plan_calls(sqlite_store, 1)
    provider.chat.refuse = lambda _: (400, [{"error": BAD_KEY}])
    with pytest.raises(EndpointUnavailable, match="API key not valid"):
        complete(sqlite_store, provider)
    assert kept(sqlite_store)["jobs"] == {"pending": 1}
    with sqlite_store.read() as connection:
        assert connection.execute(select(attempts.c.status)).scalar_one() == "stopped"


@pytest.mark.parametrize("connections", [1, 64])
def test_calls_that_are_always_limited_hold_up_no_other(
    sqlite_store: Database, provider: Provider, connections: int
) -> None:
    """They come first, are more than the connections, and fail by a reason of their own."""
    plan_calls(sqlite_store, 60)
    large = numbered(0, 1, 2)
    refusal = 429, error_body(429, "Rate limit reached on tokens"), {"retry-after-ms": "50"}
    provider.chat.refuse = lambda body: refusal if large(body) else None
    complete(sqlite_store, provider, max_connections=connections, tries=3)
    assert kept(sqlite_store)["jobs"] == {"done": 57, "failed": 3}
    reasons = {("failed", "always_limited", "Rate limit reached on tokens")}
    assert set(refused_jobs(sqlite_store)) == reasons


def test_limited_run_shows_its_attempts_and_why_it_waits(
    store: Database, provider: Provider
) -> None:
    """While its calls are under way; afterwards each attempt is there once."""
    plan_calls(store, 3)
    refusal = 429, error_body(429, "Limit reached\x1b[2J"), {"retry-after-ms": "200"}
    provider.chat.refuse = lambda _: refusal
    seen: list[tuple[int, str]] = []

    def look(progress: Progress) -> None:
        status = store_status(store, PIPELINE)
        notices = [w["notice"] for w in status.workers if w["notice"]]
        if status.usage.attempts >= 3 and notices and not seen:
            assert progress.notice.startswith("limited by the endpoint for ")
            seen.append((status.usage.attempts, notices[0]))
            provider.chat.refuse = lambda _: None

    settings = RunSettings(base_url=provider.url, model="sim")
    run(store, settings, ["complete"], display=look)
    ((n_attempts, notice),) = seen
    assert n_attempts >= 3
    assert re.fullmatch(
        r"limited by the endpoint for \d+ s, \d+ connections?: Limit reached\[2J", notice
    )
    tried = kept(store)["attempts"]
    assert (tried["ok"], tried["limited"]) == (3, provider.counts["429"])
    assert kept(store)["jobs"] == {"done": 3}
