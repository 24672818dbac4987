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
from annoy_store.errors import NotNow, StopRun, Undone
from annoy_store.inference.client.admission import Gate, Slot
from annoy_store.inference.client.circuit_breaker import Breaker
from annoy_store.inference.client.concurrency import AdaptiveLimit
from annoy_store.inference.client.errors import Fault, scrub
from annoy_store.inference.client.prefix_cache import HEAD_START, Vanguard
from annoy_store.inference.client.providers import Endpoint, normal_url, resolve
from annoy_store.inference.client.rate_limit import Budget, Timeline
from annoy_store.inference.client.request import form_of, parameters
from annoy_store.inference.client.response import read_answer
from annoy_store.inference.client.retry import Call, pause
from annoy_store.inference.client.transport import Wire
from annoy_store.inference.client.usage import NO_TOKENS, Tokens, estimate
from annoy_store.interfaces import Answer, Asked, Attempt, Request, TeacherIdentity

_LONGEST_WAIT = 3600.0
_STATUS = {"retry": "retry", "unreachable": "retry", "limited": "limited", "stop": "stopped"}


def connect(settings: RunSettings, model: str | None) -> OpenAITeacher:
    """Return the teacher that `settings` describe. Raises UsageError for what is missing."""
    return OpenAITeacher(resolve(settings, model), settings)


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
        self._form = form_of(settings, endpoint)
        self._tries = settings.tries
        self._budget = Budget(settings.requests_per_minute, settings.tokens_per_minute)
        limit = AdaptiveLimit(settings.max_connections, fixed=endpoint.fixed)
        self._gate = Gate(limit, self._budget, Breaker())
        self._vanguard = Vanguard()
        self._wire = Wire(endpoint, settings.max_connections, settings.call_seconds)

    @property
    def capacity(self) -> int:
        """Return how many calls it is worth having in flight now."""
        return self._gate.capacity

    def share_budgets(self, timeline: Timeline) -> None:
        """Let `timeline` keep the budgets per minute, for all who ask this endpoint."""
        self._budget.timeline = timeline

    async def ask(self, request: Request) -> Asked:
        """Answer one call, as `Teacher.ask` says. When cancelled, the error holds the attempts."""
        weight, place = estimate(request.messages), self._vanguard.join(request.messages)
        call = Call(self._form.encoded(request), weight, *place)
        try:
            answer = await self._in_order(call)
        except Fault as fault:
            return self._ended(fault, call)
        except Undone as undone:
            undone.made = tuple(call.attempts)
            raise
        except asyncio.CancelledError:
            raise asyncio.CancelledError(*call.attempts) from None
        return Asked("answered", tuple(call.attempts), answer)

    def drain(self) -> None:
        """Begin no more tries: calls that wait raise NotNow, those in flight come to their end."""
        self._gate.close(NotNow("stopping: nothing more is asked"))

    async def close(self) -> None:
        """Give the connections back."""
        self.drain()
        await self._wire.close()

    async def _in_order(self, call: Call) -> Answer:
        """Let the call that begins like this one go ahead. Raises as `_insist` does."""
        if call.cached is None:
            return await self._insist(call)
        if not call.ahead:
            await self._gate.outside(call.cached.wait())
            return await self._insist(call)
        try:
            return await self._insist(call)
        finally:
            call.cached.set()

    async def _insist(self, call: Call) -> Answer:
        """Try until there is an answer or no hope of one. Raises Fault and Undone."""
        while True:
            try:
                return await self._try(call)
            except Fault as fault:
                if not fault.again or call.burned >= self._tries:
                    raise
                seconds = pause(fault, len(call.attempts))
            await self._gate.rest(seconds)

    async def _try(self, call: Call) -> Answer:
        """Ask once and note the attempt. Raises Fault."""
        slot = await self._gate.enter(call.weight)
        if call.cached and call.ahead:
            asyncio.get_running_loop().call_later(HEAD_START, call.cached.set)
        started, clock = datetime.now(UTC), time.perf_counter()
        try:
            answer, tokens = read_answer(await self._wire.exchange(call.content))
        except Fault as fault:
            fault.words = scrub(fault.words, self._endpoint.key)
            self._learn(fault, slot)
            call.attempts.append(self._attempt_of(fault, call, started, clock))
            raise
        except BaseException:
            self._gate.give_up()
            gone = Fault("retry", "stopped", "given up in flight")
            call.attempts.append(_attempt("stopped", started, clock, None, fault=gone))
            raise
        self._gate.leave(slot, None, tokens)
        call.attempts.append(_attempt("ok", started, clock, 200, tokens, answer.model))
        return answer

    def _learn(self, fault: Fault, slot: Slot) -> None:
        """Tell the gate what happened; close it if nobody can be served any more."""
        if fault.kind != "unreachable":
            self._gate.leave(slot, fault.kind, fault.tokens)
            hopeless = fault.kind == "limited" and (fault.wait or 0) > _LONGEST_WAIT
        elif hopeless := self._gate.lost(slot):
            fault.words = f"for {self._gate.down_for():.0f} s, {fault.words}"
        if hopeless:
            fault.kind = "stop"
        if fault.kind == "stop":
            self._gate.close(StopRun(self._advice(fault)))

    def _attempt_of(self, fault: Fault, call: Call, started: datetime, clock: float) -> Attempt:
        """Return the attempt that `fault` ended, counting it against the call if it counts."""
        call.burned += fault.kind == "retry"
        given_up = fault.kind == "retry" and call.burned >= self._tries
        status = "failed" if given_up else _STATUS.get(fault.kind, "failed")
        return _attempt(status, started, clock, fault.status, fault.tokens, fault.model, fault)

    def _ended(self, fault: Fault, call: Call) -> Asked:
        tries, detail = tuple(call.attempts), fault.words or None
        if fault.kind == "stop":
            raise StopRun(self._advice(fault), tries) from None
        if fault.kind == "rejected":
            return Asked("rejected", tries, reason=fault.name, detail=detail)
        return Asked("failed", tries, reason=fault.name, detail=detail)

    def _advice(self, fault: Fault) -> str:
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
    tokens: Tokens = NO_TOKENS,
    model: str | None = None,
    fault: Fault | None = None,
) -> Attempt:
    return Attempt(
        status=status,
        started_at=started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
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
