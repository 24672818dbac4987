"""Import files of the CodeI/O scripts, chat data sets and batches, with their lineage.

The kind of a file is recognised by the keys of its rows: raw code, transform answers, functions
with their pairs, prediction questions with answers and verdicts, second turns, finished chains,
files of OpenAI batches, conversations. Folders are searched, hidden files are skipped. The order
does not matter: rows that refer to a file not imported yet are linked when it is, even by another
command, and the number of open references is printed. Two things must come in the same command:
the questions of a batch, and the functions of questions in an unknown form. Imported answers are
not requested again, and importing twice adds nothing.

A question about an output becomes a pair without any right answer: its code is run on its input, in
the sandbox (--no-run runs nothing; a later import makes up for it). Pairs are checked by execution
when the pipeline runs (annoy run generate), and only stable ones are asked about; imported verdicts
are kept beside ours under the checker `imported`. A row that cannot be imported is refused and
counted: the exit code is 0 as long as some row was accepted. It is 1 if none was, or if a file could
not be read completely.

\b
Examples:
  annoy import data/
  annoy import rawcode_1k_parsed.jsonl codeio_1k_gens_verified.jsonl
  annoy import answers.csv --kind samples
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._progress import progress
from ._shared import json_option, load_settings, print_json, say, store_of, warn

if TYPE_CHECKING:
    from annoy_store.interfaces import Sandbox

KINDS = (
    "raw",
    "transform",
    "samples",
    "predictions",
    "revisions",
    "chains",
    "batch-input",
    "batch-output",
    "messages",
)
WHOLE_FILES = ("unknown_kind", "empty_file")
LEFT = {
    "transform": "questions that no file answers: annoy run transform asks them in its own words",
    "predict": "questions that no file answers: annoy run predict asks about stable pairs of their "
    "functions in its own words",
    "unknown_form": "questions of an unknown form that no file answers: kept, but never asked",
    "no_pair": "answers without their pair, which tells what is right: no file has it, and the code "
    "gives none; import the file with their functions and pairs too",
    "not_run": "inputs whose code was not run, for no sandbox works here: see annoy doctor, then import "
    "again",
    "no_source": "functions without their source: import their raw code (matched by blob_id) or the "
    "transform answers too, or raw code is transformed again",
    "no_question": "answers to questions of an unknown form: kept, but not checked",
}


@click.command(help=__doc__)
@click.argument("paths", nargs=-1, required=True, metavar="PATH..", type=click.Path(path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    metavar="KIND",
    help=f"Kind of the files: {', '.join(KINDS)}; default: recognised by their keys.",
)
@click.option("--run/--no-run", default=True, help="Run the code of questions about an output.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, paths: tuple[Path, ...], kind: str | None, run: bool, as_json: bool
) -> None:
    from annoy_store.ingest.codeio.importer import import_files
    from annoy_store.ingest.codeio.report import ImportReport

    store = store_of(ctx, create=True)
    opener = _sandbox_opener(ctx) if run else None
    with progress(ctx) as show:
        done = import_files(store, paths, kind, show, opener)
    (_print_json if as_json else _print)(done)
    for error in done.errors:
        warn(error)
    if done.errors or not done.accepted:
        ctx.exit(1)
    if not as_json and any(done.new.values()):
        say(ctx, "next: annoy run --teacher tracer   (or with a model: annoy run -m MODEL)")
    assert isinstance(done, ImportReport)


def _sandbox_opener(ctx: click.Context) -> Callable[[], Sandbox]:
    """Return a function that opens the sandbox when it is first called."""
    settings = load_settings(ctx)

    @cache
    def opened() -> Sandbox:
        from annoy_store.sandbox import open_sandbox

        sandbox = open_sandbox(
            slots=settings.slots, python=settings.python, unsafe=settings.unsafe_no_sandbox
        )
        ctx.call_on_close(sandbox.close)
        return sandbox

    return opened


def _print_json(done: object) -> None:
    print_json({key: dict(v) if isinstance(v, dict) else v for key, v in vars(done).items()})


def _print(done: object) -> None:
    from annoy_store.ingest.codeio.report import ImportReport

    assert isinstance(done, ImportReport)
    for file, kind in done.files.items():
        click.echo(f"{file}: {kind}")
    click.echo(_summary(done))
    made = [f"{n:,} {table.replace('_', ' ')}" for table, n in done.new.items() if n]
    click.echo(f"added to the store: {', '.join(made) or 'nothing'}")
    for word, n in done.left.items():
        click.echo(f"{n:,} {LEFT[word]}")
    for reason, n in done.refused.most_common():
        warn(_refusal(reason, n, done.examples[reason]))


def _refusal(reason: str, n: int, examples: list[str]) -> str:
    """Return how many rows were refused for a reason and the first; of files, all examples."""
    first = f"refused {n:,} as {reason}, e.g. {examples[0]}"
    if reason not in WHOLE_FILES or n == 1:
        return first
    others = [example.partition(": ")[0] for example in examples[1:]]
    rest = [f"{n - len(examples):,} more"] if n > len(examples) else []
    return f"{first}; also {', '.join([*others, *rest])}"


def _summary(done: object) -> str:
    from annoy_store.ingest.codeio.report import ImportReport

    assert isinstance(done, ImportReport)
    known, refused = sum(done.known.values()), sum(done.refused.values())
    return f"{done.accepted - known:,} rows new, {known:,} known, {refused:,} refused"
