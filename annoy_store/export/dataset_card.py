"""What is beside the data: README.md (dataset card), dataset_info.json, export.json, retractions.

Decisions
- The card's front matter is YAML whose values are written as JSON, which YAML is a superset of.
- It names the features of every column, so that a column that is null for the first ten
  megabytes still loads; and the files of every split.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from annoy_store.export.file_options import FileOptions
from annoy_store.export.format_file import FOLDER, Format
from annoy_store.export.plan import ExportPlan
from annoy_store.export.written_file import WrittenFile

Manifest = Mapping[str, Any]  # the content of export.json
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)
_COUNTS = (
    ("Licences", "licences"),
    ("Questions", "kinds"),
    ("Turns", "turns"),
    ("Last verdicts", "statuses"),
    ("Teachers", "teachers"),
)
_ABOUT = """\
Made by annoy-store from raw code: every pair of input and output comes from running the code, and
every answer was checked by running code again.
"""
_LOADING = """\
## Loading

`datasets.load_dataset("FOLDER")` reads every split with the features above (JSON lines in zstd need
`pip install zstandard`). LLaMA-Factory: `dataset_dir: FOLDER` and a name of dataset_info.json.
"""
_LOADING_LINES = """\
## Loading

Read it line by line: `[json.loads(line) for line in open("train.jsonl", encoding="utf-8")]`. The
types of inputs and outputs differ from row to row, as in the published set, so `datasets` and other
tables with one type per column cannot hold them; the format `codeio_raw` has them as JSON text.
"""


def write_metadata_files(
    staging: Path, plan: ExportPlan, files: Sequence[WrittenFile], manifest: Manifest
) -> None:
    """Write the card, the manifest, dataset_info.json and the retractions into a folder.

    Args:
        staging: The folder with the data files.
        plan: What is exported.
        files: The data files.
        manifest: The content of export.json.
    """
    _write(staging / "export.json", json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    entries = dataset_info(plan.form, plan.request.file_options, files)
    if entries:
        _write(staging / "dataset_info.json", json.dumps(entries, indent=2) + "\n")
    _write(staging / "README.md", render_card(plan, files, manifest))
    if plan.form.beside:
        shutil.copyfile(FOLDER / plan.form.beside, staging / plan.form.beside)
    if plan.retractions:
        _write_retractions(staging / "retractions.csv", [one.as_json() for one in plan.retractions])


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_retractions(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """List what this export retracts: where it is in earlier exports, and why."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def dataset_info(
    form: Format, options: FileOptions, files: Sequence[WrittenFile]
) -> dict[str, dict[str, Any]]:
    """Return one LLaMA-Factory data set per split; none where its loader cannot read the format.

    It knows files by their last ending, so it cannot read compressed JSON lines.

    Args:
        form: The format; `trainer` is the part of the entry that depends on it.
        options: How records became files.
        files: The data files.
    """
    if not form.trainer or (options.container == "jsonl" and options.compression):
        return {}
    names = {file.split: file.name for file in files}
    if options.shard_rows is not None:
        names = {split: split for split in names}
    return {
        f"{form.name}_{split}": {"file_name": name, **form.trainer} for split, name in names.items()
    }


# README.md -----------------------------------------------------------------------------------


def render_card(plan: ExportPlan, files: Sequence[WrittenFile], manifest: Manifest) -> str:
    """Return the dataset card: YAML front matter for loaders, then text for readers.

    Args:
        plan: What is exported.
        files: The data files.
        manifest: The content of export.json.
    """
    return f"---\n{_front_matter(plan, files)}---\n\n{_body(plan, files, manifest)}"


def _front_matter(plan: ExportPlan, files: Sequence[WrittenFile]) -> str:
    splits: dict[str, list[str]] = {}
    for file in files:
        splits.setdefault(file.split, []).append(file.name)
    rows = sum(file.rows for file in files)
    size = next((word for limit, word in _SIZES if rows < limit), "n>100M")
    licences = [name for name in plan.statistics["licences"] if name != "unknown"]
    values: dict[str, Any] = {
        "pretty_name": f"annoy {plan.form.name}",
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
            **({} if plan.form.files else {"features": features(plan.binding.schema)}),
            "splits": [_split_info(split, files) for split in splits],
        },
    }
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items())


def _split_info(split: str, files: Sequence[WrittenFile]) -> dict[str, Any]:
    own = [file for file in files if file.split == split]
    size = sum(file.bytes for file in own)
    return {"name": split, "num_bytes": size, "num_examples": sum(file.rows for file in own)}


def features(schema: pa.Schema) -> list[dict[str, Any]]:
    """Return the columns as Hugging Face `datasets` names them in YAML.

    Args:
        schema: The columns that the format makes.
    """
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


def _body(plan: ExportPlan, files: Sequence[WrittenFile], manifest: Manifest) -> str:
    counts = plan.statistics
    file_rows = [(f.name, f.rows, f.bytes, f.sha256) for f in files]
    parts = [
        f"# {plan.form.name}\n\n{plan.form.help}\n",
        _ABOUT,
        _rows(counts),
        _parent(manifest),
        *(
            _table(title, (key, "rows"), list(counts[key].items()))
            for title, key in _COUNTS
            if key in counts
        ),
        _table(
            "Parameters that the endpoint refused, and that were left out",
            ("teacher", "parameters"),
            [(name, ", ".join(left_out)) for name, left_out in counts.get("omitted", {}).items()],
        ),
        _leakage(counts),
        _LOADING_LINES if plan.form.files else _LOADING,
        _table("Checkers", ("version",), [(word,) for word in counts.get("checkers", [])]),
        _table("Jobs in the store", ("stage", "state", "jobs"), _funnel(counts["funnel"])),
        _table("Left out", ("reason", "subjects"), list(manifest["left_out"].items())),
        _table("Files", ("file", "rows", "bytes", "sha256"), file_rows),
        f"Options: `{json.dumps(manifest['options'], ensure_ascii=False)}`\n",
        f"annoy-store {manifest['annoy_store']}, schema {manifest['schema']}\n",
    ]
    return "\n".join(part for part in parts if part)


def _rows(counts: Mapping[str, Any]) -> str:
    """Rows per split, and how many clusters they are of, where there are any."""
    rows, clusters = counts["rows"], counts["clusters"]
    if not any(clusters.values()):
        return _table("Rows", ("split", "rows"), list(rows.items()))
    each = [(split, n, clusters.get(split, 0)) for split, n in rows.items()]
    return _table("Rows", ("split", "rows", "clusters"), each)


def _parent(manifest: Manifest) -> str:
    """What an increment adds to, and how many rows it retracts."""
    if manifest["parent"] is None:
        return ""
    text = f"This adds to the export {manifest['parent']}.\n"
    if n := manifest["retractions"]:
        text += f"It retracts {n} earlier rows: remove those that retractions.csv lists.\n"
    return text


def _funnel(funnel: Mapping[str, Mapping[str, int]]) -> list[tuple[Any, ...]]:
    return [(stage, state, n) for stage, states in funnel.items() for state, n in states.items()]


def _leakage(counts: Mapping[str, Any]) -> str:
    if len(counts["rows"]) < 2:
        return ""
    shared = ", ".join(f"{what.removesuffix('_id')}s {n}" for what, n in counts["shared"].items())
    return (
        "## Leakage between splits\n\nSplits are assigned to clusters of near-duplicate code. "
        f"Shared by two splits: {shared}. Counted over all rows of this export.\n"
    )


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [" | ".join(str(cell).replace("|", "\\|") for cell in row) for row in rows]
    if not lines:
        return ""
    rule = "|".join("---" for _ in columns)
    listed = "\n".join(f"| {line} |" for line in lines)
    return f"## {title}\n\n| {' | '.join(columns)} |\n|{rule}|\n{listed}\n"
