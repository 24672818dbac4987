"""The teacher behind any OpenAI-compatible endpoint: OpenAI, DeepSeek, vLLM, SGLang, Ollama.

Decisions
- Every try is an attempt that the caller gets to know, with what it used: retries are ours.
- A refused key, an empty account or an unknown model closes the endpoint for all calls at once;
  nothing is lost, because no call is at fault.
- A key never leaves this folder: identity, errors and reprs do not have it, and the provider's
  words are scrubbed before anybody sees them.
- A call that ends without an answer, whoever ends it, hands over the tries that it took.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from annoy_store.config import RunSettings
from annoy_store.errors import CallPostponed, EndpointUnavailable, JobReturned
from annoy_store.inference.client.admission import Permit, RequestLimiter
from annoy_store.inference.client.circuit_breaker import CircuitBreaker
from annoy_store.inference.client.concurrency import AdaptiveConcurrency
from annoy_store.inference.client.errors import CallError, redact
from annoy_store.inference.client.prefix_cache import HEAD_START_SECONDS, PrefixCacheGate
from annoy_store.inference.client.providers import Endpoint, normalised_url, resolve_endpoint
from annoy_store.inference.client.rate_limit import RateLimit, RateLimiter
from annoy_store.inference.client.request import generation_parameters, request_builder
from annoy_store.inference.client.response import read_completion
from annoy_store.inference.client.retry import CallState, backoff_seconds
from annoy_store.inference.client.transport import Transport
from annoy_store.inference.client.usage import NO_USAGE, TokenUsage, estimate_tokens
from annoy_store.interfaces import Attempt, CallResult, Completion, Request, TeacherIdentity

_MAX_RETRY_AFTER_SECONDS = 3600.0
_ATTEMPT_STATUS = {
    "retry": "retry",
    "unreachable": "retry",
    "limited": "limited",
    "stop": "stopped",
}


def connect(settings: RunSettings, model: str | None) -> OpenAITeacher:
    """Return the teacher that `settings` describe. Raises UsageError for what is missing."""
    return OpenAITeacher(resolve_endpoint(settings, model), settings)


class OpenAITeacher:
    """One model at one endpoint, with its limiter. Belongs to one event loop."""

    def __init__(self, endpoint: Endpoint, settings: RunSettings) -> None:
        self.identity = TeacherIdentity(
            backend="openai",
            model=endpoint.model,
            base_url=normalised_url(endpoint.base_url),
            parameters=generation_parameters(settings, endpoint),
        )
        self._endpoint = endpoint
        self._request_builder = request_builder(settings, endpoint)
        self._tries = settings.tries
        self._rate_limiter = RateLimiter(settings.requests_per_minute, settings.tokens_per_minute)
        limit = AdaptiveConcurrency(settings.max_connections, fixed=endpoint.fixed_concurrency)
        self._limiter = RequestLimiter(limit, self._rate_limiter, CircuitBreaker())
        self._prefix_gate = PrefixCacheGate()
        self._transport = Transport(endpoint, settings.max_connections, settings.call_seconds)

    @property
    def capacity(self) -> int:
        """Return how many calls it is worth having in flight now."""
        return self._limiter.capacity

    def share_rate_limit(self, rate_limit: RateLimit) -> None:
        """Let `timeline` keep the budgets per minute, for all who ask this endpoint."""
        self._rate_limiter.rate_limit = rate_limit

    async def ask(self, request: Request) -> CallResult:
        """Answer one call, as `Teacher.ask` says. When cancelled, the error holds the attempts."""
        weight, place = (
            estimate_tokens(request.messages),
            self._prefix_gate.register(request.messages),
        )
        call = CallState(self._request_builder.encode(request), weight, *place)
        try:
            answer = await self._call_in_prefix_order(call)
        except CallError as fault:
            return self._failed_result(fault, call)
        except JobReturned as undone:
            undone.rows = tuple(call.attempts)
            raise
        except asyncio.CancelledError:
            raise asyncio.CancelledError(*call.attempts) from None
        return CallResult("answered", tuple(call.attempts), answer)

    def drain(self) -> None:
        """Begin no more tries: calls that wait raise NotNow, those in flight come to their end."""
        self._limiter.close(CallPostponed("stopping: nothing more is asked"))

    async def close(self) -> None:
        """Give the connections back."""
        self.drain()
        await self._transport.close()

    async def _call_in_prefix_order(self, call: CallState) -> Completion:
        """Let the call that begins like this one go ahead. Raises as `_insist` does."""
        if call.prefix_cached is None:
            return await self._call_with_retries(call)
        if not call.is_first:
            await self._limiter.wait_for(call.prefix_cached.wait())
            return await self._call_with_retries(call)
        try:
            return await self._call_with_retries(call)
        finally:
            call.prefix_cached.set()

    async def _call_with_retries(self, call: CallState) -> Completion:
        """Try until there is an answer or no hope of one. Raises Fault and Undone."""
        while True:
            try:
                return await self._call_once(call)
            except CallError as fault:
                if not fault.is_retryable or call.failed_tries >= self._tries:
                    raise
                seconds = backoff_seconds(fault, len(call.attempts))
            await self._limiter.sleep(seconds)

    async def _call_once(self, call: CallState) -> Completion:
        """Ask once and note the attempt. Raises Fault."""
        slot = await self._limiter.acquire(call.prompt_tokens)
        if call.prefix_cached and call.is_first:
            asyncio.get_running_loop().call_later(HEAD_START_SECONDS, call.prefix_cached.set)
        started, clock = datetime.now(UTC), time.perf_counter()
        try:
            answer, tokens = read_completion(await self._transport.post(call.body))
        except CallError as fault:
            fault.message = redact(fault.message, self._endpoint.key)
            self._record_error(fault, slot)
            call.attempts.append(self._failed_attempt(fault, call, started, clock))
            raise
        except BaseException:
            self._limiter.release_without_result()
            gone = CallError("retry", "stopped", "given up in flight")
            call.attempts.append(_attempt("stopped", started, clock, None, fault=gone))
            raise
        self._limiter.release(slot, None, tokens)
        call.attempts.append(_attempt("ok", started, clock, 200, tokens, answer.model))
        return answer

    def _record_error(self, fault: CallError, slot: Permit) -> None:
        """Tell the gate what happened; close it if nobody can be served any more."""
        if fault.kind != "unreachable":
            self._limiter.release(slot, fault.kind, fault.usage)
            hopeless = (
                fault.kind == "limited" and (fault.retry_after or 0) > _MAX_RETRY_AFTER_SECONDS
            )
        elif hopeless := self._limiter.release_unreachable(slot):
            fault.message = f"for {self._limiter.outage_seconds():.0f} s, {fault.message}"
        if hopeless:
            fault.kind = "stop"
        if fault.kind == "stop":
            self._limiter.close(EndpointUnavailable(self._advice(fault)))

    def _failed_attempt(
        self, fault: CallError, call: CallState, started: datetime, clock: float
    ) -> Attempt:
        """Return the attempt that `fault` ended, counting it against the call if it counts."""
        call.failed_tries += fault.kind == "retry"
        given_up = fault.kind == "retry" and call.failed_tries >= self._tries
        status = "failed" if given_up else _ATTEMPT_STATUS.get(fault.kind, "failed")
        return _attempt(status, started, clock, fault.status, fault.usage, fault.model, fault)

    def _failed_result(self, fault: CallError, call: CallState) -> CallResult:
        tries, detail = tuple(call.attempts), fault.message or None
        if fault.kind == "stop":
            raise EndpointUnavailable(self._advice(fault), tries) from None
        if fault.kind == "rejected":
            return CallResult("rejected", tries, reason=fault.name, detail=detail)
        return CallResult("failed", tries, reason=fault.name, detail=detail)

    def _advice(self, fault: CallError) -> str:
        """Say what happened and what to do, in one line."""
        place, model = self.identity.base_url, self.identity.model
        advice = {
            None: "check --base-url, and that the server runs",
            400: "change the setting that it names",
            401: f"check the key in {self._endpoint.key_env}",
            402: "top up the account",
            403: f"the key in {self._endpoint.key_env} may not use {model} here",
            404: f"check --model {model} and --base-url",
            429: "the quota is used up: raise it, or wait",
        }.get(fault.status, "mend that")
        return f"{place} answers nobody ({fault.reason}): {advice}, then run again"


def _attempt(
    status: str,
    started: datetime,
    clock: float,
    http_status: int | None,
    tokens: TokenUsage = NO_USAGE,
    model: str | None = None,
    fault: CallError | None = None,
) -> Attempt:
    return Attempt(
        status=status,
        started_at=started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        latency_ms=round((time.perf_counter() - clock) * 1000, 3),
        error_class=fault.name if fault else None,
        error_message=fault.message if fault else None,
        http_status=http_status,
        prompt_tokens=tokens.prompt,
        cached_tokens=tokens.cached,
        completion_tokens=tokens.completion,
        reasoning_tokens=tokens.reasoning,
        model=model,
    )
