"""The oracle agrees with right pairs and with no other."""

from __future__ import annotations

import pytest

from tests.support.plain_interpreter import StoredPair, contradicted

CODE = "seen = []\ndef main_solution(x):\n    seen.append(x)\n    return {}\n"


@pytest.mark.parametrize(
    ("value", "output", "agrees"),
    [
        ("seen", "[1]", True),
        ("{1: (x, None), True and 'b': 2.0}", '{"1":[1,null],"b":2.0}', True),
        ("{1: 0, '1': 1}", '{"1":1}', False),
        ("True", "1", False),
        ("1.0", "1", False),
        ("'\\ud800'", '"\\ufffd"', False),
        ("x + 1", "3", False),
        ("{1}", "[1]", False),
        ("undefined", "1", False),
    ],
)
def test_contradicted_compares_the_value_with_the_stored_text(
    value: str, output: str, agrees: bool
) -> None:
    pair = StoredPair(CODE.format(value), '{"x":1}', output)
    found = contradicted([pair, pair])
    assert [told for told, _ in found] == ([] if agrees else [pair, pair])
