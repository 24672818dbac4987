"""The list of exports: whole on any terminal, a plain table elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

from tests.commands.conftest import Annoy
from tests.support.terminal import in_terminal

FOLDER = "a-folder-with-a-rather-long-name/and-another-one-of-the-same-kind/codeio-of-december"


def test_exports_cuts_nothing_that_is_typed(worked: Path, annoy: Annoy) -> None:
    assert annoy("export", "codeio", FOLDER).exit_code == 0
    for columns, variables in ((80, {"NO_COLOR": "1"}), (200, {})):
        with in_terminal(worked.parent, "exports", columns=columns, PAGER="cat", **variables) as t:
            text = t.wait_for_end()
            assert FOLDER in text.replace("\n", "")
            assert "…" not in text
            assert (b"\x1b[" in t.raw) is not variables
    lines = annoy("exports").stdout.splitlines()
    assert lines[0].split()[:2] == ["id", "adds"]
    assert FOLDER in lines[1]
    (found,) = json.loads(annoy("exports", "--json").stdout)
    assert found["n_rows"] > 0
