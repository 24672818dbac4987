"""Raw code from files and folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annoy_store.errors import UsageError
from annoy_store.ingest.readers import RawRow, read_raw
from annoy_store.ingest.record_files import Refusal
from tests.support.raw_files import FORMATS, PACKINGS, as_arrow, as_tar, as_zip, found

SOURCES = {"a.py": b"a = 1\n", "b.jsonl": b'{"content": "b"}\n'}
Damage = tuple[tuple[str, bytes], list[tuple[float, bytes, int]], float]

ROWS = [
    {"content": "print(1)\r\nprint('é 🎉')\n", "path": "a.py", "license": "mit", "score": 4},
    {"content": 'x = "a,b"\n\n\ny = 1', "path": "b/c.py", "license": "", "score": 5},
]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("form", FORMATS)
def test_read_raw_gives_the_same_rows_for_every_format(
    tmp_path: Path, form: str, packing: str
) -> None:
    path = tmp_path / f"rows.{form}{packing}"
    path.write_bytes(PACKINGS[packing](FORMATS[form](ROWS)))
    good, bad = found(path)
    assert bad == []
    assert [row.content for row in good] == [row["content"] for row in ROWS]
    assert [(row.attribute("path"), row.attribute("licence")) for row in good] == [
        ("a.py", "mit"),
        ("b/c.py", ""),
    ]
    assert [str(row.other_fields["score"]) for row in good] == ["4", "5"]


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl.gz", "x.csv.zst", "x.json.xz"])
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_read_raw_never_crashes_on_garbage(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    _, bad = found(tmp_path / name)
    assert bad


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), name=st.sampled_from(["x.jsonl", "x.json", "x.csv", "x.py"]))
def test_read_raw_reads_or_refuses_any_bytes(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    good, bad = found(tmp_path / name)
    assert good or bad


BASES = [
    (f"x.{form}{packing}", PACKINGS[packing](FORMATS[form](ROWS)))
    for form in FORMATS
    for packing in ("", ".gz", ".zst")
]
BASES += [("x.py", b"# coding: latin-1\n"), ("x.zip", as_zip(SOURCES)), ("x.tar", as_tar(SOURCES))]
BASES += [("x.arrow", as_arrow(ROWS)), ("x.ipynb", b'{"cells": [{"cell_type": "code"}]}')]
DAMAGE = st.tuples(
    st.sampled_from(BASES),
    st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4), st.integers(0, 6)), max_size=4),
    st.floats(0.2, 1),
)


def check_damaged(tmp_path: Path, damage: Damage) -> None:
    """A file with odd bytes, or cut off, gives rows and refusals, and no exception."""
    (name, data), changes, kept = damage
    changed = bytearray(data)
    for place, new, gone in changes:
        at = int(place * len(changed))
        changed[at : at + gone] = new
    (tmp_path / name).write_bytes(changed[: int(kept * len(changed))])
    for item in read_raw(tmp_path / name, globs=("*",)):
        assert isinstance(item, (RawRow, Refusal))


@given(damage=DAMAGE)
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_read_raw_survives_odd_bytes_in_every_format(tmp_path: Path, damage: Damage) -> None:
    check_damaged(tmp_path, damage)


@pytest.mark.slow
@given(damage=DAMAGE)
@settings(
    max_examples=4_000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_read_raw_survives_odd_bytes_in_every_format_long(tmp_path: Path, damage: Damage) -> None:
    check_damaged(tmp_path, damage)


@pytest.mark.parametrize("form", FORMATS)
def test_unknown_column_lists_the_existing_ones(tmp_path: Path, form: str) -> None:
    (tmp_path / f"x.{form}").write_bytes(FORMATS[form](ROWS))
    good, (bad,) = found(tmp_path / f"x.{form}", column="code")
    assert good == []
    assert bad.fatal
    assert str(bad) == (
        f"x.{form}: there is no column 'code'; choose one with --column: "
        "content, path, license, score"
    )


def test_unknown_column_ends_the_file_early(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n' * 5000)
    good, bad = found(tmp_path / "x.jsonl")
    assert (len(good), len(bad), bad[0].fatal) == (0, 1, True)


def test_walk_files_is_in_order_of_names(tmp_path: Path) -> None:
    for name in ("b.py", "a/z.py", "a/note.md", ".git/x.py", "__pycache__/y.py", "a/.hidden.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"# {name}")
    (tmp_path / "link.py").symlink_to("/etc/passwd")
    (tmp_path / "loop").symlink_to(tmp_path)
    good, bad = found(tmp_path)
    assert bad == []
    assert [row.attribute("path") for row in good] == ["b.py", "a/.hidden.py", "a/z.py"]
    good, _ = found(tmp_path, globs=("*.md", "a/z*"))
    assert [row.attribute("path") for row in good] == ["a/note.md", "a/z.py"]


def test_read_raw_reads_data_files_in_a_folder_as_data(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(FORMATS["jsonl"](ROWS))
    good, _ = found(tmp_path, globs=("*.jsonl",))
    assert len(good) == 2
    _, (bad,) = found(tmp_path)
    assert bad.fatal
    assert str(bad).endswith("no file matches *.py (there is 1 .jsonl); choose with --glob")


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"\x7fELF\0\0", "binary:elf"), (b"caf\xe9 = 1", "not_utf8"), (b"x" * 101, "too_large")],
)
def test_read_raw_refuses_files_that_are_not_code(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "x.py").write_bytes(data)
    _, (bad,) = found(tmp_path / "x.py", max_bytes=97)
    assert bad.reason == reason


def test_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_bytes(b"\xef\xbb\xbfx = 1\r\n")
    ((row,), _) = found(tmp_path / "x.py")
    assert row.content == "x = 1\r\n"


def test_read_raw_raises_for_a_missing_path() -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_raw(Path("nowhere"))
