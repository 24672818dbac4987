"""Sends one of several prompts with the same beginning first, so that the provider caches it.

Decisions
- Providers cache the beginning of a prompt and bill it at a fraction when it comes again, but only
  some seconds after it first came. Prompts that begin alike are claimed together; sent at once, all
  would be billed in full. So they wait until the first has been in flight for `HEAD_START_SECONDS`,
  or has ended; calls that wait hold no permit.
- Prompts count as alike if they share their first `PREFIX_CHARS` characters, whatever the template;
  providers cache nothing of shorter prompts.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping

HEAD_START_SECONDS = 3.0
PREFIX_CHARS = 1024
_MAX_PREFIXES = 4096


class PrefixCacheGate:
    """Decides which call is the first with its beginning. Belongs to one event loop."""

    def __init__(self) -> None:
        self._cached: OrderedDict[int, asyncio.Event] = OrderedDict()

    def register(self, messages: Iterable[Mapping[str, str]]) -> tuple[asyncio.Event | None, bool]:
        """Register a call by the beginning of its prompt.

        Args:
            messages: The messages of the prompt.

        Returns:
            An event that is set once the beginning is cached, None for a short prompt; and whether
            this call is the first, which has to set the event, whatever becomes of it.
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
