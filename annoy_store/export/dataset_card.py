"""What lies beside the data: README.md (dataset card), dataset_info.json, export.json.

Decisions
- The card's front matter is YAML whose values are written as JSON, which YAML is a superset of.
- It names the features of every column, so that a column that is null for the first ten
  megabytes still loads; and the files of every split.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from annoy_store.export.format_file import Format
from annoy_store.export.writer import FileOptions, WrittenFile

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)


_ABOUT = """\
Made by annoy-store from raw code: every pair of input and output was made by running the code,
every answer was judged by a checker.
"""


_LOADING = """\
## Loading

`datasets.load_dataset("FOLDER")` reads every split with the features above (JSON lines in zstd need
`pip install zstandard`). LLaMA-Factory: `dataset_dir: FOLDER` and a name of dataset_info.json.
"""


@dataclass(frozen=True)
class CardData:
    """All that the files beside the data tell of an export."""

    form: Format
    file_options: FileOptions
    schema: pa.Schema
    files: Sequence[WrittenFile]
    manifest: Mapping[str, Any]
    statistics: Mapping[str, Any]


def write_metadata_files(making: Path, told: CardData) -> None:
    """Write the card and the two descriptions into the folder."""
    _write(making / "export.json", json.dumps(told.manifest, indent=2, ensure_ascii=False) + "\n")
    entries = dataset_info(told.form, told.file_options, told.files)
    if entries:
        _write(making / "dataset_info.json", json.dumps(entries, indent=2) + "\n")
    _write(making / "README.md", render_card(told))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def dataset_info(
    form: Format, packing: FileOptions, files: Sequence[WrittenFile]
) -> dict[str, dict[str, Any]]:
    """One LLaMA-Factory data set per split; none where its loader has no words for the format.

    It knows files by their last ending, so compressed JSON lines are beyond it.
    """
    if not form.trainer or (packing.container == "jsonl" and packing.compression):
        return {}
    names = {file.split: file.name for file in files}
    if packing.shard_rows is not None:
        names = {split: split for split in names}
    return {
        f"{form.name}_{split}": {"file_name": name, **form.trainer} for split, name in names.items()
    }


def write_retractions(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """List what this export takes back: where it stood, and why it no longer does."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


# README.md -----------------------------------------------------------------------------------


def render_card(told: CardData) -> str:
    """The dataset card: YAML front matter for loaders, then what people want to know."""
    return f"---\n{_front_matter(told)}---\n\n{_body(told)}"


def _front_matter(told: CardData) -> str:
    splits: dict[str, list[str]] = {}
    for file in told.files:
        splits.setdefault(file.split, []).append(file.name)
    rows = sum(file.rows for file in told.files)
    size = next((word for limit, word in _SIZES if rows < limit), "n>100M")
    licences = [name for name in told.statistics["licences"] if name != "unknown"]
    values: dict[str, Any] = {
        "pretty_name": f"annoy {told.form.name}",
        "license": licences[0] if len(licences) == 1 else "other",
        "task_categories": ["text-generation"],
        "tags": ["code", "reasoning", "synthetic", "annoy-store"],
        "size_categories": [size],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": s, "path": names} for s, names in splits.items()],
            }
        ],
        "dataset_info": {
            "features": features(told.schema),
            "splits": [_split_info(split, told.files) for split in splits],
        },
    }
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items())


def _split_info(split: str, files: Sequence[WrittenFile]) -> dict[str, Any]:
    own = [file for file in files if file.split == split]
    size = sum(file.bytes for file in own)
    return {"name": split, "num_bytes": size, "num_examples": sum(file.rows for file in own)}


def features(schema: pa.Schema) -> list[dict[str, Any]]:
    """The columns as Hugging Face `datasets` names them in YAML."""
    return [{"name": field.name, **_feature(field.type)} for field in schema]


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        return {"list": _inner(kind.value_type)}
    if pa.types.is_struct(kind):
        return {"struct": features(pa.schema(list(kind)))}
    return {"dtype": _scalar(kind)}


def _inner(kind: pa.DataType) -> Any:
    feature = _feature(kind)
    return feature.get("struct") or feature.get("dtype") or feature


def _scalar(kind: pa.DataType) -> str:
    return {"double": "float64", "float": "float32"}.get(str(kind), str(kind))


def _body(told: CardData) -> str:
    facts = told.statistics
    parts = [
        f"# {told.form.name}\n\n{told.form.help}\n",
        _ABOUT,
        _rows(facts),
        _taken_back(told.manifest),
        *(
            _table(title, (key, "rows"), list(facts[key].items()))
            for title, key in (
                ("Licences", "licences"),
                ("Questions", "kinds"),
                ("Turns", "turns"),
                ("Last verdicts", "statuses"),
                ("Teachers", "teachers"),
            )
            if key in facts
        ),
        _proof(facts),
        _LOADING,
        _table("Checkers", ("version",), [(word,) for word in facts.get("checkers", [])]),
        _table("Funnel of the store", ("stage", "state", "jobs"), _funnel(facts["funnel"])),
        _table(
            "What was left out", ("reason", "subjects"), list(told.manifest["left_out"].items())
        ),
        _table(
            "Files",
            ("file", "rows", "bytes", "sha256"),
            [(f.name, f.rows, f.bytes, f.sha256) for f in told.files],
        ),
        f"Asked for: `{json.dumps(told.manifest['asked'], ensure_ascii=False)}`\n",
        f"annoy-store {told.manifest['annoy_store']}, schema {told.manifest['schema']}\n",
    ]
    return "\n".join(part for part in parts if part)


def _rows(facts: Mapping[str, Any]) -> str:
    """Rows per split, and how many clusters they are of, where there are any."""
    rows, clusters = facts["rows"], facts["clusters"]
    if not any(clusters.values()):
        return _table("Rows", ("split", "rows"), list(rows.items()))
    each = [(split, n, clusters.get(split, 0)) for split, n in rows.items()]
    return _table("Rows", ("split", "rows", "clusters"), each)


def _taken_back(export: Mapping[str, Any]) -> str:
    """What an increment adds to, and what it takes back."""
    if export["adds_to"] is None:
        return ""
    said = f"This adds to the export {export['adds_to']}.\n"
    if export["retractions"]:
        said += (
            f"It takes back {export['retractions']} rows: leave out what retractions.csv lists.\n"
        )
    return said


def _funnel(funnel: Mapping[str, Mapping[str, int]]) -> list[tuple[Any, ...]]:
    return [(stage, state, n) for stage, states in funnel.items() for state, n in states.items()]


def _proof(facts: Mapping[str, Any]) -> str:
    if len(facts["rows"]) < 2:
        return ""
    counted = ", ".join(f"{what.removesuffix('_id')}s {n}" for what, n in facts["shared"].items())
    return (
        "## Splits do not leak\n\nSplits were given to clusters of near-duplicate code. Shared by "
        f"two splits: {counted}. Counted over all rows of this export.\n"
    )


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [" | ".join(str(cell).replace("|", "\\|") for cell in row) for row in rows]
    if not lines:
        return ""
    rule = "|".join("---" for _ in columns)
    listed = "\n".join(f"| {line} |" for line in lines)
    return f"## {title}\n\n| {' | '.join(columns)} |\n|{rule}|\n{listed}\n"
