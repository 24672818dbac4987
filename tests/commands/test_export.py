"""The commands export, exports, cluster and decontaminate."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from annoy_store.db.migrate import open_store
from commands.export import REASONS
from tests.commands.conftest import Annoy
from tests.support import chains

OneLine = Callable[[Result], str]


@pytest.fixture(autouse=True)
def _filled() -> None:
    """A store in the working folder, where annoy looks for it."""
    store = open_store("sqlite:///annoy.db", create=True)
    chains.fill(store, ["ant", "bee", "cow"])
    store.close()


def test_export_is_listed_by_exports(annoy: Annoy) -> None:
    done = annoy("export", "messages", "out")
    assert done.exit_code == 0
    assert done.stdout.split() == [
        "left",
        "out",
        "rows",
        "incorrect",
        "3",
        "split",
        "rows",
        "train",
        "6",
    ]
    assert "export 1: 6 rows in out" in done.stderr
    assert len(Path("out/train.jsonl").read_text().splitlines()) == 6
    again = annoy("export", "messages", "again")
    assert "6 rows in again, the same as before" in again.stderr
    listed = json.loads(annoy("exports", "--json").stdout)
    assert [(row["id"], row["format"], row["n_rows"]) for row in listed] == [(1, "messages", 6)]
    assert "messages" in annoy("exports").stdout


def test_export_json_holds_all_counts(annoy: Annoy) -> None:
    report = json.loads(annoy("export", "codeio", "out", "--only", "revised", "--json").stdout)
    assert (report["rows"], report["splits"], report["left_out"]) == (
        3,
        {"train": 3},
        {"not_revised": 6},
    )
    assert report["files"][0]["name"] == "train.jsonl"


def test_export_takes_every_option_at_once(annoy: Annoy) -> None:
    Path("b.jsonl").write_text('{"text": "Nothing in common."}\n')
    assert annoy("decontaminate", "b.jsonl").exit_code == 0
    done = annoy(
        "export",
        "codeio",
        "out",
        "--only",
        "all",
        "--turns",
        "1,2",
        "--teacher",
        "tracer",
        "--licence",
        "mit,apache-2.0",
        "--where",
        "kind = 'predict_output'",
        "--exclude-overlaps",
        "--chars",
        "1..100000",
        "--lines",
        "1..",
        "--pass-rate",
        "0..1",
        "--one-per-prompt",
        "--max-per-source",
        5,
        "--balance",
        "direction",
        "--sample",
        4,
        "--seed",
        3,
        "--split",
        "train=.5,test=.5",
        "--salt",
        "s",
        "--parquet",
        "--compression",
        "gzip",
        "--shard-rows",
        2,
        "--threads",
        2,
        "--dry-run",
    )
    assert done.exit_code == 0
    assert "--balance" in done.stdout
    assert "counted as clusters of one" in done.stderr  # a dry run does not cluster
    assert not Path("out").exists()


def test_export_without_a_row_is_no_error(annoy: Annoy) -> None:
    done = annoy("export", "codeio", "out", "--licence", "gpl-3.0")
    assert (done.exit_code, Path("out").exists()) == (0, False)
    assert "no row to write" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["codeoi", "out"],
            "unknown format 'codeoi' (did you mean codeio?); known are: alpaca, codeio",
        ),
        (["codeio", "used"], "is not empty; name a new one, or empty it first"),
        (["codeio", "out", "--where", "x = 1"], "--where: Binder Error"),
        (["codeio", "out", "--split", "train=2"], "not a split: 'train=2'"),
        (["codeio", "out", "--since", "last"], "there is no export 'last' of codeio to add to"),
        (["codeio", "out", "--turns", "one"], "--turns must be numbers, not one"),
        (["codeio", "out", "--tokens", "..9"], "--tokens needs --tokenizer FILE"),
        (["none.sql", "out"], "cannot read the format none.sql"),
    ],
)
def test_export_explains_mistakes(
    annoy: Annoy, one_line: OneLine, arguments: list[str], words: str
) -> None:
    Path("used").mkdir()
    Path("used/file").write_text("1")
    assert words in one_line(annoy("export", *arguments))
    assert not Path("out").exists()


@pytest.mark.parametrize("ends", ["1", "a..b", ".."])
def test_export_refuses_a_range_without_ends(annoy: Annoy, ends: str) -> None:
    result = annoy("export", "codeio", "out", "--lines", ends)
    assert result.exit_code == 2
    assert "is not MIN..MAX" in result.stderr


def test_export_splits_and_increments(annoy: Annoy) -> None:
    first = annoy("export", "codeio", "one", "--split", "train=.5,test=.5", "--json")
    assert set(json.loads(first.stdout)["splits"]) <= {"train", "test"}
    assert annoy("export", "codeio", "two", "--since", "last").exit_code == 0
    assert not Path("two").exists()
    store = open_store("sqlite:///annoy.db")
    chains.fill(store, ["dog"])
    store.close()
    second = json.loads(annoy("export", "codeio", "two", "--since", "last", "--json").stdout)
    assert (second["rows"], second["left_out"]) == (3, {"published": 9})


def test_cluster_counts_and_fills_its_view(annoy: Annoy) -> None:
    report = json.loads(annoy("cluster", "--json").stdout)
    assert report == {"subjects": 6, "signed": 6, "clusters": 3, "largest": 2, "changed": 6}
    assert "clusters" in annoy("cluster").stdout
    assert annoy("sql", "SELECT * FROM v_clusters", "--format", "jsonl").stdout.count("\n") == 3


def test_decontaminate_flags_what_export_leaves_out(annoy: Annoy, one_line: OneLine) -> None:
    Path("b.jsonl").write_text('{"input": {"x": 1}, "output": "ant"}\n')
    (report,) = json.loads(annoy("decontaminate", "b.jsonl", "--json").stdout)
    assert (report["items"], report["overlaps"], report["samples"]) == (1, {"answer": 1}, 1)
    assert "b.jsonl" in annoy("decontaminate", "b.jsonl").stdout
    left = json.loads(annoy("export", "codeio", "out", "--exclude-overlaps", "--json").stdout)
    assert left["left_out"] == {"overlap": 3}
    assert "cannot read none.jsonl" in one_line(annoy("decontaminate", "none.jsonl"))


def test_export_has_a_label_for_every_reason() -> None:
    from annoy_store.export import filters, group_filters, increments, plan, token_counts

    modules = (increments, group_filters, filters, plan, token_counts)
    marks = r"removed = '(\w+)'|RowFilter\(\"(\w+)\"|_rank\(\"(\w+)\"|unfinished = \"(\w+)\""
    sources = [Path(module.__file__ or "").read_text() for module in modules]
    found = {next(filter(None, groups)) for text in sources for groups in re.findall(marks, text)}
    assert len(found) > 12
    assert found <= set(REASONS)
