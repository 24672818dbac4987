"""`annoy report` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.conftest import Annoy


def test_the_report_of_a_store_that_was_worked_on(
    annoy: Annoy, worked: Path, tmp_path: Path
) -> None:
    before = worked.read_bytes()
    result = annoy("report", "r.html")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "r.html").read_text()
    assert "Jobs by stage" in text
    assert worked.read_bytes() == before
    data = json.loads(annoy("report", "again.html", "--live", "--json").stdout)
    assert data["files"] == ["again.html"]
    assert {row["stage"] for row in data["figures"]["funnel"]} >= {"parse", "verify"}
    assert set(data["sql"]) == set(data["figures"])
    copied = json.loads(annoy("sql", data["sql"]["models"], "--json").stdout)
    assert [row["questions"] for row in copied] == [
        row["questions"] for row in data["figures"]["models"]
    ]


def test_a_report_needs_a_place(annoy: Annoy, worked: Path) -> None:
    assert annoy("report").exit_code == 2
    result = annoy("report", "no/such/folder/r.html", "--live")
    assert result.exit_code == 1
    assert "cannot write" in result.stderr


def test_pictures(annoy: Annoy, worked: Path, tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    pytest.importorskip("font_source_sans_pro")
    for theme in ("light", "dark"):
        assert annoy("report", "--png", theme, "--theme", theme, "--live").exit_code == 0
    light, dark = (
        {f.name: f.read_bytes() for f in (tmp_path / t).iterdir()} for t in ("light", "dark")
    )
    assert {"funnel.png", "transitions.png", "difficulty.png"} <= set(light)
    assert set(light) == set(dark)
    assert all(data.startswith(b"\x89PNG") for data in light.values())
    assert light["funnel.png"] != dark["funnel.png"]
