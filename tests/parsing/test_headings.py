"""Sections are found by their headings, however these are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.parsing.headings import SECTIONS, find_sections, unquote

NAMES = ("Main Function", "Input Output Description", "Input Generator", "Problem Statement")
SIMILAR = (
    ("Main Function (Python)", "Main Solution", "Main function: main_solution", "Main"),
    (
        "Inputs and Outputs",
        "I/O Description",
        "Input/Output Format",
        "Description of Input and Output",
    ),
    (
        "Generator",
        "Data Generator",
        "Test Case Generator",
        "Input Generator (`input_generator`)",
        "Random Input Generator Function",
    ),
    (
        "Problem",
        "Natural Language Problem Statement",
        "Challenge",
        "Problem (the question)",
        "Question",
        "The Problem Statement",
    ),
)


def answer(headings: tuple[str, ...]) -> list[str]:
    return [line for n, heading in enumerate(headings) for line in (heading, f"body {n}")]


def bodies(text: list[str]) -> dict[str, list[str]]:
    return {name: ["\n".join(body) for body in all_] for name, all_ in find_sections(text).items()}


EACH = {name: [f"body {n}"] for n, name in enumerate(SECTIONS)}


@pytest.mark.parametrize(
    "form",
    [
        *("{}", "## {}", "##{}:", "# {}", "**{}**", "__{}:__", "## **{}**", "## `{}`", "## {} ##"),
        *(
            "1. **{}**",
            "## 2) {}",
            "## Step 3: {}",
            "## The {}",
            "## {} 🧩",
            "## _{}_",
            "### {}:\t",
        ),
        *(
            "<h2>{}</h2>",
            '<h3 class="x">{}</h3>',
            "<strong>{}</strong>",
            "<b>{}</b>:",
            "=== {} ===",
        ),
        *("<summary>{}</summary>", "<details><summary><b>{}</b></summary>", "[{}]", "【{}】"),
        *("- **{}**", "## [{}](#part)", '## <a name="x"></a>{}', "**Final {}**"),
        *("\\section{{{}}}", "\\subsection*{{{}}}", "\\textbf{{{}}}"),
        *("\ufeff## {}", "\u200b## {}", "##\u00a0{}", "> ## {}", "**{}** (Python):", "{}\n-----"),
    ],
)
def test_find_sections_reads_any_markup(form: str) -> None:
    lines = "\n".join(answer(tuple(form.format(name) for name in NAMES))).split("\n")
    assert bodies(lines) == EACH


@pytest.mark.parametrize(
    ("n", "name"), [(n, name) for n, names in enumerate(SIMILAR) for name in names]
)
def test_find_sections_takes_a_similar_name_for_a_missing_section(n: int, name: str) -> None:
    headings = [f"## {one}" for one in NAMES]
    headings[n] = f"## {name}"
    assert bodies(answer(tuple(headings))) == EACH


def test_find_sections_takes_similar_names_in_headings_only() -> None:
    assert bodies(["Problem", "one", "## Notes", "**Problem**: words"]) == {}


def test_find_sections_prefers_the_full_name_and_the_highest_level() -> None:
    lines = [*answer(tuple(f"## {name}" for name in NAMES)), "### Problem", "more", "## Question"]
    expected = ["body 3\n### Problem\nmore\n## Question"]
    assert bodies(lines) == EACH | {SECTIONS[3]: expected}
    assert bodies(["### Problem", "a", "## Problem", "b"]) == {SECTIONS[3]: ["b"]}


def test_find_sections_keeps_subheadings_inside() -> None:
    inside = ["## Input", "n", "## Output", "m", "## Constraints", "none"]
    lines = answer(tuple(f"## {name}" for name in NAMES))
    assert bodies([*lines[:3], *inside, *lines[4:]]) == EACH | {SECTIONS[1]: ["\n".join(inside)]}
    assert bodies([*lines[:2], *inside, *lines[4:]]) == EACH | {SECTIONS[1]: ["\n".join(inside)]}


def test_find_sections_ends_a_section_at_other_headings() -> None:
    assert bodies(["## Problem Statement", "a", "### Example", "b", "## Notes", "c"]) == {
        SECTIONS[3]: ["a\n### Example\nb"]
    }


def test_find_sections_gives_the_last_version_first() -> None:
    lines = ["## Main Function", "a", "## Input Generator", "b", "## Main Function", "c"]
    assert bodies(lines) == {SECTIONS[0]: ["c", "a"], SECTIONS[2]: ["b"]}


def test_unquote_removes_one_level_from_quoted_sections_only() -> None:
    lines = ["Here:", "> ## Main Function", ">", "", ">```", "> > x", ">```", "", "end", "> quote"]
    plain = ["Here:", "## Main Function", "", "", "```", "> x", "```", "", "end", "> quote"]
    assert unquote(lines) == plain


@given(st.lists(st.sampled_from([*(f"> {n}" for n in NAMES), "> x", "", "y", "> ```", "```", ">"])))
def test_unquote_keeps_every_line(lines: list[str]) -> None:
    assert len(unquote(lines)) == len(lines)
