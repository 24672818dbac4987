"""Write training splits: JSONL or Parquet that trainers load unchanged.

FORMAT is one of those below, or the path of your own .sql file. DIR must be new or empty. It will
hold the data, a dataset card (README.md), dataset_info.json for LLaMA-Factory and export.json with
the sha256 of every file. The same store gives the same bytes; a failed export leaves no files.

\b
Examples:
  annoy export codeio out/
  annoy export messages out/ --split train=.9,validation=.05,test=.05
  annoy export codeio more/ --since last
  annoy export sharegpt out/ --licence mit,apache-2.0 --sample 50000
  annoy export rl out/ --pass-rate 0.1..0.9 --parquet --shard-rows 100000
  annoy export codeio out/ --where "'bad question' NOT IN tags"

A range is MIN..MAX; either end may be left out. --where is SQL over the columns subject_id,
sample_id, kind, turns, teachers, sample_no, last_status, status_1, status_2, model, backend, licence, repo,
path, origin, language, funcname, lines_executed, pair_status, pass_rate, n_chars, finish_reason,
cluster, tags (a list) and flagged (true or false): marks of annoy note.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from annoy_store.config import DEFAULT_SPLIT_SALT
from annoy_store.errors import UsageError
from annoy_store.export.format_file import bundled_formats, load_format

from ._options import GroupedCommand, option_group
from ._progress import progress
from ._shared import json_option, print_json, print_table, say, store_of, warn

REASONS = {
    "open": "not finished yet",
    "no_pair": "no stable pair",
    "taken_down": "taken down",
    "answer_shown": "a question that shows its answer (--pairs all)",
    "pair_unstable": "a pair that is not stable now (--pairs all)",
    "not_correct": "incorrect",
    "not_revised": "not corrected by a revision",
    "turns": "--turns",
    "teacher": "--teacher",
    "licence": "--licence",
    "overlap": "--exclude-overlaps",
    "chars": "--chars",
    "tokens": "--tokens",
    "lines": "--lines",
    "pass_rate": "--pass-rate",
    "where": "--where",
    "not_clustered": "added during the export",
    "set_aside": "excluded: near rows of another split",
    "same_prompt": "another answer to the same prompt",
    "source_full": "--max-per-source",
    "unbalanced": "--balance",
    "not_sampled": "--sample",
    "truncated": "a wrong answer that was cut off (--truncated)",
    "unpaired": "no correct answer to the same messages beside a wrong one",
    "other_teacher": "answers by several teachers (--any-teacher)",
    "not_rejected": "a correct answer, which may stand beside a wrong one",
    "published": "already published",
}

rows = option_group("Rows")
splits = option_group("Splits")
files = option_group("Files")


class RangeParam(click.ParamType[Any]):
    """A range MIN..MAX; either end may be left out."""

    name = "range"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Parse `MIN..MAX` as a pair of numbers; None for an open end."""
        if not isinstance(value, str):
            return value
        low, dots, high = value.partition("..")
        try:
            ends = tuple(float(end) if end else None for end in (low, high))
        except ValueError:
            ends = (None, None)
        if not dots or ends == (None, None):
            self.fail(f"{value!r} is not MIN..MAX, MIN.. or ..MAX", param, ctx)
        return ends


class ExportCommand(GroupedCommand):
    """The command, whose help ends with the list of formats."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the bundled formats."""
        with formatter.section("Formats"):
            formatter.write_dl([(name, load_format(name).help) for name in bundled_formats()])


def _listed(_: Any, __: Any, values: tuple[str, ...]) -> tuple[str, ...]:
    """Split values at commas; an option may also be given several times."""
    return tuple(word.strip() for value in values for word in value.split(",") if word.strip())


def _range(name: str, text: str) -> Callable[[Any], Any]:
    return rows(name, type=RangeParam(), default=(None, None), metavar="MIN..MAX", help=text)


@click.command(help=__doc__, cls=ExportCommand)
@click.argument("form", metavar="FORMAT")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@rows(
    "--only",
    type=click.Choice(["correct", "revised", "all"]),
    help="Which answers; by default as the format says.",
)
@rows(
    "--pairs",
    type=click.Choice(["stable", "all"]),
    default="stable",
    show_default=True,
    help="Questions whose pairs another run reproduces, by their current check, and whose answer does "
    "not stand in the question; or all.",
)
@rows(
    "--turns",
    multiple=True,
    callback=_listed,
    metavar="N,..",
    help="Chains with these numbers of turns.",
)
@rows(
    "--teacher",
    "teachers",
    multiple=True,
    callback=_listed,
    metavar="MODEL,..",
    help="First answers by these models or backends.",
)
@rows(
    "--licence",
    "licences",
    multiple=True,
    callback=_listed,
    metavar="NAME,..",
    help="Code under one of these licences.",
)
@rows(
    "--same-teacher/--any-teacher",
    default=None,
    help="Only records whose answers are all by one model, or all; default: one for preference "
    "pairs, all for chains.",
)
@rows(
    "--truncated", is_flag=True, help="Let answers that were cut off be the rejected ones of pairs."
)
@rows(
    "--judged-by",
    type=click.IntRange(1),
    metavar="V",
    help="Use the verdicts of variant V of verify instead of the active one.",
)
@rows("--where", metavar="SQL", help="Rows for which this condition is true.")
@rows("--exclude-overlaps", is_flag=True, help="Leave out what annoy decontaminate flagged.")
@_range("--chars", "Length of the last conversation, in characters.")
@_range("--tokens", "Length of the last conversation, in tokens of --tokenizer.")
@rows("--tokenizer", type=click.Path(path_type=Path), metavar="FILE", help="A tokenizer.json file.")
@_range("--lines", "Executed lines, as a measure of difficulty.")
@_range("--pass-rate", "Share of correct first answers, 0 to 1.")
@rows("--one-per-prompt", is_flag=True, help="One answer per prompt, the best.")
@rows("--max-per-source", type=click.IntRange(1), metavar="N", help="At most N rows per raw file.")
@rows("--balance", type=click.Choice(["direction"]), help="As many rows of either direction.")
@rows("--sample", type=click.IntRange(1), metavar="N", help="N rows, chosen by hash and --seed.")
@rows("--seed", type=int, default=0, help="Sampling seed of --sample.")
@splits("--split", metavar="NAME=SHARE,..", help="Shares of train, validation and test.")
@splits(
    "--salt",
    default=DEFAULT_SPLIT_SALT,
    show_default=True,
    help="Salt of the hash that assigns splits.",
)
@rows(
    "--since",
    metavar="EXPORT",
    help="Only what this export and its parents do not hold: last, an id or a digest.",
)
@files("--parquet", is_flag=True, help="Write Parquet instead of JSONL.")
@files("--compression", type=click.Choice(["gzip", "zstd"]), help="Compression of the files.")
@files("--shard-rows", type=click.IntRange(1), metavar="N", help="Rows per file.")
@files(
    "--threads",
    type=click.IntRange(1),
    default=1,
    help="Threads of DuckDB; the bytes written stay the same.",
)
@click.option("--dry-run", is_flag=True, help="Count only; write nothing.")
@json_option
@click.pass_context
def command(ctx: click.Context, /, form: str, folder: Path, as_json: bool, **given: Any) -> None:
    from annoy_store.db.duckdb_session import prevent_pandas_import
    from annoy_store.export.export import export

    prevent_pandas_import()
    store = store_of(ctx)
    with progress(ctx) as show:
        report = export(store, _request(form, folder, given), show)
    for warning in report.warnings:
        warn(warning)
    if as_json:
        print_json(_as_json(report))
        return
    if report.removed:
        left_out = sorted(report.removed.items(), key=lambda item: list(REASONS).index(item[0]))
        print_table(["left out", "rows"], [[REASONS[reason], n] for reason, n in left_out])
    if report.rows:
        print_table(["split", "rows"], list(report.rows.items()))
    if report.retractions:
        print_table(["retracted", "rows"], list(report.retractions.items()))
    _conclude(ctx, report, dry_run=given["dry_run"])


def _request(form: str, folder: Path, given: dict[str, Any]) -> Any:
    from annoy_store.export.file_options import FileOptions
    from annoy_store.export.filters import Selection
    from annoy_store.export.request import ExportRequest
    from annoy_store.export.splits import parse_split_config

    chosen = {name: given[name] for name in Selection.__dataclass_fields__ if name in given}
    selection = Selection(**chosen)
    try:
        turns = tuple(int(n) for n in given["turns"])
    except ValueError:
        raise UsageError(f"--turns must be numbers, not {', '.join(given['turns'])}") from None
    selection = replace(selection, turns=turns, balance=given["balance"] is not None)
    file_options = FileOptions(
        "parquet" if given["parquet"] else "jsonl", given["compression"], given["shard_rows"]
    )
    split_config = parse_split_config(given["split"], given["salt"]) if given["split"] else None
    return ExportRequest(
        form,
        folder,
        selection,
        file_options,
        split_config,
        given["since"],
        given["dry_run"],
        given["threads"],
    )


def _conclude(ctx: click.Context, report: Any, *, dry_run: bool) -> None:
    if dry_run:
        say(ctx, f"{report.n_rows} of {report.subjects} would be written")
    elif report.folder is None:
        warn(
            "no row to write; nothing was written (annoy status shows the progress of the pipeline)"
        )
    else:
        again = ", the same as before" if report.already_published else ""
        say(ctx, f"export {report.export_id}: {report.n_rows} rows in {report.folder}{again}")


def _as_json(report: Any) -> dict[str, Any]:
    return {
        "export": report.export_id,
        "digest": report.digest,
        "format": report.format,
        "folder": None if report.folder is None else str(report.folder),
        "subjects": report.subjects,
        "rows": report.n_rows,
        "splits": dict(report.rows),
        "left_out": dict(report.removed),
        "retractions": dict(report.retractions),
        "known": report.already_published,
        "files": [file.as_json() for file in report.files],
        "warnings": list(report.warnings),
    }
