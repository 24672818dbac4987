"""The files of one real run of the scripts are taken over, together and alone, in any order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from annoy_store.db.engine import Database
from annoy_store.ingest.codeio.importer import import_files
from annoy_store.ingest.codeio.report import ImportReport
from annoy_store.interfaces import Sandbox
from annoy_store.sandbox import open_sandbox
from tests.support.codeio_rows import ask

Take = Callable[..., ImportReport]
N_QUESTIONS = 696  # distinct ones in the run
N_WITHOUT_PAIR = 40  # whose value is no JSON, or whose code gives nothing


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox() as opened:
        yield opened


@pytest.fixture(scope="module")
def files(data: Path) -> list[Path]:
    found = sorted((data / "reference_run").glob("*.jsonl.gz"))
    if not found:
        pytest.skip("the files of the reference's run are not beside this checkout")
    return found


@pytest.fixture
def take(sqlite_store: Database, sandbox: Sandbox) -> Take:
    return lambda *paths: import_files(sqlite_store, paths, open_sandbox=lambda: sandbox)


def turns(store: Database) -> int:
    [(n,)] = ask(store, "SELECT COUNT(*) FROM turns WHERE number = 1 AND io_pair_id IS NOT NULL")
    return int(n)


def test_reference_run_is_taken_over_together(
    take: Take, files: list[Path], sqlite_store: Database
) -> None:
    report = take(*files)
    assert report.errors == []
    assert set(report.refused) == {"pair_not_json"}
    assert set(report.left) <= {"no_pair"}
    assert report.left["no_pair"] < N_WITHOUT_PAIR
    assert turns(sqlite_store) > N_QUESTIONS - N_WITHOUT_PAIR
    again = take(*reversed(files))
    assert sum(again.new.values()) == 0
    assert again.left == report.left


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("codeio_demo_final", {"no_pair"}),
        ("codeio_1k_gens", {"no_pair"}),
        ("codeio_1k_gens_verified", {"no_pair"}),
        ("codeio_1k_msg", {"predict"}),
        ("codeio_1k_gens_rev_verified", {"no_pair"}),
        ("codeio_1k_msg_rev", {"no_pair"}),
        ("rawcode_1k", set()),
        ("rawcode_1k_msg", {"transform"}),
        ("rawcode_1k_unified", set()),
        ("rawcode_1k_parsed", {"no_source"}),
    ],
)
def test_reference_run_file_alone(
    take: Take, files: list[Path], sqlite_store: Database, name: str, left: set[str]
) -> None:
    [path] = [path for path in files if path.name == f"{name}.jsonl.gz"]
    report = take(path)
    assert report.errors == []
    assert set(report.left) == left
    assert set(report.refused) <= {"pair_not_json"}
    if name in ("codeio_demo_final", "codeio_1k_gens", "codeio_1k_gens_verified"):
        assert turns(sqlite_store) > N_QUESTIONS - N_WITHOUT_PAIR
    assert sum(take(path).new.values()) == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_reference_run_in_any_order(
    take: Take, files: list[Path], sqlite_store: Database, seed: int
) -> None:
    order = random.Random(seed).sample(files, len(files))
    for path in order:
        take(path)
    assert turns(sqlite_store) > N_QUESTIONS - N_WITHOUT_PAIR
    report = take(*files)
    assert set(report.left) <= {"no_pair"}
    assert report.new["responses"] == report.new["turns"] == report.new["samples"] == 0
