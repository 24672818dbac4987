"""Which prompts wait for which, by their beginnings."""

from __future__ import annotations

from annoy_store.inference.client.prefix_cache import (
    _MAX_PREFIXES,
    PREFIX_CHARS,
    PrefixCacheGate,
)


def prompt(beginning: str, end: str = "") -> list[dict[str, str]]:
    return [{"role": "user", "content": beginning.ljust(PREFIX_CHARS, "-") + end}]


def test_register_lets_the_first_of_a_beginning_go_first() -> None:
    gate = PrefixCacheGate()
    event, is_first = gate.register(prompt("a", "1"))
    assert event is not None
    assert is_first
    assert gate.register(prompt("a", "2")) == (event, False)
    assert gate.register(prompt("b"))[1]


def test_register_ignores_short_prompts() -> None:
    messages = [{"role": "user", "content": "x" * (PREFIX_CHARS - 1)}]
    assert PrefixCacheGate().register(messages) == (None, False)


def test_register_forgets_the_oldest_beginnings() -> None:
    gate = PrefixCacheGate()
    for n in range(_MAX_PREFIXES + 1):
        assert gate.register(prompt(str(n)))[1]
    assert gate.register(prompt("0"))[1]
    assert not gate.register(prompt(str(_MAX_PREFIXES)))[1]
