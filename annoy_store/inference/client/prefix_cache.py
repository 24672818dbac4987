"""Prompts that begin alike: one goes ahead, so that the others find their beginning cached.

Decisions
- Providers keep the beginning of a prompt and bill it at a fraction when it comes again, but have
  it only some seconds after it first came. Siblings are claimed together; were they sent at once,
  all would pay in full. So they wait until the first has been under way for `HEAD_START` seconds,
  or has ended; what waits leaves its place to calls about something else.
- Alike is what shares its first `ALIKE` characters, whatever the template; providers keep nothing
  of shorter prompts.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping

HEAD_START_SECONDS = 3.0
PREFIX_CHARS = 1024
_MAX_PREFIXES = 4096


class PrefixCacheGate:
    """Who goes ahead, by beginning. Belongs to one event loop."""

    def __init__(self) -> None:
        self._cached: OrderedDict[int, asyncio.Event] = OrderedDict()

    def register(self, messages: Iterable[Mapping[str, str]]) -> tuple[asyncio.Event | None, bool]:
        """Return what tells that a prompt's beginning is cached, and whether this call goes ahead.

        Who goes ahead has to see to it that the event is set, whatever happens.
        """
        beginning = "\0".join(m.get("content") or "" for m in messages)[:PREFIX_CHARS]
        if len(beginning) < PREFIX_CHARS:
            return None, False
        key = hash(beginning)
        if (cached := self._cached.get(key)) is not None:
            return cached, False
        if len(self._cached) >= _MAX_PREFIXES:
            self._cached.popitem(last=False)
        cached = self._cached[key] = asyncio.Event()
        return cached, True
