"""Parquet, Arrow and Feather files, with values that Python cannot hold."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from pyarrow import feather, parquet

from annoy_store.ingest.arrow_files import parquet_rows, saved_dataset_files, seekable
from annoy_store.ingest.codeio.file_kinds import find_data_files, read_records
from annoy_store.ingest.record_files import Location, Refusal
from tests.support.raw_files import found

NANOSECONDS = pyarrow.array([1, 10**18 + 1, None], pyarrow.timestamp("ns"))
TABLE = pyarrow.table({"content": ["a = 1", "b = 2", "c = 3"], "seen": NANOSECONDS, "n": [1, 2, 3]})


def written(table: pyarrow.Table, form: str) -> bytes:
    out = io.BytesIO()
    if form == "parquet":
        parquet.write_table(table, out)
    elif form == "feather":
        feather.write_feather(table, out)
    else:
        opened = pyarrow.ipc.new_file if form == "arrow" else pyarrow.ipc.new_stream
        with opened(out, table.schema) as writer:
            writer.write_table(table)
    return out.getvalue()


@pytest.mark.parametrize("form", ["parquet", "feather", "arrow", "stream"])
def test_values_that_python_cannot_hold_become_text(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"x.{form.replace('stream', 'arrow')}"
    path.write_bytes(written(TABLE, form))
    good, bad = found(path)
    assert bad == []
    assert [row.content for row in good] == ["a = 1", "b = 2", "c = 3"]
    assert [row.other_fields["n"] for row in good] == [1, 2, 3]
    assert str(good[1].other_fields["seen"]).startswith("2001-09-09 01:46:40")
    assert good[2].other_fields["seen"] is None


def test_nanoseconds_need_no_pandas(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(written(TABLE, "parquet"))
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from pathlib import Path\n"
        "from annoy_store.ingest.readers import read_raw\n"
        "print([(row.content, row.other_fields['seen']) for row in read_raw(Path(sys.argv[1]))])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert ast.literal_eval(ran.stdout) == [
        ("a = 1", "1970-01-01 00:00:00.000000001"),
        ("b = 2", "2001-09-09 01:46:40.000000001"),
        ("c = 3", None),
    ]


def broken_text(*texts: bytes) -> pyarrow.Array:
    return pyarrow.Array.from_buffers(
        pyarrow.string(), len(texts), pyarrow.array(texts, pyarrow.binary()).buffers()
    )


@pytest.mark.parametrize("column", ["content", "path", "score"])
def test_an_unreadable_value_refuses_its_row_only_where_it_is_wanted(
    tmp_path: Path, column: str
) -> None:
    columns: dict[str, Any] = {"content": ["a", "b"], "path": ["p", "q"], "score": ["1", "2"]}
    columns[column] = broken_text(b"fine", b"\xff")
    (tmp_path / "x.parquet").write_bytes(written(pyarrow.table(columns), "parquet"))
    good, bad = found(tmp_path / "x.parquet")
    if column == "score":
        assert bad == []
        assert [row.other_fields for row in good] == [{"score": "fine"}, {}]
    else:
        assert [(b.reason, b.location, b.fatal) for b in bad] == [
            ("not_utf8", Location("x.parquet", 2), False)
        ]
        assert f"column '{column}'" in str(bad[0])
        assert len(good) == 1


def test_values_of_odd_types_never_end_a_file(tmp_path: Path) -> None:
    far = pyarrow.array([10**6, 2**31 - 1], pyarrow.int32())
    odd = {
        "content": ["a", "b"],
        "date": far.cast(pyarrow.date32()),
        "zone": pyarrow.array([0, 1], pyarrow.timestamp("us", "Nowhere/There")),
        "span": pyarrow.array([1, 2], pyarrow.duration("ns")),
        "inside": pyarrow.array([[{"t": 1}], [{"t": 10**18 + 1}]]).cast(
            pyarrow.list_(pyarrow.struct([("t", pyarrow.timestamp("ns"))]))
        ),
        "map": pyarrow.array([[("a", 1)], []], pyarrow.map_(pyarrow.string(), pyarrow.int8())),
        "bytes": pyarrow.array([b"\xff", b""], pyarrow.large_binary()),
        "when": pyarrow.array([datetime(2020, 1, 1), None]),
    }
    (tmp_path / "x.arrow").write_bytes(written(pyarrow.table(odd), "arrow"))
    good, bad = found(tmp_path / "x.arrow")
    assert bad == []
    assert [row.content for row in good] == ["a", "b"]


def test_an_unreadable_key_of_an_import_is_refused_by_name(tmp_path: Path) -> None:
    table = pyarrow.table({"messages": broken_text(b"\xff"), "index": [1]})
    (tmp_path / "x.parquet").write_bytes(written(table, "parquet"))
    (item,) = read_records(tmp_path / "x.parquet", "x")
    assert isinstance(item, Refusal)
    assert str(item) == "x line 1: column 'messages': not UTF-8 at byte 0"
    table = pyarrow.table({"messages": ["m"], "other": broken_text(b"\xff")})
    (tmp_path / "x.parquet").write_bytes(written(table, "parquet"))
    assert list(read_records(tmp_path / "x.parquet", "x")) == [
        (Location("x", 1), {"messages": "m"})
    ]


@pytest.mark.parametrize("form", ["parquet", "arrow", "feather"])
def test_damaged_files_are_one_refusal(tmp_path: Path, form: str) -> None:
    whole = written(TABLE, form)
    (tmp_path / f"x.{form}").write_bytes(whole[: len(whole) // 2])
    _, bad = found(tmp_path / f"x.{form}")
    assert bad[-1].fatal
    assert bad[-1].reason == "broken_file"


def test_saved_dataset_files_are_those_of_save_to_disk(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_list([{"content": f"x = {n}", "path": "a.py"} for n in range(6)])
    rows.save_to_disk(tmp_path / "one", num_shards=3)
    datasets.DatasetDict({"train": rows, "test": rows.select([0])}).save_to_disk(tmp_path / "two")
    names = [path.name for path in saved_dataset_files(tmp_path / "one") or ()]
    assert names == [f"data-0000{n}-of-00003.arrow" for n in range(3)]
    assert [row.content for row in found(tmp_path / "one")[0]] == [f"x = {n}" for n in range(6)]
    good, bad = found(tmp_path / "two")
    assert (len(good), bad) == (7, [])
    assert len(find_data_files(tmp_path / "two")) == 2
    assert saved_dataset_files(tmp_path) is None


def test_saved_dataset_files_stay_in_the_folder(tmp_path: Path) -> None:
    state = {"_data_files": [{"filename": "../../secret.arrow"}, {"filename": 1}, 2]}
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert saved_dataset_files(tmp_path) == [tmp_path / "secret.arrow"]
    (tmp_path / "state.json").write_text("{" * 10)
    assert saved_dataset_files(tmp_path) is None


def test_seekable_unpacks_only_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    with (tmp_path / "x").open("rb") as stream, seekable(stream) as same:
        assert same is stream
    with seekable(io.BytesIO(b"abc")) as other:
        assert other.read() == b"abc"


def test_parquet_rows_number_the_rows() -> None:
    table = pyarrow.table({"n": list(range(600))})
    rows = list(parquet_rows(io.BytesIO(written(table, "parquet")), "x"))
    assert rows[599] == (Location("x", 600), {"n": 599})
