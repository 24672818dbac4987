"""Every format gives the same rows; broken files give refusals and never an exception."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annoy_store.errors import UsageError
from annoy_store.ingest import record_files
from annoy_store.ingest.readers import RawRow, read_raw
from annoy_store.ingest.record_files import Refusal

ROWS = [
    {"content": "print(1)\r\nprint('é 🎉')\n", "path": "a.py", "license": "mit", "score": 4},
    {"content": 'x = "a,b"\n\n\ny = 1', "path": "b/c.py", "license": "", "score": 5},
]


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), out)
    return out.getvalue()


def as_zst(data: bytes) -> bytes:
    out = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(out, "zstd") as packed:
        packed.write(data)
    return out.getvalue().to_pybytes()  # type: ignore[no-any-return]


FORMATS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "jsonl": lambda rows: "".join(json.dumps(r) + "\n" for r in rows).encode(),
    "ndjson": lambda rows: "\n\n".join(json.dumps(r, ensure_ascii=False) for r in rows).encode(),
    "json": lambda rows: json.dumps(rows, indent=2).encode(),
    "csv": as_csv,
    "tsv": lambda rows: as_csv(rows, "\t"),
    "parquet": as_parquet,
}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": as_zst,
}


def found(path: Path, **options: Any) -> tuple[list[RawRow], list[Refusal]]:
    items = list(read_raw(path, **options))
    return [i for i in items if isinstance(i, RawRow)], [i for i in items if isinstance(i, Refusal)]


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


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        ('[{"content": "a"}, {"content": "b"}]', ["a", "b"]),
        ('{"content": "a"}\n{"content": "b"}\n', ["a", "b"]),
        ('{\n "content": "a"\n}', ["a"]),
        ('\ufeff[{"content": "a"}]', ["a"]),
        ("[]", []),
        ("  [ ] ", []),
    ],
)
def test_json_files_may_have_many_shapes(tmp_path: Path, text: str, contents: list[str]) -> None:
    (tmp_path / "x.json").write_text(text)
    good, _ = found(tmp_path / "x.json")
    assert [row.content for row in good] == contents


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.dictionaries(st.text(), st.text() | st.floats(allow_nan=False)), max_size=6),
    indent=st.sampled_from([None, 2]),
    chunk=st.integers(1, 40),
)
def test_json_files_are_read_in_chunks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[Any], indent: int, chunk: int
) -> None:
    monkeypatch.setattr(record_files, "CHUNK", chunk)
    rows = [{**row, "content": "x"} for row in rows]
    text = json.dumps(rows, indent=indent, ensure_ascii=False)
    values = [item[1] for item in record_files._json(io.BytesIO(text.encode()), "x") if item]  # type: ignore[index]
    assert values == rows


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ('{"content": "a"}\n{oops\n{"content": "b"}', ["broken_json"]),
        ('{"content": "a"}\n[1]\n7', ["not_object", "not_object"]),
        ('{"other": 1}\n{"content": "a"}', ["no_column"]),
        ('{"content": "a", "n": ' + "1" * 5000 + "}", ["broken_json"]),
        ('{"content": "a", "n": ' + "[" * 100_000 + "}", ["broken_json"]),
        ("", ["empty"]),
    ],
)
def test_invalid_lines_are_refused_and_the_rest_is_read(
    tmp_path: Path, text: str, reasons: list[str]
) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    good, bad = found(tmp_path / "x.jsonl")
    assert [b.reason for b in bad] == reasons
    assert len(good) == text.count('"content": "') - reasons.count("broken_json") * ('"n"' in text)


def test_invalid_lines_have_their_number(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'{"content": "a"}\n\n{oops\n\xff\n')
    _, bad = found(tmp_path / "x.jsonl")
    assert [(b.reason, b.location.line) for b in bad] == [("broken_json", 3), ("not_utf8", 4)]
    assert str(bad[0]).startswith("x.jsonl line 3: broken JSON: ")


def test_broken_arrays_have_a_line_number(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('[{"content": "a"},\n {"content": "b"},\n {oops}]')
    good, (bad,) = found(tmp_path / "x.json")
    assert [row.content for row in good] == ["a", "b"]
    assert (bad.fatal, bad.location.line) == (True, 3)


def test_overlong_lines_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_files, "MAX_VALUE_BYTES", 1000)
    monkeypatch.setattr(record_files, "CHUNK", 100)
    (tmp_path / "x.jsonl").write_text('{"content": "' + "a" * 5000 + '"}\n{"content": "b"}\n')
    good, (bad,) = found(tmp_path / "x.jsonl")
    assert (bad.reason, bad.location.line) == ("line_too_long", 1)
    assert [row.content for row in good] == ["b"]


@pytest.mark.parametrize("form", ["jsonl", "json", "csv"])
def test_invalid_bytes_refuse_their_row(tmp_path: Path, form: str) -> None:
    data = FORMATS[form]([{"content": "good"}, {"content": "MARK"}]).replace(b"MARK", b"\xff\xfe")
    (tmp_path / f"x.{form}").write_bytes(data)
    good, (bad,) = found(tmp_path / f"x.{form}")
    assert (bad.reason, [row.content for row in good]) == ("not_utf8", ["good"])


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".xz", ".zst"])
def test_truncated_files_keep_what_was_read(tmp_path: Path, packing: str) -> None:
    noise = random.Random(1)
    lines = "".join(f'{{"content": "{noise.randbytes(500).hex()}"}}\n' for _ in range(1500))
    whole = PACKINGS[packing](lines.encode())
    (tmp_path / f"x.jsonl{packing}").write_bytes(whole[: len(whole) - 200])
    good, bad = found(tmp_path / f"x.jsonl{packing}")
    assert len(good) > 100
    assert bad[-1].fatal
    assert bad[-1].reason == "broken_file"


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
    [(b"\x7fELF\0\0", "binary"), (b"caf\xe9 = 1", "not_utf8"), (b"x" * 101, "too_large")],
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


@pytest.mark.parametrize(
    "number",
    ["123456789012345678901234567890", "-9223372036854775809", "18446744073709551616", "1e300"],
)
def test_json_lines_keep_numbers_exact(tmp_path: Path, number: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f'{{"content": "a", "in": {{"list": [{number}]}}}}\n')
    (row,) = read_raw(path)
    assert isinstance(row, RawRow)
    assert row.other_fields["in"]["list"] == [json.loads(number)]
    assert type(row.other_fields["in"]["list"][0]) is type(json.loads(number))


@pytest.mark.parametrize("text", ["NaN", "-Infinity", '"\\ud800"', "1e999"])
def test_json_lines_accept_what_only_python_parses(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f'{{"content": "a", "odd": {text}}}\n')
    (row,) = read_raw(path)
    assert isinstance(row, RawRow)
    assert repr(row.other_fields["odd"]) == repr(json.loads(text))
