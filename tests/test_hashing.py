"""Hashing: equal content gives equal text and equal digests."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.hashing import (
    LossyJson,
    canonical_json,
    clean_text,
    compact_json,
    derive_seed,
    digest,
    exact_json,
    unique_keys,
)

UNHURRIED = settings(deadline=None)  # how fast a machine is belongs in no test

TEXTS = st.text(st.characters(), max_size=8) | st.sampled_from(
    ["\x00", "\ud800", "\ue000", "\\u0000"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS


def trees(texts: st.SearchStrategy[str], leaves: st.SearchStrategy[Any]) -> Any:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=10,
    )


FINITE = LEAVES.filter(lambda leaf: leaf not in (float("inf"), float("-inf")))
ANY = trees(TEXTS, FINITE)
SOUND = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
WELL = trees(SOUND, st.none() | st.booleans() | st.integers() | SOUND)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(part) for part in value] if isinstance(value, list) else value


@given(TEXTS)
@UNHURRIED
def test_clean_text(text: str) -> None:
    result = clean_text(text)
    result.encode()
    assert "\x00" not in result
    assert len(result) == len(text)
    assert clean_text(result) == result
    assert all(a == b or b == "\ufffd" for a, b in zip(text, result, strict=True))


@given(WELL)
@UNHURRIED
def test_json_texts_hold_the_same_value(value: Any) -> None:
    assert json.loads(compact_json(value)) == value
    assert json.loads(canonical_json(value)) == value


@given(WELL)
@UNHURRIED
def test_compact_json_keeps_the_order_of_keys(value: dict[str, Any]) -> None:
    assert compact_json(json.loads(compact_json(value))) == compact_json(value)
    if isinstance(value, dict):
        assert list(json.loads(compact_json(value))) == list(value)


@given(ANY)
@UNHURRIED
def test_clean_text_can_be_stored_and_is_final(value: Any) -> None:
    for text in (compact_json(value), canonical_json(value)):
        text.encode()
        json.loads(text)
        assert "\n" not in text
        assert clean_text(text) == text
    assert canonical_json(json.loads(canonical_json(value))) == canonical_json(value)


@given(ANY)
@UNHURRIED
def test_canonical_json_ignores_the_order_of_keys(value: Any) -> None:
    assert canonical_json(shuffled(value)) == canonical_json(value)
    assert digest("x", shuffled(value)) == digest("x", value)


@given(ANY, ANY)
@UNHURRIED
def test_digest(left: Any, right: Any) -> None:
    assert re.fullmatch("[0-9a-f]{32}", digest("x", left))
    assert (digest("x", left) == digest("x", right)) is (
        canonical_json(left) == canonical_json(right)
    )
    assert digest("x", left) != digest("y", left)
    assert digest("x", left, right) != digest("x", [left, right])
    assert 0 <= derive_seed(left, right) < 2**32
    assert derive_seed(left) == derive_seed(left)


@given(TEXTS, TEXTS)
@UNHURRIED
def test_digest_of_a_stored_value_is_that_of_the_original(key: str, text: str) -> None:
    assert digest("x", {key: [text]}) == digest("x", {clean_text(key): [clean_text(text)]})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"\ud800": 1, "\ue000": 2}, '{"\ue000":2,"\ufffd":1}'),
        (["\x00", "\\u0000"], '["\ufffd","\\\\u0000"]'),
        ({"b": [1.0, -0.0], "a": None}, '{"a":null,"b":[1.0,-0.0]}'),
    ],
)
def test_canonical_json(value: Any, text: str) -> None:
    assert canonical_json(value) == text


def test_exact_json_refuses_what_compact_json_replaces() -> None:
    assert exact_json({"b": "é\0", "a": [1.0]}) == '{"b":"é\\u0000","a":[1.0]}'
    for value in ("\ud800", [{"\udfff": 1}], "\ud83d\ude00"):
        with pytest.raises(LossyJson):
            exact_json(value)


def test_unique_keys_refuses_an_object_that_would_lose_an_entry() -> None:
    assert json.loads('[{"a":{}},{"a":1,"b":1}]', object_pairs_hook=unique_keys)
    for text in ('{"a":1,"a":1}', '[{"b":{"a":1,"a":2}}]'):
        with pytest.raises(LossyJson):
            json.loads(text, object_pairs_hook=unique_keys)


def test_digest_never_changes() -> None:
    assert digest("source", "print(1)\n") == "db56b8a2d01df8a0d12d710dc6ba5ba9"
    assert derive_seed("a", 1) == 408133536


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], [10**5000]])
@pytest.mark.parametrize("write", [compact_json, canonical_json])
def test_canonical_json_rejects_numbers_without_a_json_text(write: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"JSON|digits"):
        write(value)


@pytest.mark.parametrize("value", [{1, 2}, b"x", [object()]])
def test_canonical_json_rejects_what_json_cannot_hold(value: Any) -> None:
    with pytest.raises(TypeError):
        compact_json(value)


@given(st.lists(st.text(), max_size=5))
def test_digest_of_texts_is_that_of_their_canonical_json(texts: list[str]) -> None:
    """Texts take a shorter way to the same name."""
    long_way = hashlib.sha256(canonical_json(["kind", *texts]).encode()).hexdigest()[:32]
    assert digest("kind", *texts) == long_way


def test_digest_of_odd_texts() -> None:
    odd = ["".join(map(chr, range(0x300))), "\\u0000", "\x00", "\ud800", "\U0010ffff\u2028"]
    for text in odd:
        long_way = hashlib.sha256(canonical_json(["kind", text]).encode()).hexdigest()[:32]
        assert digest("kind", text) == long_way


MESSAGES = st.lists(st.dictionaries(st.text(), st.text(), max_size=3), max_size=3)


@given(st.text(), MESSAGES)
def test_digest_of_messages_is_that_of_their_canonical_json(kind: str, messages: list[Any]) -> None:
    whole = hashlib.sha256(canonical_json([kind, messages]).encode()).hexdigest()
    assert digest(kind, messages) == whole[:32]
