"""Rendered values can be extracted exactly, and mistakes in templates are reported."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.errors import UsageError
from annoy_store.prompts.template import (
    Template,
    bundled_templates,
    extract_values,
    fenced_block,
    load_template,
)

UNHURRIED = settings(deadline=None)  # how fast a machine is belongs in no test

PREDICT = {
    "predict_output": "input",
    "predict_input": "output",
    "predict_output_code_last": "input",
    "predict_input_code_last": "output",
}
SNIPPETS = (
    *("```", "````", "```python", "~~~", "`", "## Given Input", "## Problem", "# x"),
    *("{{code}}", "{{input}}", "}}", "\n", "\r\n", "\r", " ", "\u2028", "\x0c", "def f(): pass"),
)
TRICKY = st.lists(st.sampled_from(SNIPPETS) | st.text(max_size=5), max_size=12).map("".join)


def predicted(name: str, problem: str, io: str, code: str, value: str) -> list[dict[str, str]]:
    values = {"problem": problem, "io": io, "code": code, PREDICT[name]: value}
    return load_template(name).render(**values)


def test_bundled_templates_have_their_placeholders() -> None:
    assert bundled_templates() == sorted(["transform", "revise", *PREDICT])
    assert load_template("transform").placeholders == {"code"}
    assert load_template("revise").placeholders == {"feedback"}
    for name, given_part in PREDICT.items():
        assert load_template(name).placeholders == {"problem", "io", "code", given_part}
    assert len({load_template(name).digest for name in bundled_templates()}) == len(
        bundled_templates()
    )


@pytest.mark.parametrize("name", PREDICT)
@given(TRICKY, TRICKY, TRICKY, TRICKY)
@UNHURRIED
def test_extract_values_inverts_render_for_predictions(
    name: str, problem: str, io: str, code: str, value: str
) -> None:
    [message] = messages = predicted(name, problem, io, code, value)
    assert message["role"] == "user"
    assert extract_values(messages) == {
        "problem": problem,
        "io": io,
        "code": code,
        PREDICT[name]: value,
    }


@given(TRICKY)
@UNHURRIED
def test_extract_values_inverts_render_for_transforms(code: str) -> None:
    assert extract_values(load_template("transform").render(code=code)) == {"code": code}


@given(TRICKY, st.lists(st.tuples(TRICKY, TRICKY), max_size=3))
@UNHURRIED
def test_extract_values_inverts_render_for_chains(code: str, turns: list[tuple[str, str]]) -> None:
    messages = predicted("predict_output", "p", "io", code, "{}")
    wanted = extract_values(messages)
    for number, (answer, feedback) in enumerate(turns, start=1):
        messages = [*messages, {"role": "assistant", "content": answer}]
        messages += load_template("revise").render(feedback=feedback)
        wanted |= {f"answer_{number}": answer, f"feedback_{number}": feedback}
    assert extract_values(messages) == wanted


@given(TRICKY, TRICKY)
@UNHURRIED
def test_render_substitutes_in_one_pass(left: str, right: str) -> None:
    template = load_template("<{{left}}|{{right}}>\n")
    [message] = template.render(left=left, right=right)
    assert message["content"] == f"<{left}|{right}>"


@given(TRICKY)
@UNHURRIED
def test_fenced_block_cannot_be_closed_by_its_content(value: str) -> None:
    first, *_, last = fenced_block(value).split("\n")
    assert first == last
    assert last not in value


def test_render_puts_the_json_value_last() -> None:
    value = json.dumps({"flag": True, "none": None, "s": "a"})
    [message] = predicted("predict_output", "p", "i", "c", value)
    assert message["content"].endswith(f"## Given Input\n\n```json\n{value}\n```")


@pytest.mark.parametrize("name", ["predict_output", "predict_input"])
def test_render_gives_related_prompts_a_long_common_prefix(name: str) -> None:
    code = "x = 1\n" * 100
    one, other = (predicted(name, "p", "io", code, v)[0]["content"] for v in ("[1]", "[2]"))
    shared = next(n for n, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    assert shared / len(one) > 0.98


def test_load_template_accepts_the_text_itself() -> None:
    template = load_template("Say\r\n{{code}}\n")
    assert (template.name, template.body) == ("custom", "Say\n{{code}}")
    assert load_template("Say\n{{code}}").digest == template.digest
    assert load_template("Tell\n{{code}}").digest != template.digest


def test_render_allows_optional_values_to_be_left_out() -> None:
    template = load_template("## Problem\n\n```text\n{{problem}}\n```\n\n{{input}}\n")
    messages = template.render(problem="p", io="i", code="c", input="7")
    assert extract_values(messages) == {"problem": "p"}


@pytest.mark.parametrize(
    ("template", "values", "word"),
    [
        ("{{code}}\n{{colour}}", {"code": "x"}, "{{colour}}"),
        ("{{problem}}\n", {"problem": "p", "input": "1"}, "lacks {{input}}"),
        ("no placeholder\n", {"code": "x"}, "lacks {{code}}"),
    ],
)
def test_render_reports_missing_and_unused_values(
    template: str, values: dict[str, str], word: str
) -> None:
    with pytest.raises(UsageError, match=word.replace("{", r"\{")):
        load_template(template).render(**values)


@pytest.mark.parametrize("name", ["predict", "../wording", "transform.md", ""])
def test_load_template_rejects_unknown_names(name: str) -> None:
    with pytest.raises(UsageError, match="known are: predict_input"):
        load_template(name)


def test_check_tells_a_template_without_its_places() -> None:
    load_template("One line with {{code}}").check({"code", "problem"})
    with pytest.raises(UsageError, match="lacks"):
        load_template("No\nplaces\n").check({"code"})
    with pytest.raises(UsageError, match="unknown placeholders"):
        load_template("{{code}} {{more}}").check({"code"})


def test_template_is_frozen() -> None:
    template = load_template("revise")
    assert isinstance(template, Template)
    with pytest.raises(AttributeError):
        template.body = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "system", "content": "## Problem\n```\nx\n```"}],
        [{"role": "user", "content": "## Problem\nno fence"}],
        [{"role": "user", "content": "## Problem\n## Other\n```\nx\n```"}],
    ],
)
def test_extract_values_finds_nothing_without_headed_fences(messages: list[dict[str, str]]) -> None:
    assert extract_values(messages) == {}
