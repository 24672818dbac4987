"""`annoy note`: a row is marked, the marks are shown, listed, selected and removed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import Result

from tests.commands.conftest import Annoy


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_note_marks_a_row_and_takes_marks_off(annoy: Annoy, worked: Path) -> None:
    options = ("--flag", "--tag", "bad question", "--tag", "a", "--note", "Why?")
    marked = told(annoy("note", "sample:1", *options, "--author", "ann", "--json"))
    assert marked["changed"] == 4
    assert (marked["row"], marked["flagged"], marked["tags"]) == (
        "sample:1",
        True,
        ["a", "bad question"],
    )
    assert [(note["text"], note["author"]) for note in marked["notes"]] == [("Why?", "ann")]
    assert told(annoy("note", "sample:1", "--tag", "a", "--json"))["changed"] == 0
    fewer = told(annoy("note", "sample:1", "--remove", "--tag", "bad question", "--json"))
    assert (fewer["changed"], fewer["tags"], fewer["flagged"]) == (1, ["a"], True)
    none = told(annoy("note", "sample:1", "--remove", "--json"))
    assert none == {
        "row": "sample:1",
        "flagged": False,
        "tags": [],
        "notes": [],
        "changed": 3,
    }
    assert told(annoy("note", "--json")) == []


def test_note_lists_marked_rows(annoy: Annoy, worked: Path) -> None:
    assert "no row is marked" in annoy("note").stderr
    annoy("note", "source:1", "--tag", "first")
    annoy("note", "call:1", "--tag", "second")
    listed = told(annoy("note", "--json"))
    assert [one["row"] for one in listed] == ["prompt:1", "source:1"]
    assert len(told(annoy("note", "--most", "1", "--json"))) == 1
    assert annoy("note").stdout.splitlines()[1].split()[:3] == ["prompt:1", "tag", "second"]
    rows = told(annoy("sql", "SELECT kind, value FROM v_annotations ORDER BY 2", "--json"))
    assert rows == [{"kind": "source", "value": "first"}, {"kind": "prompt", "value": "second"}]


def test_note_takes_a_line_of_an_exported_file(annoy: Annoy, worked: Path) -> None:
    assert annoy("export", "codeio", "out").exit_code == 0
    marked = told(annoy("note", "out/train.jsonl:1", "--flag", "--json"))
    shown = told(annoy("show", "out/train.jsonl:1", "--json"))
    assert marked["row"] in [f"{node['kind']}:{node['id']}" for node in shown["above"]]
    assert marked["row"].startswith("chain:")


def test_note_is_shown_with_its_row(annoy: Annoy, worked: Path) -> None:
    annoy("note", "sample:1", "--flag", "--tag", "odd", "--note", "two\nlines", "--author", "ann")
    text = annoy("show", "sample:1").stdout
    assert "[flag, by ann, 20" in text
    assert "[tag odd, by ann, 20" in text
    assert "note by ann, 20" in text
    assert "  two\n  lines" in text
    shown = told(annoy("show", "sample:1", "--json"))
    assert (shown["flagged"], shown["tags"]) == (True, ["odd"])
    assert all(node["tags"] == [] for node in shown["above"])
    below = annoy("show", "source:1").stdout
    assert "[tag odd]" in below or "odd" not in below


def test_note_refuses_what_cannot_be_marked(
    annoy: Annoy, worked: Path, one_line: Callable[[Result], str]
) -> None:
    assert "there is no sample 999" in one_line(annoy("note", "sample:999", "--flag"))
    assert "worker" in one_line(annoy("note", "worker:1", "--flag"))
    assert "is not KIND:ID" in one_line(annoy("note", "worker", "--flag"))
    assert "name the row" in one_line(annoy("note", "--flag"))
    assert "the tag is empty" in one_line(annoy("note", "sample:1", "--tag", " "))
    annoy("takedown", "sample:1", "--why", "asked")
    assert "taken down" in one_line(annoy("note", "sample:1", "--flag"))
