"""The teacher behind any OpenAI-compatible endpoint, asked with the `openai` package.

Decisions (measured; CPU seconds per 1,000 calls)
- One client and one process per run, on the package's aiohttp transport with enough connections:
  its default transport costs more the more calls are in flight, and a client per call 40 times as
  much. The transport silently takes 100 connections for an unlimited number, so one is given.
- Requests go through `client.post` and answers come as bytes, decoded here: half the cost of the
  typed call, and a proxy's HTML or an empty list of choices cannot pass for an answer.
- The package's own retries are off: every try is an attempt that the store knows of.
- The time limit of a try is total. The client's own limit counts per read, and a slow body or a
  provider's blank lines would stretch it without end.
- Idle connections are closed sooner than uvicorn (vLLM, SGLang) closes them, which is after 5 s.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
import httpx2
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, DefaultAioHttpClient
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from annoy_store.contracts import Answer, Asked, Attempt, Request, TeacherIdentity
from annoy_store.errors import StopRun
from annoy_store.settings import RunSettings
from annoy_store.teachers._answers import read_answer
from annoy_store.teachers._body import Form, form_of, parameters
from annoy_store.teachers._breaker import Breaker
from annoy_store.teachers._budget import Budget
from annoy_store.teachers._faults import Fault, of_status, scrub
from annoy_store.teachers._gate import Gate, Slot
from annoy_store.teachers._limit import AdaptiveLimit
from annoy_store.teachers._presets import Endpoint, normal_url, resolve
from annoy_store.teachers._tokens import NO_TOKENS, Tokens, estimate
from annoy_store.teachers._waiting import jittered

_CONNECT_SECONDS = 15.0
_IDLE_SECONDS = 4.0
_LONGEST_WAIT = 3600.0
_NOBODY = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


def connect(settings: RunSettings, model: str | None) -> OpenAITeacher:
    """Return the teacher that `settings` describe. Raises UsageError for what is missing."""
    endpoint = resolve(settings, model)
    return OpenAITeacher(endpoint, settings)


@dataclass
class _Call:
    """One call under way."""

    content: bytes
    weight: int
    attempts: list[Attempt] = field(default_factory=list)
    burned: int = 0


class OpenAITeacher:
    """One model at one endpoint, with its limiter. Belongs to one event loop."""

    def __init__(self, endpoint: Endpoint, settings: RunSettings) -> None:
        self.identity = TeacherIdentity(
            backend="openai",
            model=endpoint.model,
            base_url=normal_url(endpoint.base_url),
            parameters=parameters(settings, endpoint),
        )
        self._endpoint = endpoint
        self._form: Form = form_of(settings, endpoint)
        self._tries = settings.tries
        self._deadline = settings.call_seconds
        self._gate = Gate(
            AdaptiveLimit(
                settings.max_connections, fixed=endpoint.fixed or settings.fixed_connections
            ),
            Budget(settings.requests_per_minute, settings.tokens_per_minute),
            Breaker(),
        )
        self._client = _client(endpoint, settings)
        self._clock = AsyncRetrying(
            retry=retry_if_exception(lambda e: isinstance(e, Fault) and e.again),
            stop=lambda state: _call(state).burned >= self._tries,
            wait=_pause,
            sleep=self._gate.rest,
            reraise=True,
        )

    @property
    def capacity(self) -> int:
        """Return how many calls it is worth having in flight now."""
        return self._gate.capacity

    async def ask(self, request: Request) -> Asked:
        """Answer one call, as `Teacher.ask` says. Raises StopRun."""
        call = _Call(self._form.encoded(request), estimate(request.messages))
        try:
            answer: Answer = await self._clock.copy()(self._try, call)
        except Fault as fault:
            return self._ended(fault, call)
        return Asked("answered", tuple(call.attempts), answer)

    def drain(self) -> None:
        """Start no more tries: calls that wait get StopRun, those in flight come to their end."""
        self._gate.close(StopRun("stopping: no more is asked"))

    async def close(self) -> None:
        """Give the connections back."""
        self.drain()
        await self._client.close()

    async def _try(self, call: _Call) -> Answer:
        """Ask once and note the attempt. Raises Fault."""
        slot = await self._gate.enter(call.weight)
        started, clock = _utc_now(), time.perf_counter()
        try:
            answer, tokens = await self._exchange(call.content)
        except Fault as fault:
            fault.words = scrub(fault.words, self._endpoint.key)
            self._leave(slot, fault)
            call.attempts.append(self._faulty(fault, call, started, clock))
            raise
        except BaseException:
            self._gate.give_up()
            raise
        self._gate.leave(slot, None, tokens)
        call.attempts.append(_attempt("ok", started, clock, 200, tokens, answer.model))
        return answer

    async def _exchange(self, content: bytes) -> tuple[Answer, Tokens]:
        try:
            async with asyncio.timeout(self._deadline):
                response = await self._client.post(
                    "/chat/completions", cast_to=httpx2.Response, content=content
                )
        except TimeoutError:
            raise Fault("retry", "deadline", f"no whole answer in {self._deadline:g} s") from None
        except APIStatusError as error:
            raise _of_status_error(error) from None
        except (APIConnectionError, httpx2.RequestError, aiohttp.ClientError) as error:
            raise _of_connection_error(error) from None
        return read_answer(response.content)

    def _leave(self, slot: Slot, fault: Fault) -> None:
        """Tell the gate what happened; close it if nobody can be served any more."""
        if fault.kind == "unreachable":
            if self._gate.lost(slot):
                fault.kind = "stop"
                fault.words = f"{self._down()}: {fault.words}"
        else:
            if fault.kind == "limited" and (fault.wait or 0) > _LONGEST_WAIT:
                fault.kind = "stop"
            self._gate.leave(slot, fault.kind, fault.tokens)
        if fault.kind == "stop":
            self._gate.close(StopRun(self._advice(fault)))

    def _faulty(self, fault: Fault, call: _Call, started: str, clock: float) -> Attempt:
        call.burned += fault.kind == "retry"
        again = {"retry": "retry", "unreachable": "retry", "limited": "limited", "stop": "stopped"}
        status = again.get(fault.kind, "failed")
        if fault.kind == "retry" and call.burned >= self._tries:
            status = "failed"
        return _attempt(status, started, clock, fault.status, fault.tokens, fault.model, fault)

    def _ended(self, fault: Fault, call: _Call) -> Asked:
        if fault.kind == "stop":
            raise StopRun(self._advice(fault)) from None
        tries = tuple(call.attempts)
        if fault.kind == "rejected":
            return Asked("rejected", tries, reason=fault.name, detail=fault.words or None)
        return Asked("failed", tries, reason=fault.name, detail=fault.words or None)

    def _down(self) -> str:
        return f"out of reach for {self._gate.down_for():.0f} s"

    def _advice(self, fault: Fault) -> str:
        """Say what happened and what to do, in one line."""
        place, model = self.identity.base_url, self.identity.model
        advice = {
            401: f"check the key in {self._endpoint.key_env}",
            402: "top up the account",
            403: f"the key in {self._endpoint.key_env} may not use {model} here",
            404: f"check --model {model} and --base-url",
            400: "change the setting that it names",
            429: "the quota is used up: raise it, or wait",
        }.get(fault.status or 0, "check --base-url, and that the server runs")
        return f"{place} refuses every call ({fault.reason}); {advice}, then run again"


def _client(endpoint: Endpoint, settings: RunSettings) -> AsyncOpenAI:
    most = settings.max_connections + 16
    limits = httpx2.Limits(
        max_connections=most, max_keepalive_connections=most, keepalive_expiry=_IDLE_SECONDS
    )
    timeout = httpx2.Timeout(settings.call_seconds + 5, connect=_CONNECT_SECONDS)
    return AsyncOpenAI(
        api_key=endpoint.key,
        base_url=endpoint.base_url,
        max_retries=0,
        timeout=timeout,
        http_client=DefaultAioHttpClient(limits=limits, timeout=timeout),
    )


def _call(state: RetryCallState) -> _Call:
    call = state.args[0]
    assert isinstance(call, _Call)
    return call


def _pause(state: RetryCallState) -> float:
    """Return the seconds before the next try: as long as asked, or a full-jitter backoff."""
    fault = state.outcome.exception() if state.outcome else None
    if isinstance(fault, Fault) and fault.wait is not None:
        return jittered(fault.wait)
    return _BACKOFF(state)


_BACKOFF = wait_random_exponential(multiplier=0.5, max=60)


def _of_status_error(error: APIStatusError) -> Fault:
    body = error.body if error.body is not None else error.response.text
    return of_status(error.status_code, body, error.response.headers, time.time())


def _of_connection_error(error: BaseException) -> Fault:
    """Tell an endpoint that nobody answers at from a connection that broke."""
    cause: BaseException | None = error
    while cause is not None:
        words = f"{type(cause).__name__}: {cause}"
        if isinstance(cause, _NOBODY):
            return Fault("unreachable", "unreachable", words)
        deepest, cause = words, cause.__cause__
    return Fault("retry", "connection", deepest)


def _utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _attempt(
    status: str,
    started: str,
    clock: float,
    http_status: int | None,
    tokens: Tokens = NO_TOKENS,
    model: str | None = None,
    fault: Fault | None = None,
) -> Attempt:
    return Attempt(
        status=status,
        started_at=started,
        latency_ms=round((time.perf_counter() - clock) * 1000, 3),
        error_class=fault.name if fault else None,
        error_message=fault.words if fault else None,
        http_status=http_status,
        prompt_tokens=tokens.prompt,
        cached_tokens=tokens.cached,
        completion_tokens=tokens.completion,
        reasoning_tokens=tokens.reasoning,
        model=model,
    )
