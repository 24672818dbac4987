"""Hostile text never commands a terminal, and JSON stays JSON."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands._formats import as_json, distinct, write_csv
from commands._screen import cell
from commands._text import safe, safe_json

FORBIDDEN = {chr(c) for c in (*range(9), *range(11, 32), *range(0x7F, 0xA0))} | set(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


@given(st.text(st.characters(exclude_categories=())))
def test_no_sign_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = safe(text)
    assert not FORBIDDEN & set(shown)
    shown.encode()  # and no lone surrogate


@given(st.text())
def test_a_cell_is_one_line(text: str) -> None:
    assert not {"\n", "\t", "\r"} & set(cell(text))


def test_what_is_harmless_stays() -> None:
    assert safe("a\tb\r\nc é 🎉") == "a\tb\nc é 🎉"
    assert safe("\x1b[31mred\x07") == "\u241b[31mred\u2407"


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=4))
def test_json_says_the_same_and_is_harmless(value: dict[str, object]) -> None:
    text = safe_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert not FORBIDDEN & set(text)


def test_a_row_as_json_has_what_json_can_hold() -> None:
    names = distinct(["id", "id", "x", "y"])
    assert json.loads(as_json(names, (1, 2**70, float("inf"), b"\x00\xff"))) == {
        "id": 1,
        "id_2": 2**70,
        "x": None,
        "y": "00ff",
    }


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\u240d=1"),
        ("\uff1d1", "'\uff1d1"),
        ("-5", "-5"),
        ("+3.5", "+3.5"),
        ("a=1", "a=1"),
        ("x - y", "x - y"),
        ("", ""),
    ],
)
def test_no_cell_of_a_file_is_a_formula(
    capsys: pytest.CaptureFixture[str], text: str, cell: str
) -> None:
    write_csv(["n", "=x"], iter([(-1, text)]))
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [["n", "'=x"], ["-1", cell]]
