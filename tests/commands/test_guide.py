"""`annoy guide`: every page is found, printed as Markdown, shown in colours on a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from commands._page import MAX_COLUMNS, rendered_markdown
from commands.guide import PAGES, READING_ORDER, markdown, summary, topics
from tests.commands.conftest import Annoy
from tests.commands.test_show import COLOUR, pager, terminal

__all__ = ["pager"]


def test_guide_lists_every_page_in_reading_order(annoy: Annoy) -> None:
    assert topics() == list(READING_ORDER)
    assert {path.stem for path in PAGES.glob("*.md")} == set(READING_ORDER)
    result = annoy("guide")
    assert result.exit_code == 0
    assert re.findall(r"^(\w+) ", result.stdout, re.MULTILINE)[:-1] == topics()
    assert list(json.loads(annoy("guide", "--json").stdout)) == topics()


@pytest.mark.parametrize("topic", topics())
def test_guide_prints_a_page_as_markdown(annoy: Annoy, topic: str) -> None:
    result = annoy("guide", topic)
    assert result.exit_code == 0
    assert result.stdout == markdown(topic)
    assert "<!--" not in result.stdout
    assert result.stdout.startswith("# ")
    assert 20 < len(summary(topic)) <= 110
    assert "## Example\n" in result.stdout
    assert json.loads(annoy("guide", topic, "--json").stdout)["markdown"] == result.stdout


def test_guide_suggests_a_similar_topic(annoy: Annoy) -> None:
    result = annoy("guide", "batch")
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "annoy: unknown topic 'batch' (did you mean batches?); known are: words, running"
    )


@pytest.mark.parametrize("topic", topics())
@pytest.mark.parametrize("width", [60, 80, 200])
def test_guide_fits_the_terminal_and_loses_no_word(topic: str, width: int) -> None:
    shown = COLOUR.sub("", rendered_markdown(markdown(topic), width))
    assert max(map(len, shown.splitlines())) <= min(width, MAX_COLUMNS)
    if width > 60:  # in code, a long line is wrapped and never cut
        for body in re.findall(r"```sh\n(.*?)```", markdown(topic), re.DOTALL):
            joined = "".join(shown.split())
            assert all("".join(line.split()) in joined for line in body.splitlines())


def test_guide_pages_in_colours_on_a_terminal(tmp_path: Path, pager: Path) -> None:
    seen = terminal(tmp_path, "guide", "limits")
    assert (pager / "less.note").read_text() == "LESS=-FRX\n"
    assert COLOUR.search(seen)
    plain = terminal(tmp_path, "guide", "limits", NO_COLOR="1").replace("\r\n", "\n")
    assert plain.rstrip() == markdown("limits").rstrip()
