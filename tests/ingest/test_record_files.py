"""Data files of every format: the same rows; broken files give refusals, never exceptions."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annoy_store.ingest import record_files
from annoy_store.ingest.readers import RawRow, read_raw
from tests.support.raw_files import FORMATS, PACKINGS, found


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
    values = [item[1] for item in record_files.json_values(io.BytesIO(text.encode()), "x") if item]  # type: ignore[index]
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


@pytest.mark.parametrize(
    "packing", [".gz", ".bz2", pytest.param(".xz", marks=pytest.mark.slow), ".zst"]
)
def test_truncated_files_keep_what_was_read(tmp_path: Path, packing: str) -> None:
    noise = random.Random(1)
    lines = "".join(f'{{"content": "{noise.randbytes(500).hex()}"}}\n' for _ in range(1500))
    whole = PACKINGS[packing](lines.encode())
    (tmp_path / f"x.jsonl{packing}").write_bytes(whole[: len(whole) - 200])
    good, bad = found(tmp_path / f"x.jsonl{packing}")
    assert len(good) > 100
    assert bad[-1].fatal
    assert bad[-1].reason == "broken_file"


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


KEYS = st.sampled_from(["content", "a", "b:", 'q"', "\u00e9", "A", ":"])
SCALARS = st.none() | st.integers() | st.sampled_from([":", "a: b", '"', "\\u003a", "{:}", 1e300])


@st.composite
def objects(draw: st.DrawFn, depth: int = 2) -> tuple[str, bool]:
    """A JSON object as text, and whether a key is repeated in it, at any depth."""
    entries, repeats = [], False
    keys = draw(st.lists(KEYS, max_size=4))
    for key in keys:
        value = json.dumps(draw(SCALARS), ensure_ascii=draw(st.booleans()))
        if depth and draw(st.booleans()):
            value, inside = draw(objects(depth - 1))
            repeats |= inside
            value = draw(st.sampled_from([value, f"[{value}, 1]"]))
        written = json.dumps(key, ensure_ascii=draw(st.booleans()))
        written = written.replace(":", draw(st.sampled_from([":", "\\u003a", "\\u003A"])))
        entries.append(f"{written}{draw(st.sampled_from([':', ' : ']))}{value}")
    return "{" + ", ".join(entries) + "}", repeats or len(set(keys)) < len(keys)


@given(objects(), st.sampled_from(["jsonl", "json", "array"]))
@settings(max_examples=150, deadline=None)
def test_objects_with_a_repeated_key_are_refused_and_no_others(
    text_repeats: tuple[str, bool], form: str
) -> None:
    text, repeats = text_repeats
    lines = ['{"n": 1}', text, '{"n": 2}']
    read = record_files.json_lines if form == "jsonl" else record_files.json_values
    whole = "[\n" + ",\n".join(lines) + "\n]" if form == "array" else "\n".join(lines)
    first, row, last = read(io.BufferedReader(io.BytesIO(whole.encode())), "x")  # type: ignore[arg-type]
    assert (first[1], last[1]) == ({"n": 1}, {"n": 2})  # type: ignore[index]
    assert isinstance(row, record_files.Refusal) == repeats
    if isinstance(row, record_files.Refusal):
        assert (row.reason, row.location.line) == ("repeated_key", 3 if form == "array" else 2)
    else:
        assert row[1] == json.loads(text)


def test_refusal_of_a_repeated_key_names_it(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"content": "a"}\n{"content": "b", "content": "c"}\n')
    good, (bad,) = found(tmp_path / "x.jsonl")
    assert [row.content for row in good] == ["a"]
    assert str(bad).startswith("x.jsonl line 2: ")
    assert "'content' is repeated" in str(bad)


def test_tables_with_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("content,content\na,b\n")
    import pyarrow
    from pyarrow import parquet

    columns = [pyarrow.array(["a"]), pyarrow.array(["b"])]
    table = pyarrow.Table.from_arrays(columns, names=["content", "content"])
    parquet.write_table(table, tmp_path / "x.parquet")
    for name in ("x.csv", "x.parquet"):
        good, (bad,) = found(tmp_path / name)
        assert (good, bad.reason, bad.fatal) == ([], "repeated_column", True)
