"""Signatures of error messages are equal for equal errors and differ for others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.analysis.error_signatures import MAX_CHARS, signature

WORDS = st.text(
    st.characters(exclude_characters="'\"`\\\n\r", exclude_categories=("Cs",)), max_size=30
)
PIECES = st.one_of(
    st.text(max_size=20),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        [
            "'",
            '"',
            "`",
            "<n>",
            "<text>",
            "…",
            "/usr/lib/x.py",
            "C:\\x\\y",
            "0xdeadbeef",
            " ",
            "\n",
            "Traceback (most recent call last)",
            "2026-01-01T10:00:00Z",
            "https://a.b/c?d=1",
            "'int'",
        ]
    ),
)
MESSAGES = st.lists(PIECES, max_size=30).map("".join)


@settings(deadline=None)
@given(MESSAGES)
def test_signature_is_short_and_idempotent(message: str) -> None:
    found = signature(message)
    assert len(found) <= MAX_CHARS
    assert not any(sign.isdecimal() for sign in found)
    assert "\n" not in found
    assert signature(found) == found


@given(st.integers(), st.integers())
def test_signature_ignores_numbers(one: int, two: int) -> None:
    template = "index {} is out of bounds for axis 0 with size {}"
    assert signature(template.format(one, two)) == signature(template.format(7, 3))


@given(WORDS, WORDS)
def test_signature_ignores_quoted_names(one: str, two: str) -> None:
    assert signature(f"name 'x{one}' is not defined") == signature(f"name 'x{two}' is not defined")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (None, ""),
        ("  \n ", ""),
        ("could not convert string to float: 'abc'", "could not convert string to float: <text>"),
        (
            "unsupported operand type(s) for +: 'int' and 'str'",
            "unsupported operand type(s) for +: 'int' and 'str'",
        ),
        ("'NoneType' object has no attribute 'split'", "'NoneType' object has no attribute <text>"),
        ("can't open file /home/me/a b.txt", "can't open file <path> <path>"),
        ("housing.txt not found.", "<path> not found."),
        ("No such file or directory: '/tmp/x'", "No such file or directory: <text>"),
        ("object at 0x7f00aa", "object at <address>"),
        ("request req_011CSHoEeqs5C35K2UUqR7Fy failed", "request <id> failed"),
        (
            "Traceback (most recent call last):\n  File 'x', line 3, in f\nValueError: bad 3.5e-7",
            "ValueError: bad <n>",
        ),
        ("first line says it\nsecond does not", "first line says it"),
        ("[1, 2, 3] is not 1,000.5", "[<n>] is not <n>"),
        ("it doesn't and won't", "it doesn't and won't"),
    ],
)
def test_signature_of_a_message(message: str | None, expected: str) -> None:
    assert signature(message) == expected


def test_signature_differs_for_other_errors() -> None:
    messages = [
        "list index out of range",
        "division by zero",
        "'int' object is not iterable",
        "'str' object is not iterable",
        "No module named 'x'",
        "name 'x' is not defined",
    ]
    assert len({signature(m) for m in messages}) == len(messages)


def test_signature_of_a_long_message_is_short() -> None:
    for piece in ("'", '"', "/", "\\", "a1", "1,", "0x", "-", "::", "@."):
        assert len(signature(piece * 200_000)) <= MAX_CHARS
