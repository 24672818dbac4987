"""The teacher behind any OpenAI-compatible endpoint: OpenAI, DeepSeek, vLLM, SGLang, Ollama.

Decisions
- Every try is an attempt that is returned to the caller with its usage: retries are done here.
- A rejected key, an empty account or an unknown model closes the endpoint for all calls at once, as
  refusals do that others share (refusals.py); nothing is lost, because no call is at fault.
- A key never leaves this package: identities, errors and reprs do not hold it, and provider
  messages are redacted before they are shown or stored.
- What was paid for is kept: an answer that is not whole is stored beside its attempt; if the second
  one is not whole either, the fuller of the two is the answer, marked `incomplete`.
- A call that ends without an answer, for whatever reason, returns the attempts that it made.
- Connections are opened by the first call, because `openai` takes a second to import and a run may
  have nothing to ask.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from annoy_store.config import RunSettings
from annoy_store.errors import CallPostponed, EndpointUnavailable, JobReturned, UsageError
from annoy_store.inference.client.admission import Permit, RequestLimiter
from annoy_store.inference.client.base_url import normalised_url
from annoy_store.inference.client.circuit_breaker import CircuitBreaker
from annoy_store.inference.client.concurrency import AdaptiveConcurrency
from annoy_store.inference.client.errors import CONNECTION_ADVICE, CallError, redact
from annoy_store.inference.client.outage import OUTAGE_ADVICE
from annoy_store.inference.client.parameters import flag_of_refusal, refused_fields
from annoy_store.inference.client.prefix_cache import HEAD_START_SECONDS, PrefixCacheGate
from annoy_store.inference.client.providers import Endpoint, resolve_endpoint
from annoy_store.inference.client.rate_limit import RateLimit, RateLimiter
from annoy_store.inference.client.refusals import ENDPOINT_THRESHOLD
from annoy_store.inference.client.request import generation_parameters, request_builder
from annoy_store.inference.client.response import OK, read_completion
from annoy_store.inference.client.retry import MAX_PAID_REPLIES, CallState, backoff_seconds
from annoy_store.inference.client.usage import NO_USAGE, TokenUsage, estimate_tokens
from annoy_store.interfaces import Attempt, CallResult, Completion, Request, TeacherIdentity
from annoy_store.records.teachers import OmittedParameters

if TYPE_CHECKING:
    from annoy_store.inference.client.transport import Transport

logger = logging.getLogger(__name__)

_MAX_RETRY_AFTER_SECONDS = 3600.0  # a longer wait stops the run
_ATTEMPT_STATUS = {
    "retry": "retry",
    "unreachable": "retry",
    "limited": "limited",
    "omitted": "retry",
    "stop": "stopped",
}


def connect(settings: RunSettings, model: str | None) -> OpenAITeacher:
    """Return the teacher that `settings` describe.

    Raises:
        UsageError: The settings lack something.
    """
    return OpenAITeacher(resolve_endpoint(settings, model), settings)


class OpenAITeacher:
    """One model at one endpoint, with its request limiter. Belongs to one event loop.

    Args:
        endpoint: Where to send calls.
        settings: Sampling parameters, tries, time limits and rate limits.
    """

    def __init__(self, endpoint: Endpoint, settings: RunSettings) -> None:
        self.identity = TeacherIdentity(
            backend="openai",
            model=endpoint.model,
            base_url=normalised_url(endpoint.base_url),
            parameters=generation_parameters(settings, endpoint),
        )
        self._endpoint = endpoint
        self._request_builder = request_builder(settings, endpoint)
        self._omitted: frozenset[str] = frozenset()
        self._remember_omitted: Callable[[Collection[str]], None] = lambda _: None
        self._tries = settings.tries
        self._rate_limiter = RateLimiter(settings.requests_per_minute, settings.tokens_per_minute)
        concurrency = AdaptiveConcurrency(
            settings.max_connections, fixed=endpoint.fixed_concurrency
        )
        self._limiter = RequestLimiter(concurrency, self._rate_limiter, CircuitBreaker())
        self._prefix_gate = PrefixCacheGate()
        self._max_connections, self._call_seconds = settings.max_connections, settings.call_seconds
        self._transport: Transport | None = None

    @property
    def capacity(self) -> int:
        """Return how many calls are worth having in flight now."""
        return self._limiter.capacity

    @property
    def n_set_aside(self) -> int:
        """Return how many of its calls wait for what others get; they take no place of others."""
        return self._limiter.n_set_aside

    @property
    def connections(self) -> tuple[int, int]:
        """Return how many calls are in flight, and how many may be."""
        return self._limiter.connections

    def notice(self) -> str:
        """Return why the endpoint answers nothing now, as a sentence; empty if it does."""
        return self._limiter.notice()

    def share_rate_limit(self, rate_limit: RateLimit) -> None:
        """Let `rate_limit` keep the limits per minute, for all processes that use this endpoint."""
        self._rate_limiter.rate_limit = rate_limit

    def share_omitted(self, known: OmittedParameters) -> None:
        """Leave out what the endpoint is known to refuse, and add what it turns out to refuse."""
        self._omitted, self._remember_omitted = known.load(), known.add

    async def ask(self, request: Request) -> CallResult:
        """Answer one call, as `Teacher.ask` describes. When cancelled, the error holds the attempts."""
        call = CallState(
            request,
            estimate_tokens(request.messages),
            *self._prefix_gate.register(request.messages),
        )
        try:
            with self._limiter.call(call.limited):
                completion = await self._call_in_prefix_order(call)
        except CallError as error:
            return self._failed_result(error, call)
        except JobReturned as returned:
            returned.rows = tuple(call.attempts)
            raise
        except asyncio.CancelledError:
            raise asyncio.CancelledError(*call.attempts) from None
        return CallResult("answered", tuple(call.attempts), completion)

    def drain(self) -> None:
        """Begin no more tries: calls that wait raise CallPostponed, those in flight go on."""
        self._limiter.close(CallPostponed("stopping: no more calls are sent"))

    async def close(self) -> None:
        """Close the connections."""
        self.drain()
        if self._transport is not None:
            await self._transport.close()

    def _open_transport(self) -> Transport:
        """Return the connections, opened by the first call.

        Raises:
            EndpointUnavailable: A proxy or a certificate of the environment cannot be used.
        """
        if self._transport is None:
            from annoy_store.inference.client.transport import Transport

            try:
                self._transport = Transport(
                    self._endpoint, self._max_connections, self._call_seconds
                )
            except UsageError as error:
                raise EndpointUnavailable(str(error)) from error
        return self._transport

    async def _call_in_prefix_order(self, call: CallState) -> Completion:
        """Let the first call with this prefix go first. Raises as `_call_with_retries` does."""
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
        """Try until there is an answer or no hope of one. Raises CallError and JobReturned."""
        while True:
            try:
                return await self._call_once(call)
            except CallError as error:
                if not error.is_retryable or self._is_given_up(call, error):
                    raise
                if error.kind == "omitted":
                    continue
                seconds = backoff_seconds(error, len(call.attempts), call.limited.n_counted)
            call.report_attempts()
            await self._limiter.sleep(seconds)

    def _is_given_up(self, call: CallState, error: CallError) -> bool:
        is_paid = error.answer is not None and call.n_paid >= MAX_PAID_REPLIES
        return is_paid or call.failed_tries >= self._tries

    def _is_last_failure(self, call: CallState, error: CallError) -> bool:
        """Return whether an error uses up a call's tries, of which none was paid for."""
        is_last = call.failed_tries + 1 >= self._tries
        return error.counts_as_try and error.answer is None and is_last and not call.answers

    async def _call_once(self, call: CallState) -> Completion:
        """Send the call once and note the attempt. Raises CallError and EndpointUnavailable."""
        transport = self._open_transport()
        permit = await self._limiter.acquire(call.prompt_tokens)
        if call.prefix_cached and call.is_first:
            loop = asyncio.get_running_loop()
            loop.call_later(HEAD_START_SECONDS, call.prefix_cached.set)
        request, omitted = call.next_request(), self._omitted
        body = self._request_builder.encode(request, omitted)
        started, clock = datetime.now(UTC), time.perf_counter()
        try:
            completion, usage = read_completion(await transport.post(body))
        except CallError as error:
            error.message = redact(error.message, self._endpoint.key)
            await self._omit_refused(error, self._request_builder.body(request, omitted))
            replied = time.perf_counter()
            try:
                await self._record_error(error, permit, call)
            finally:
                clock += time.perf_counter() - replied
                call.attempts.append(self._failed_attempt(error, call, started, clock))
            raise
        except BaseException:
            self._limiter.release_without_result(permit.number)
            cancelled = CallError("retry", "stopped", "given up in flight")
            call.attempts.append(_attempt("stopped", started, clock, None, error=cancelled))
            raise
        self._limiter.release(permit, None, usage)
        self._limiter.record_not_limited(call.limited, is_answer=True)
        call.attempts.append(_attempt("ok", started, clock, OK, usage, completion.model))
        return completion

    async def _omit_refused(self, error: CallError, sent: Mapping[str, Any]) -> None:
        """Leave out the fields that the endpoint refuses from now on, if they may be left out."""
        prompt = " ".join(str(message.get("content")) for message in sent.get("messages", ()))
        found = refused_fields(error.status or 0, error.details, sent, prompt)
        names = [n for n in found if self._can_omit(n)]
        if not names:
            error.flag = flag_of_refusal(error.details, sent)
            return
        error.kind = "omitted"
        if new := frozenset(names) - self._omitted:
            self._omitted |= new
            url, model = self.identity.base_url, self.identity.model
            logger.warning(
                "%s refuses %s for %s (%s): left out from now on",
                url, ", ".join(sorted(new)), model, error.message,
            )  # fmt: skip
            await asyncio.to_thread(self._remember_omitted, new)

    def _can_omit(self, name: str) -> bool:
        return name in self._omitted or self._request_builder.can_omit(name, self._omitted)

    async def _record_error(self, error: CallError, permit: Permit, call: CallState) -> None:
        """Release the permit; close the endpoint if no call can succeed any more.

        A refusal waits here for what other calls get. Raises JobReturned, if they get nothing.
        """
        give_up = False
        if (kind := error.kind) == "retry":
            error.is_shared = self._limiter.record_failed(permit, call.request.call_id, error)
        if kind == "refused" or self._is_last_failure(call, error):
            error.kind = "stop"
            self._limiter.record_not_limited(call.limited, is_answer=False)
            error.is_shared = not await self._limiter.release_refused(permit, kind, error)
            error.kind = "stop" if error.is_shared else kind
        elif error.kind != "unreachable":
            self._limiter.release(permit, error.kind, error.usage)
            give_up = self._record_limited(error, call)
        else:
            give_up = self._limiter.release_unreachable(permit)
        if give_up and error.kind != "limited":
            error.message = f"for {self._limiter.outage_seconds():.0f} s, {error.message}"
        if give_up:
            error.kind = "stop"
        if error.kind == "stop":
            unavailable = EndpointUnavailable(self._advice(error))
            logger.info("%s", unavailable)
            self._limiter.close(unavailable)

    def _record_limited(self, error: CallError, call: CallState) -> bool:
        """Count a 429 as a try if the call is at fault; return whether to give up the endpoint."""
        if error.kind != "limited":
            self._limiter.record_not_limited(call.limited, is_answer=error.kind == "rejected")
            return error.is_shared and self._limiter.is_out(self._tries)
        if self._limiter.record_limited(call.limited, error.message):
            call.failed_tries += 1
        waits = max(error.retry_after or 0, self._limiter.limited_seconds())
        return waits > _MAX_RETRY_AFTER_SECONDS

    def _failed_attempt(
        self, error: CallError, call: CallState, started: datetime, clock: float
    ) -> Attempt:
        """Return the attempt that `error` ended, and count it as a try if it is one."""
        call.failed_tries += error.counts_as_try
        if error.answer is not None:
            call.answers[len(call.attempts)] = error.answer
        elif error.status == OK:
            call.n_unread += 1
        given_up = error.kind in ("retry", "limited") and self._is_given_up(call, error)
        given_up = given_up and not (error.answer and error.answer.says_anything)
        status = "failed" if given_up else _ATTEMPT_STATUS.get(error.kind, "failed")
        return _attempt(status, started, clock, error.status, error.usage, error.model, error)

    def _failed_result(self, error: CallError, call: CallState) -> CallResult:
        attempts, detail = tuple(call.attempts), error.message or None
        if error.kind == "stop":
            raise EndpointUnavailable(self._advice(error), attempts) from None
        if (fullest := call.fullest_answer()) and not error.is_about_prompt:
            return _incomplete_result(call.attempts, *fullest)
        if error.is_about_prompt:
            return CallResult("rejected", attempts, reason=error.name, detail=detail)
        reason = "always_limited" if error.kind == "limited" else error.name
        return CallResult("failed", attempts, reason=reason, detail=detail)

    def _advice(self, error: CallError) -> str:
        """Return what happened and what to do, in one line."""
        url, model = self.identity.base_url, self.identity.model
        is_model = "model" in error.message.lower() and not error.flag
        setting = f"change {error.flag or 'the setting that it names'}"
        setting = f"check --model {model}" if is_model else setting
        advice = {
            400: setting,
            422: setting,
            401: f"check the key ({self._endpoint.sent_key}), or name another variable with "
            "--api-key-env",
            402: "top up the account",
            403: f"{self._endpoint.sent_key}: {self._endpoint.key_env} may not use {model} here",
            404: f"check --model {model} and the path of --base-url, which ends before "
            "/chat/completions",
            429: "the quota is used up: raise it, or wait",
            OK: "check --base-url: what answers there is no chat completion",
        }.get(401 if error.is_about_key else error.status or 0, "see the server's log, or wait")
        advice = {**CONNECTION_ADVICE, **OUTAGE_ADVICE}.get(error.name, advice)
        what = "could not be reached" if error.name in CONNECTION_ADVICE else "rejected the request"
        if error.is_shared:
            is_refusal = 400 <= (error.status or 0) < 500
            what = "refused calls alike with none" if is_refusal else "failed all calls, with none"
            what += " answered between"
            advice += f" (or fail these calls: annoy run complete --limit {ENDPOINT_THRESHOLD - 1})"
        return f"{url} {what} ({error.reason}): {advice}, then run again"


def _incomplete_result(attempts: Sequence[Attempt], number: int, answer: Completion) -> CallResult:
    """Return the answer of attempt `number`, which is not whole, as the answer of the call."""
    gave = replace(attempts[number], status="ok", text=None, reasoning=None)
    made = (*attempts[:number], gave, *attempts[number + 1 :])
    return CallResult("answered", made, answer)


def _attempt(
    status: str,
    started: datetime,
    clock: float,
    http_status: int | None,
    usage: TokenUsage = NO_USAGE,
    model: str | None = None,
    error: CallError | None = None,
) -> Attempt:
    answer = error.answer if error else None
    return Attempt(
        status=status,
        started_at=started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        latency_ms=round((time.perf_counter() - clock) * 1000, 3),
        error_class=error.name if error else None,
        error_message=error.message if error else None,
        http_status=http_status,
        prompt_tokens=usage.prompt,
        cached_tokens=usage.cached,
        completion_tokens=usage.completion,
        reasoning_tokens=usage.reasoning,
        model=model,
        text=answer.text if answer else None,
        reasoning=answer.reasoning if answer else None,
    )
