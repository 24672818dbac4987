"""Data files with raw code, and what is read from them."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from annoy_store.ingest.readers import RawRow, read_raw
from annoy_store.ingest.record_files import Refusal


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
