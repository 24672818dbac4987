"""Finding the final answer: accepted forms, rejected values, and any surrounding text."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from annoy_store.parsing.final_answer import find_final_answer
from annoy_store.parsing.json_values import JsonValue
from tests.parsing.conftest import Recorded


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"output": 3}', 3),
        ('So:\n```json\n{"output": [1, 2]}\n```\nDone, I think.', [1, 2]),
        ('```json\n{"output": "a"}', "a"),
        ('```json\n{"output": 1}\n```\nNo:\n```json\n{"output": 2}', 2),
        ('{"output": 1} or rather {"output": 1}', 1),
        ('The set {1, 2 is it. {"output": 5}', 5),
        ("{ it's 5\" wide and {\"output\": 'x'}", "x"),
        ("f(x) = { x if x isn't 0, {'output': 'it'} ", "it"),
        ('{"output": {"a": {"b": "}{"}}} and } more {', {"a": {"b": "}{"}}),
        ('{"output": "say \\"hi\\" {"}', 'say "hi" {'),
        ('{"output": "two\nlines"}', "two\nlines"),
        ('{"output": [1, 2,], }', [1, 2]),
        ('{"output": [true, null, "true",],}', [True, None, "true"]),
        ("{'output': True}", True),
        ("{'output': (1, (2,), None)}", [1, [2], None]),
        ("{'output': {1: 'a', None: 'b', 2: 'c'}}", {"1": "a", "null": "b", "2": "c"}),
        ("{'output': \"it's\"}", "it's"),
        ('{"output": "\\ud83d\\ude00",}', "\U0001f600"),
        ('{"output": "http:\\/\\/x",}', "http://x"),
        ('{"steps": "first {", "output": 4}', 4),
        ('{"result": {"output": 4}}', 4),
        ('{"output": {"output": 4}}', {"output": 4}),
        ('{"output": 1, "output": 2}', 2),
        ('{"output": 7}\nThe form was {"output": <value>} or {"output": ...}.', 7),
        ('{"output": 7}\nand then {"output": [1, ', 7),
        ('{"output": 7} as {"output": n + k}, {"output": [1, ...]}, {"output": <int, e.g. 3>}', 7),
        ("\\boxed{(1, 234)}", [1, 234]),
        ('{"output": 7} {"input": {"a": 1}}', 7),
        ("\\boxed{7}", 7),
        ("$\\boxed{\\text{False}}$.", False),
        ("\\boxed{[1, \\text{'a'}]}", [1, "a"]),
        ('\\boxed{{"output": 3}}', 3),
        ('$\\boxed{\\{"output": 3\\}}$', 3),
        ('\\boxed{4} {"output": 5}', 5),
        ('{"output": 123456789012345678901234567890}', 123456789012345678901234567890),
        ('{"output": ' + "7" * 4300 + "}", int("7" * 4300)),
        ('{"output": 3 // three\n}', 3),
        ('{"output": [1, // one\n2], /* two */ # three\n}', [1, 2]),
        ("{\"output\": 3 // it's the { of 'x'\n}", 3),
        ("/* don't */ {\"output\": 'x'}", "x"),
        ('{"output": 1} {"output": 2 // isn\'t {\n}', 2),
        ('{"output": {"output": 4}, // {\n}', {"output": 4}),
        ('{"output": "http://x#y /* z */"}', "http://x#y /* z */"),
        ("{'output': [1,  # one }]\n2]}", [1, 2]),
        ("{output: 3}", 3),
        ("{steps: 2, output: [1, 2]}", [1, 2]),
        ("{\n  output: {a: 1, True: 'b', null: 'c'},\n}", {"a": 1, "true": "b", "null": "c"}),
        ('The { output: {"output": 3} }', {"output": 3}),
        ('{my output: {"output": 3}}', 3),
        ('{"Output": 3}', 3),
        ("{'OUTPUT': 3}", 3),
        ('{"Output": 2, "output": 3}', 3),
        ('{"output": 2} {"Output": 3}', 3),
        ('{"output":\u00a0[1,\u20092,\u200b\ufeff3]}', [1, 2, 3]),
        ('{"output"\u200b: "a\u00a0b"\u2003}', "a\u00a0b"),
        ('{"output": \\[1, 2\\]}', [1, 2]),
        ('\\[ {"output": 3} \\]', 3),
        ("\\boxed{\\[1, 2\\]}", [1, 2]),
        ("{'output': 'a\\{b'}", "a\\{b"),
        ("{'output': r'\\u0041\\n'}", "\\u0041\\n"),
        ("{'output': R\"\\n\"}", "\\n"),
        ("{'output': u'x'}", "x"),
        ("{'output': \"http:\\/\\/x\"}", "http:\\/\\/x"),
        ("{'output': '\\x41\\101\\N{BULLET}'}", "AA\u2022"),
        ("{'output': QQQit's \"a\"QQQ}".replace("QQQ", "'" * 3), 'it\'s "a"'),
        ('{\'output\': """a "b" c"""}', 'a "b" c'),
        ("{'output': 'a' \"b\"}", "ab"),
        ("{'output': [1_000, 0x1F, 1e-07, .05, 0.5, 0]}", [1000, 31, 1e-07, 0.05, 0.5, 0]),
        ('{"output": -0.0}', -0.0),
        ('{"output": ""}', ""),
        ('{"output": null}', None),
    ],
)
def test_final_answer_of_output_questions(text: str, value: Any) -> None:
    found = find_final_answer(text, "output")
    assert found is not None
    assert found.value == value
    assert type(found.value) is type(value)
    assert json.loads(found.text) == value
    assert "\n" not in found.text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        '{"input": 3}',
        '{"output": ',
        '{"output": 3',
        '{"output" 3}',
        '{"output": [1, 2}',
        '{"output": [1, 2 // two]}',
        '{"output": 7 // 2}',
        '{"output": 7 // 2\n}',
        '{"output": 7 // 2}\n}',
        '{"output": 3 // it is',
        '{"output": 3 /* it is }',
        "{output: [1, 2",
        '{"output": 12 apples}',
        "\\boxed{12 apples}",
        '{"output": hello}',
        "{my output: 3}",
        '{"output": 1} {"output": [1,000, 2]}',
        '{"output": 1} {"output": 7 // 2}',
        '{"output": 1} {"output": 12 apples}',
        '{"output": 1} {"output": "a" or "b"}',
        "\\boxed{1,234}",
        "\\boxed{-12,345,678.5}",
        '{"output": 1} {"output": (1,000.5, 2)}',
        "{'output': 007}",
        "{'output': b'x'}",
        "{'output': f'x'}",
        "{'output': '\\ud83d\\ude00'}",
        '{"output": <value>}',
        '{"output": {1, 2}}',
        '{"output": NaN}',
        '{"output": 1} {"output": [NaN]}',
        '{"output": 1} {"output": -Infinity}',
        "{'output': 1} {'output': [1, nan,]}",
        '{"output": 1e999}',
        "{'output': (1e999,)}",
        '{"output": 1} {"output": ' + "7" * 4301 + "}",
        '{"output": 0x' + "f" * 9000 + "}",
        '{"output": ' + "[" * 5000 + "]" * 5000 + "}",
        "\\boxed{n = 7}",
        "\\boxed{abc}",
        "\\boxed{}",
        "\\boxed{7",
        "\\boxed{5} \\boxed{NaN}",
        '{"output": 1} {"output": {"a": 1, "a": 2}}',
        '{"output": [{"a": 1, "a": 1}]}',
        "{'output': {1: 'a', '1': 'b'}}",
        "{'output': {None: 1, 'null': 2}}",
        "{'output': {1: 'a', None: 'b', True: 'c'}}",
        '{"output": "\\ud800"}',
        '{"output": {"\\udc00": 1},}',
    ],
)
def test_final_answer_is_none_without_an_answer(text: str) -> None:
    assert find_final_answer(text, "output") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"input": {"n": 1}}', {"n": 1}),
        ('{"input": {"input": 5}}', {"input": 5}),
        ('{"input": {"x": {"y": 1}, "z": {"input": 2}}}', {"x": {"y": 1}, "z": {"input": 2}}),
        ('{"input": {"s": "{\\"input\\": 1}"}}', {"s": '{"input": 1}'}),
        ("{'input': {'s': \"a'b\", 't': (1, 2)}}", {"s": "a'b", "t": [1, 2]}),
        ('\\boxed{\\{"n": 3\\}}', {"n": 3}),
        ('{"input": 5}', 5),
        ("{input: {n: 1, input: 2}}", {"n": 1, "input": 2}),
        ('{"Input": {"n": 1}, // it\'s\n}', {"n": 1}),
    ],
)
def test_final_answer_of_input_questions(text: str, value: Any) -> None:
    found = find_final_answer(text, "input")
    assert found is not None
    assert found.value == value


def test_final_answer_in_a_box_must_be_an_object_for_inputs() -> None:
    assert find_final_answer("\\boxed{123}", "input") is None


def test_final_answer_keeps_key_order() -> None:
    found = find_final_answer('{"input": {"b": 1, "a": {"d": 1, "c": 2}}}', "input")
    assert found is not None
    assert found.text == '{"b":1,"a":{"d":1,"c":2}}'


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab{}[]'\"", max_size=3), inner)
    ),
    max_leaves=8,
)
PROSE = st.lists(
    st.sampled_from(["{", "[", "it's ", '5" ', "\\", "```json\n", "```", "\n", "{}", "{'a", "x"]),
    max_size=8,
).map("".join)
WRITERS = (
    lambda value: json.dumps(value),
    lambda value: json.dumps(value, ensure_ascii=False, indent=2),
    repr,
)


def decorated(value: Any, mark: str) -> str:
    """Write a value as JSON with comments, bare keys, odd spaces or LaTeX between its tokens."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    if mark == "bare":
        return re.sub(r'(?m)^( *)"([ab]+)":', r"\1\2:", text)
    if mark == "latex":
        return re.sub(r"(?m)([\[{])$|^( *)([\]}])", r"\2\\\1\3", text)
    return text.replace("\n", f"{mark}\n") if "\n" in text else text


MARKS = st.sampled_from(
    ["bare", "latex", "\u00a0", " // it's a", " # isn't {", " /* ] */", "\u200b"]
)
AFTER = st.sampled_from(["", "\n```", " And that's it.", "\n{", "\n}"])


def check_found(value: Any, before: str, after: str, mark: str) -> None:
    """An answer is found in any form, whatever stands around it."""
    for write in (*WRITERS, partial(decorated, mark=mark)):
        found = find_final_answer(f"{before}\n{write({'output': value})}{after}", "output")
        assert found is not None
        assert found.value == value


SURROUNDED = st.tuples(JSON, PROSE, AFTER, MARKS)


@given(SURROUNDED)
@settings(max_examples=60, deadline=None)
def test_final_answer_is_found_in_any_surrounding_text(case: tuple[Any, str, str, str]) -> None:
    check_found(*case)


@pytest.mark.slow
@given(SURROUNDED)
@settings(max_examples=5_000, deadline=None)
def test_final_answer_is_found_in_any_surrounding_text_long(
    case: tuple[Any, str, str, str],
) -> None:
    check_found(*case)


@given(JSON, st.integers(1))
@settings(max_examples=100, deadline=None)
def test_final_answer_is_never_repaired(value: Any, cut: int) -> None:
    text = json.dumps({"output": [value]})
    found = find_final_answer(text[: 1 + cut % (len(text) - 1)], "output")
    assert found is None or found.text in text  # of an object inside that is whole


SCRAPS = (
    *('{"output":', "{'output':", '{"output": 1}', "{", "}", "[", "]", '"', "'", "\\", "\n", ":"),
    *("\\boxed{", "NaN", "None", "(", ")", ",", "1e999", "9" * 4400, "0x" + "f" * 4000, "\0"),
    *("\ud800", "\\u", "{" * 500, "[" * 500, "(" * 300, "}" * 500, "-" * 500, "1" + "+1j" * 400),
)


@given(st.lists(st.sampled_from(SCRAPS) | st.text(max_size=4), max_size=16).map("".join))
@example('{"output": ' + "-" * 40_000 + "1}")
@example("{'output': " + "1+" * 30_000 + "1}")
@settings(max_examples=400, deadline=None)
def test_final_answer_never_raises(text: str) -> None:
    for key in ("output", "input"):
        found = find_final_answer(text, key)
        if found is not None:
            assert isinstance(found, JsonValue)
            found.text.encode()
            assert json.loads(found.text) == found.value


@pytest.mark.parametrize("hostile", ["{", '{"output":', '"\\', "[", "{'output':[", "\\boxed{"])
def test_final_answer_handles_a_megabyte(hostile: str) -> None:
    assert find_final_answer(hostile * (1_000_000 // len(hostile)), "output") is None


def test_final_answer_parses_recorded_answers(recorded: Recorded) -> None:
    records = recorded("recorded_predict.jsonl")
    found = [find_final_answer(record["response"], record["direction"]) for record in records]
    assert len(found) == 48
    assert all(found)
    inputs = [
        answer.value
        for answer, record in zip(found, records, strict=True)
        if answer and record["direction"] == "input"
    ]
    assert all(isinstance(value, dict) for value in inputs)
