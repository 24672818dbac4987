"""The openai backend against a loopback provider: answers, faults, and what they cost.

Client and provider run on one simulated clock, so no test depends on the speed of the machine.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from annoy_store.errors import CallPostponed, EndpointUnavailable
from annoy_store.inference.client.admission import LEFTOVER_SECONDS
from annoy_store.inference.client.circuit_breaker import FIRST_CONTACT_SECONDS, OUTAGE_SECONDS
from annoy_store.inference.client.refusals import ENDPOINT_THRESHOLD
from annoy_store.interfaces import CallResult, Request
from tests.inference.backends.loopback import open_sim, request, serving, timed_ask_all
from tests.support import virtual_time
from tests.support.provider import Provider, default_answer, error_body

SECRET = "sk-loopback-4f9c1e77a2"


def ask_all(provider: Provider, requests: list[Request], **values: Any) -> list[CallResult]:
    return timed_ask_all(provider, requests, **values)[0]


def ask(provider: Provider, **values: Any) -> CallResult:
    return ask_all(provider, [request()], **values)[0]


def statuses(asked: CallResult) -> list[str]:
    return [attempt.status for attempt in asked.attempts]


def test_ask_returns_an_answer_with_its_attempt(provider: Provider) -> None:
    provider.behave(reasoning="reasoning_content")
    asked = ask(provider)
    assert asked.status == "answered"
    assert asked.completion is not None
    assert asked.completion.text == default_answer(request().messages, 200)
    assert (asked.completion.finish_reason, asked.completion.model) == ("stop", "sim")
    assert asked.completion.reasoning == "thought about it"
    (attempt,) = asked.attempts
    assert (attempt.status, attempt.http_status, attempt.model) == ("ok", 200, "sim")
    assert (attempt.prompt_tokens, attempt.cached_tokens) == (3, 0)
    assert (attempt.completion_tokens, attempt.reasoning_tokens) == (54, 4)
    assert attempt.started_at.endswith("Z")
    assert attempt.latency_ms > 0


def test_ask_sends_the_request_body(provider: Provider) -> None:
    provider.chat.keep_bodies = True
    ask(provider, preset="deepseek", api_key_env="PATH", temperature=None, extra_body={"top_k": 3})
    assert provider.chat.bodies == [
        {
            "model": "sim",
            "messages": list(request().messages),
            "max_tokens": 4096,
            "seed": 0,
            "stream": False,
            "thinking": {"type": "disabled"},
            "top_k": 3,
        }
    ]


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        ("500", "http_500", 500),
        ("503", "http_503", 503),
        ("529", "http_529", 529),
        ("408", "http_408", 408),
        ("409", "http_409", 409),
        ("425", "http_425", 425),
        ("reset", "connection", None),
        ("reset_body", "connection", None),
        ("truncated", "bad_body", 200),
        ("not_json", "bad_body", 200),
        ("html", "html", 200),
        ("error200", "http_500", 500),
        ("empty", "empty", 200),
        ("blank", "empty", 200),
        ("null", "empty", 200),
        ("no_choices", "no_choices", 200),
        ("hang", "deadline", None),
    ],
)
def test_ask_counts_an_error_as_a_try(
    provider: Provider, fault: str, error: str, status: int | None
) -> None:
    provider.behave(fault=fault)
    asked = ask(provider, call_seconds=0.3 if fault == "hang" else 60)
    assert (asked.status, asked.reason) == ("failed", error)
    assert statuses(asked) == ["retry", "failed"]
    assert {attempt.error_class for attempt in asked.attempts} == {error}
    assert {attempt.http_status for attempt in asked.attempts} == {status}
    assert provider.stats()["counts"]["requests"] == 2


@pytest.mark.parametrize(
    ("fault", "seeds"),
    [
        ("truncated", [0, 1, 2]),
        ("html", [0, 1, 2]),
        ("no_choices", [0, 1]),  # which was paid for: once more at most
        ("503", [0, 0, 0]),
        ("reset", [0, 0, 0]),
        ("hang", [0, 0, 0]),
    ],
)
def test_ask_changes_the_seed_after_a_reply_that_a_cache_would_repeat(
    provider: Provider, fault: str, seeds: list[int]
) -> None:
    provider.chat.keep_bodies = True
    provider.behave(fault=fault)
    ask(provider, tries=3, call_seconds=5)
    first = ask_all(provider, [replace(request(), unread_before=7)], tries=1, call_seconds=5)
    assert first[0].status == "failed"
    assert [sent["seed"] for sent in provider.chat.bodies] == [*seeds, 7]


@pytest.mark.parametrize("fault", ["400", "413", "422"])
def test_ask_fails_a_bad_call_at_once_with_the_providers_message(
    provider: Provider, fault: str
) -> None:
    provider.behave(fault=fault)
    asked = ask(provider)
    assert (asked.status, asked.reason, asked.detail) == (
        "failed",
        f"http_{fault}",
        f"sim fault {fault}",
    )
    assert statuses(asked) == ["failed"]


@pytest.mark.parametrize(
    ("fault", "reason"), [("filter", "content_filter"), ("refusal", "refused")]
)
def test_ask_rejects_an_unwanted_prompt(provider: Provider, fault: str, reason: str) -> None:
    provider.behave(fault=fault)
    asked = ask(provider)
    assert (asked.status, asked.reason) == ("rejected", reason)
    assert asked.attempts[0].completion_tokens


@pytest.mark.parametrize(
    ("fault", "finish"),
    [
        ("length", "length"),
        ("odd_finish", "mystery"),
        ("parts", "stop"),
        ("one_part", "stop"),
        ("strings", "stop"),
        ("tool_call", "tool_calls"),
        ("text_field", "stop"),
        ("stream", "stop"),
        ("done_after", "stop"),
        ("max_tokens", "length"),
        ("blanks", "stop"),
        ("slow", "stop"),
    ],
)
def test_ask_accepts_unusual_answers(provider: Provider, fault: str, finish: str) -> None:
    provider.behave(fault=fault)
    asked = ask(provider)
    assert asked.completion is not None
    assert asked.completion.finish_reason == finish
    assert default_answer(request().messages, 200).startswith(asked.completion.text)


HALF = default_answer(request().messages, 200)[:100]
WHOLE = default_answer(request().messages, 200)


@pytest.mark.parametrize(
    ("fault", "text", "reasoning"),
    [
        ("reasoning_only", "", WHOLE),
        ("think_open", "", WHOLE.strip()),
        ("error_beside", HALF, None),
        ("resource", WHOLE, None),
        ("stream_cut", WHOLE[:5], None),
    ],
)
def test_ask_keeps_an_answer_that_is_not_whole_after_one_more_try(
    provider: Provider, fault: str, text: str, reasoning: str | None
) -> None:
    provider.chat.keep_bodies = True
    provider.behave(fault=fault)
    asked = ask(provider, tries=5)
    assert (asked.status, asked.reason) == ("answered", None)
    assert asked.completion is not None
    assert asked.completion.finish_reason == "incomplete"
    assert (asked.completion.text, asked.completion.reasoning) == (text, reasoning)
    assert sorted(statuses(asked)) == ["ok", "retry"]
    assert [a.text for a in asked.attempts if a.status == "retry"] == [text]
    seeds = [sent["seed"] for sent in provider.chat.bodies]
    assert len(seeds) == len(set(seeds)) == 2


def test_ask_prefers_a_whole_answer_and_keeps_the_other_beside_its_attempt(
    provider: Provider,
) -> None:
    provider.behave(fault="error_beside")

    async def work() -> CallResult:
        async with serving(provider, tries=1 + 1) as teacher:
            task = asyncio.create_task(teacher.ask(request()))
            while not provider.counts["error_beside"]:
                await asyncio.sleep(0.001)
            provider.behave(fault=None)
            return await task

    asked = virtual_time.run(work())
    assert asked.completion is not None
    assert (asked.completion.text, asked.completion.finish_reason) == (WHOLE, "stop")
    assert statuses(asked) == ["retry", "ok"]
    assert [a.text for a in asked.attempts] == [HALF, None]


def test_ask_keeps_what_was_paid_for_when_the_other_tries_fail(provider: Provider) -> None:
    provider.behave(fault="error_beside")

    async def work() -> CallResult:
        async with serving(provider, tries=3) as teacher:
            task = asyncio.create_task(teacher.ask(request()))
            while not provider.counts["error_beside"]:
                await asyncio.sleep(0.001)
            provider.behave(fault="500")
            return await task

    asked = virtual_time.run(work())
    assert asked.completion is not None
    assert (asked.completion.text, asked.completion.finish_reason) == (HALF, "incomplete")
    assert statuses(asked) == ["ok", "retry", "failed"]


def test_ask_tries_a_paid_reply_without_an_answer_once_more(provider: Provider) -> None:
    provider.chat.keep_bodies = True
    provider.behave(fault="blank")
    asked = ask(provider, tries=5)
    assert (asked.status, asked.reason) == ("failed", "empty")
    assert statuses(asked) == ["retry", "failed"]
    assert provider.chat.bodies[0]["seed"] != provider.chat.bodies[1]["seed"]


def test_ask_counts_replies_of_earlier_runs(provider: Provider) -> None:
    provider.chat.keep_bodies = True
    provider.behave(fault="error_beside")
    (asked,) = ask_all(provider, [replace(request(), replies_before=1)], tries=5)
    assert statuses(asked) == ["ok"]
    assert provider.chat.bodies[0]["seed"] == request().seed + 1


def test_ask_keeps_reasoning_apart(provider: Provider) -> None:
    provider.behave(fault="think")
    asked = ask(provider)
    assert asked.completion is not None
    assert asked.completion.text == default_answer(request().messages, 200)
    assert asked.completion.reasoning == "let me see"


@pytest.mark.parametrize("fault", ["slow", "blanks"])
def test_ask_limits_the_total_time_of_a_try(provider: Provider, fault: str) -> None:
    provider.behave(fault=fault, slow_seconds=8.0)
    (asked,), seconds = timed_ask_all(provider, [request()], call_seconds=0.4, tries=1)
    assert (asked.status, asked.reason) == ("failed", "deadline")
    assert seconds == pytest.approx(0.4 + LEFTOVER_SECONDS, abs=0.01)


@pytest.mark.parametrize("form", ["seconds", "ms", "date", "reset", "none"])
def test_ask_waits_after_429_without_counting_a_try(provider: Provider, form: str) -> None:
    asks = 1.0 if form == "date" else 0.3
    provider.behave(fault="429", retry_after=asks, retry_form=form)

    async def work() -> tuple[CallResult, float]:
        async with serving(provider, tries=1) as teacher:
            task = asyncio.create_task(teacher.ask(request()))
            while not provider.counts["429"]:
                await asyncio.sleep(0.01)
            provider.behave(fault=None)
            return await task, asyncio.get_running_loop().time()

    asked, seconds = virtual_time.run(work())
    assert asked.status == "answered"
    assert statuses(asked)[-1] == "ok"
    assert set(statuses(asked)[:-1]) == {"limited"}
    assert seconds >= {"none": 0.0, "date": 0.0}.get(form, asks)


def too_large(body: dict[str, Any]) -> bool:
    return body["messages"][0]["content"].startswith("7: ")


@pytest.mark.parametrize("n", [12, 200])
@pytest.mark.parametrize("headers", [{}, {"retry-after": "1"}])
def test_ask_fails_a_call_that_is_always_limited_while_others_pass(
    provider: Provider, n: int, headers: dict[str, str]
) -> None:
    """The last calls included, with which it is alone; in little more than a minute."""
    refusal = 429, error_body(429, "Rate limit reached: tokens per min"), headers
    provider.chat.refuse = lambda body: refusal if too_large(body) else None
    provider.behave(latency=0.5)
    calls = [request(i) for i in range(n)]
    asked, seconds = timed_ask_all(provider, calls, tries=5, max_connections=8)
    assert [(i, one.reason) for i, one in enumerate(asked) if one.status != "answered"] == [
        (7, "always_limited")
    ]
    assert seconds < 120


def test_ask_fails_a_call_that_is_larger_than_the_limit_at_once(provider: Provider) -> None:
    words = "Request too large on tokens per min (TPM): Limit 10,000, Requested 15000."
    provider.chat.refuse = lambda body: (429, error_body(429, words)) if too_large(body) else None
    asked = ask_all(provider, [request(n) for n in range(10)])
    assert [(a.reason, len(a.attempts)) for a in asked if a.status == "failed"] == [
        ("over_rate_limit", 1)
    ]


def test_ask_stops_the_run_if_the_body_names_a_reset_in_hours(provider: Provider) -> None:
    words = "Limit 200 requests per day. Please try again in 5h12m."
    provider.chat.refuse = lambda _: (429, error_body(429, words), {"retry-after": "2"})
    with pytest.raises(EndpointUnavailable, match="try again in 5h12m"):
        ask(provider)


def test_ask_stops_the_run_if_nothing_but_429_comes_for_an_hour(provider: Provider) -> None:
    provider.chat.refuse = lambda _: (429, error_body(429, "slow down"), {"retry-after": "60"})
    with pytest.raises(EndpointUnavailable, match="quota"):
        ask_all(provider, [request(n) for n in range(8)])


def test_notice_tells_that_the_endpoint_limits_all_calls(provider: Provider) -> None:
    provider.chat.refuse = lambda _: (429, error_body(429, "slow down"), {"retry-after": "1"})

    async def work() -> list[str]:
        async with serving(provider) as teacher:
            call = asyncio.create_task(teacher.ask(request()))
            await asyncio.sleep(120)
            notices = [teacher.notice()]
            provider.chat.refuse = lambda _: None
            await call
            return [*notices, teacher.notice()]

    limited, none = virtual_time.run(work())
    assert limited == "limited by the endpoint for 120 s, 1 connection: slow down"
    assert none == ""


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, {"code": "invalid_api_key"}, "check the key .the key in SIM_KEY was sent"),
        (402, {}, "top up"),
        (403, {}, "SIM_KEY may not use sim"),
        (403, {"message": "Your input was flagged"}, "SIM_KEY may not use sim"),
        (400, {"message": "'max_tokens' is too large", "param": "max_tokens"}, "max_tokens"),
        (422, {"message": "Extra inputs are not permitted: top_k"}, "top_k"),
        (404, {"message": "Not Found", "code": None}, "path of --base-url"),
        (429, {"code": "insufficient_quota"}, "quota"),
        (404, {"code": "model_not_found"}, "--model sim"),
        (400, {"code": "invalid_value", "param": "temperature"}, "change --temperature"),
    ],
)
def test_ask_stops_the_run_if_no_call_can_succeed(
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    error: dict[str, Any],
    words: str,
) -> None:
    monkeypatch.setenv("SIM_KEY", SECRET)
    provider.behave(status=status, error=error, latency=0.0)
    with pytest.raises(EndpointUnavailable, match=words) as caught:
        ask_all(provider, [request(n) for n in range(40)], api_key_env="SIM_KEY", max_connections=4)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert provider.stats()["counts"]["requests"] <= 8


@pytest.mark.parametrize("connections", [2, 64])
@pytest.mark.parametrize(
    ("fault", "words"), [("503", "http_503"), ("reset", "connection"), ("html", "html")]
)
def test_ask_stops_the_run_within_minutes_if_the_endpoint_fails_all_calls(
    provider: Provider, fault: str, words: str, connections: int
) -> None:
    ended, seconds, notice = until_it_stops(provider, fault, max_connections=connections)
    failed = [one for one in ended if isinstance(one, CallResult)]
    assert len(failed) < ENDPOINT_THRESHOLD
    stopped = [one for one in ended if isinstance(one, EndpointUnavailable)]
    assert len(stopped) == len(ended) - len(failed)
    assert all("failed all calls" in str(one) and words in str(one) for one in stopped)
    assert OUTAGE_SECONDS <= seconds <= OUTAGE_SECONDS + 30
    assert notice.startswith("no answer from the endpoint for 60 s")
    assert words in notice


def test_ask_stops_the_run_if_all_calls_time_out(provider: Provider) -> None:
    """After the first time limit, if that is long: nobody waits for five of them per call."""
    ended, seconds, _ = until_it_stops(provider, "hang", max_connections=16, call_seconds=400.0)
    assert {type(one) for one in ended} == {EndpointUnavailable}
    assert "call_seconds" in str(ended[0])
    assert seconds < 1000


@pytest.mark.parametrize("fault", ["503", "html"])
def test_ask_waits_for_a_server_that_comes_back(provider: Provider, fault: str) -> None:
    """Tries that fell into the outage are not counted."""

    async def work() -> list[CallResult]:
        async with serving(provider) as teacher:
            await teacher.ask(request(100))
            provider.behave(fault=fault)
            calls = [asyncio.create_task(teacher.ask(request(n))) for n in range(40)]
            await asyncio.sleep(240)
            assert "40 calls failed" in teacher.notice()
            provider.behave(fault="")
            asked = await asyncio.gather(*calls)
            assert teacher.notice() == ""
            return asked

    asked = virtual_time.run(work())
    assert {one.status for one in asked} == {"answered"}


@pytest.mark.parametrize("fault", ["503", "html"])
def test_ask_stops_the_run_sooner_if_no_call_was_ever_answered(
    provider: Provider, fault: str
) -> None:
    provider.behave(fault=fault)

    async def work() -> float:
        async with serving(provider, tries=2, max_connections=4) as teacher:
            calls = [asyncio.create_task(teacher.ask(request(n))) for n in range(40)]
            ended = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(one) for one in ended} == {EndpointUnavailable}
            return asyncio.get_running_loop().time()

    assert virtual_time.run(work()) < 60


def until_it_stops(
    provider: Provider, fault: str, **values: Any
) -> tuple[list[CallResult | BaseException], float, str]:
    """Ask 200 calls of an endpoint that broke after an answer.

    Returns:
        How they ended, after how many seconds, and the notice after one minute.
    """

    async def work() -> tuple[list[CallResult | BaseException], float, str]:
        async with serving(provider, tries=5, **values) as teacher:
            await teacher.ask(request(200))
            provider.behave(fault=fault)
            calls = [asyncio.create_task(teacher.ask(request(n))) for n in range(200)]
            await asyncio.sleep(60)
            notice = teacher.notice()
            ended = await asyncio.gather(*calls, return_exceptions=True)
            return ended, asyncio.get_running_loop().time(), notice

    return virtual_time.run(work())


def test_ask_stops_the_run_if_retry_after_is_hours(provider: Provider) -> None:
    provider.behave(fault="429", retry_after=20_000)
    with pytest.raises(EndpointUnavailable, match="quota"):
        ask(provider)


def free_port() -> int:
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_ask_stops_the_run_if_the_endpoint_is_unreachable() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"

    async def work() -> float:
        teacher = open_sim(url)
        calls = [asyncio.create_task(teacher.ask(request(n))) for n in range(50)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        await teacher.close()
        assert {type(one) for one in ended} == {EndpointUnavailable}
        advice = {str(one) for one in ended}
        assert all("check --base-url" in text and "\n" not in text for text in advice)
        return asyncio.get_running_loop().time()

    assert FIRST_CONTACT_SECONDS <= virtual_time.run(work()) <= 3 * FIRST_CONTACT_SECONDS


def test_ask_waits_for_an_endpoint_that_comes_back() -> None:
    """Tries that could not reach it do not count, even where a call has a single try."""
    port = free_port()

    async def work() -> list[CallResult]:
        teacher = open_sim(f"http://127.0.0.1:{port}/v1", tries=1)
        calls = [asyncio.create_task(teacher.ask(request(n))) for n in range(10)]
        await asyncio.sleep(0.8)
        async with Provider().serving_here(port):
            asked = await asyncio.gather(*calls)
            await teacher.close()
        return asked

    asked = virtual_time.run(work())
    assert {one.status for one in asked} == {"answered"}
    assert {a.error_class for one in asked for a in one.attempts} == {None, "unreachable"}


def test_ask_shows_no_key(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SIM_KEY", SECRET)
    provider.behave(key="sk-another-one-entirely")
    caplog.set_level(logging.DEBUG)

    async def work() -> tuple[EndpointUnavailable, list[str]]:
        async with serving(provider, api_key_env="SIM_KEY") as teacher:
            shown = [repr(teacher), repr(teacher.identity), str(vars(teacher)["_endpoint"])]
            with pytest.raises(EndpointUnavailable) as caught:
                await teacher.ask(request())
            return caught.value, shown

    error, shown = virtual_time.run(work())
    shown += [repr(error), caplog.text, *(repr(e) for e in (error.__cause__, error.__context__))]
    assert not any(SECRET in text for text in shown)
    assert "Incorrect API key provided: ***" in str(error)


def test_drain_ends_waiting_calls_and_keeps_those_in_flight(provider: Provider) -> None:
    provider.behave(latency=0.3)

    async def work() -> list[CallResult | BaseException]:
        async with serving(provider, max_connections=5) as teacher:
            calls = [asyncio.create_task(teacher.ask(request(n))) for n in range(20)]
            await asyncio.sleep(0.15)
            teacher.drain()
            return await asyncio.gather(*calls, return_exceptions=True)

    ended = virtual_time.run(work())
    assert Counter(type(one) for one in ended) == {CallResult: 5, CallPostponed: 15}
    assert provider.stats()["paid"] == 5


def test_drain_returns_the_attempts_of_a_waiting_call(provider: Provider) -> None:
    provider.behave(fault="500")

    async def work() -> CallPostponed:
        async with serving(provider, tries=50) as teacher:
            call = asyncio.create_task(teacher.ask(request()))
            while provider.counts["500"] < 2:
                await asyncio.sleep(0.01)
            teacher.drain()
            with pytest.raises(CallPostponed) as caught:
                await call
            return caught.value

    made = virtual_time.run(work()).rows
    assert [attempt.status for attempt in made] == ["retry"] * provider.counts["500"]


def test_ask_returns_the_attempts_when_the_run_stops(provider: Provider) -> None:
    provider.behave(status=402)
    with pytest.raises(EndpointUnavailable) as caught:
        ask(provider)
    assert [(a.status, a.http_status) for a in caught.value.rows] == [("stopped", 402)]


def test_ask_releases_the_permit_of_a_cancelled_call(provider: Provider) -> None:
    provider.behave(fault="hang")

    async def work() -> str:
        async with serving(provider, max_connections=1) as teacher:
            stuck = asyncio.create_task(teacher.ask(request()))
            await asyncio.sleep(0.1)
            provider.behave(fault=None)
            stuck.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await stuck
            assert [a.status for a in cancelled.value.args] == ["stopped"]
            return (await teacher.ask(request(1))).status

    assert virtual_time.run(work()) == "answered"


@pytest.mark.parametrize(
    ("family", "values", "left_out"),
    [
        ("openai", {"model": "gpt-5-mini"}, ["max_tokens", "temperature"]),
        ("openai", {"model": "o3", "top_p": 0.9}, ["max_tokens", "temperature", "top_p"]),
        ("openai", {"model": "gpt-4o", "extra_body": {"top_k": 3}}, ["top_k"]),
        ("mistral", {"extra_body": {"top_k": 3}}, ["seed", "top_k"]),
        ("gemini", {"extra_body": {"top_k": 3}}, ["seed", "top_k"]),
    ],
)
def test_ask_leaves_out_what_the_endpoint_refuses_by_name(
    provider: Provider, family: str, values: dict[str, Any], left_out: list[str]
) -> None:
    provider.behave(family=family)
    provider.chat.keep_bodies = True
    asked = ask_all(provider, [request(n) for n in range(20)], **values)
    assert {one.status for one in asked} == {"answered"}
    assert not set(left_out) & provider.chat.bodies[-1].keys()
    length = {"max_tokens", "max_completion_tokens"} & provider.chat.bodies[-1].keys()
    assert [provider.chat.bodies[-1][name] for name in length] == [4096]
    refused = [a for one in asked for a in one.attempts if a.status != "ok"]
    assert {a.status for a in refused} == {"retry"}
    assert provider.stats()["paid_twice"] == 0


def test_ask_says_once_what_it_leaves_out_and_remembers_it(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.behave(family="openai")
    known: set[str] = set()

    class Memory:
        def load(self) -> frozenset[str]:
            return frozenset(known)

        def add(self, names: Any) -> None:
            known.update(names)

    async def work(n: int) -> list[CallResult]:
        async with serving(provider, model="gpt-5-mini") as teacher:
            teacher.share_omitted(Memory())  # type: ignore[arg-type]
            calls = [teacher.ask(request(i)) for i in range(n)]
            return list(await asyncio.gather(*calls))

    first = virtual_time.run(work(20))
    assert known == {"max_tokens", "temperature"}
    told = [r.message for r in caplog.records if "left out from now on" in r.message]
    assert [("temperature for" in t, "max_tokens for" in t) for t in told] in (
        [(False, True), (True, False)],
        [(True, False), (False, True)],
    )
    again = virtual_time.run(work(5))
    assert {statuses(one)[0] for one in again} == {"ok"}
    assert {one.status for one in first} == {"answered"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model": "deepseek-flash", "max_tokens": 99_999}, "change --max-tokens"),
        ({"model": "nobody"}, "--model nobody"),
    ],
)
def test_ask_names_the_flag_of_what_cannot_be_left_out(
    provider: Provider, values: dict[str, Any], words: str
) -> None:
    provider.behave(family="deepseek")
    with pytest.raises(EndpointUnavailable, match=words):
        ask_all(provider, [request(n) for n in range(9)], **values)


def test_ask_does_not_drop_a_length_limit_that_is_refused_under_every_name(
    provider: Provider,
) -> None:
    error = {"code": "unsupported_parameter"}
    provider.behave(status=400, error=error | {"message": "no max_tokens", "param": "max_tokens"})
    provider.chat.keep_bodies = True
    with pytest.raises(EndpointUnavailable):
        ask_all(provider, [request(n) for n in range(9)])
    for body in provider.chat.bodies:
        assert {"max_tokens", "max_completion_tokens"} & body.keys()


def test_ask_ends_the_run_where_a_proxy_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:port")
    teacher = open_sim("http://192.0.2.1/v1")

    async def work() -> None:
        with pytest.raises(EndpointUnavailable, match="check HTTP_PROXY"):
            await teacher.ask(request())
        await teacher.close()

    asyncio.run(work())
