"""A teacher that gives recorded answers: for tests, demonstrations, and work without a provider.

The file that `settings.replay` names holds one JSON object a line, with the recorded text in
`response` (or `output`) and one of these to say which prompt it answers:

    {"digest": "<digest of the row in `prompts`>", "response": "..."}
    {"messages": [{"role": "user", "content": "..."}], "response": "..."}
    {"contains": "text in the prompt", "response": "..."}       or a list: all must be there

`kind` narrows a line to turns of that kind; `finish_reason` and `reasoning` may be recorded too.
Several lines for one prompt are its samples, in the order of the file. Lines by digest or by
messages come before lines by content. A prompt without a recorded answer is rejected.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annoy_store.config import RunSettings
from annoy_store.errors import UsageError
from annoy_store.hashing import unique_keys
from annoy_store.inference.client.usage import estimate_tokens
from annoy_store.interfaces import Attempt, CallResult, Completion, Request, TeacherIdentity
from annoy_store.parsing.finish_reasons import stored_finish_reason
from annoy_store.records.digests import prompt_digest

_CAPACITY = 64


@dataclass(frozen=True)
class Recording:
    """One recorded answer.

    Attributes:
        completion: The answer.
        kind: The only kind of turn that it answers, if it names one.
        substrings: Texts that must all be in the prompt.
    """

    completion: Completion
    kind: str | None = None
    substrings: tuple[str, ...] = ()

    def matches(self, kind: str, text: str) -> bool:
        """Return whether it answers a prompt of `kind` with the content `text`."""
        return self.kind in (None, kind) and all(part in text for part in self.substrings)


def connect(settings: RunSettings, model: str | None) -> ReplayTeacher:
    """Return the teacher of the recordings in `settings.replay`.

    Raises:
        UsageError: The settings name no file, or it holds something else.
    """
    if settings.replay is None:
        raise UsageError("--teacher replay needs a file of recorded answers: --replay FILE.jsonl")
    return ReplayTeacher(settings.replay, model)


class ReplayTeacher:
    """Answers from a file, which is read once.

    Args:
        path: The file of recorded answers.
        model: The model's name in the teacher's identity; the file's name by default.
    """

    def __init__(self, path: Path, model: str | None = None) -> None:
        self.identity = TeacherIdentity("replay", model or path.stem)
        self._by_digest: dict[str, list[Recording]] = defaultdict(list)
        self._by_content: list[Recording] = []
        for number, record in _records(path):
            try:
                self._add(record)
            except (KeyError, TypeError) as error:
                raise UsageError(f"{path}, line {number}: no recorded answer: {error!r}") from None

    @property
    def capacity(self) -> int:
        """Return how many calls are worth having in flight."""
        return _CAPACITY

    async def ask(self, request: Request) -> CallResult:
        """Return the recorded answer to this sample of the prompt, or reject the call."""
        started = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        recording = self._find(request)
        if recording is None:
            return CallResult("rejected", (), reason="not_recorded")
        prompt_tokens = estimate_tokens(request.messages)
        completion_tokens = estimate_tokens([{"content": recording.completion.text}])
        attempt = Attempt(
            "ok", started, 0.0, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens
        )
        return CallResult("answered", (attempt,), recording.completion)

    def drain(self) -> None:
        """Do nothing: no call waits here."""

    async def close(self) -> None:
        """Do nothing: the file was read at the beginning."""

    def _add(self, record: Mapping[str, Any]) -> None:
        text = record["response"] if "response" in record else record["output"]
        if not isinstance(text, str):
            raise TypeError("the response is not a text")
        finish = stored_finish_reason(record.get("finish_reason") or "stop")
        completion = Completion(text, finish, record.get("reasoning"), record.get("model"))
        kind = record.get("kind")
        if "contains" in record:
            contains = record["contains"]
            parts = (contains,) if isinstance(contains, str) else tuple(contains)
            self._by_content.append(Recording(completion, kind, parts))
        else:
            name = record.get("digest") or prompt_digest(record["messages"])
            self._by_digest[name].append(Recording(completion, kind))

    def _find(self, request: Request) -> Recording | None:
        """Return the recording of the request's sample: by digest first, then by content."""
        exact = self._by_digest.get(prompt_digest(request.messages), [])
        text = "\n".join(message["content"] for message in request.messages)
        matching = [r for r in exact if r.matches(request.kind, text)]
        matching += [r for r in self._by_content if r.matches(request.kind, text)]
        return matching[request.sample_no] if request.sample_no < len(matching) else None


def _records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read recorded answers: {error}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, json.loads(line, object_pairs_hook=unique_keys)
            except ValueError as error:
                raise UsageError(f"{path}, line {number}: not JSON: {error}") from None
