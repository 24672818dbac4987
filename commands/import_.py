"""Take over files of the CodeI/O scripts, chat sets and batches, with their lineage.

What a file is, is told by the keys of its rows: raw code, transform answers, functions with
their pairs, prediction questions with answers and verdicts, second turns, finished chains, files
of OpenAI batches, conversations. Folders are searched, hidden files left out. The order does not
matter: what refers to a file that is not there yet is joined when that is imported, in whatever
command, and what still waits is said. Only the questions of a batch, and of questions in words
of no known form the functions, have to come in the same command. Nothing is asked again that a
file answers, and importing twice adds nothing.

Pairs are checked by execution when the pipeline runs (annoy run generate) and only those that
hold are asked about; imported verdicts stand beside ours under the checker `imported`. A row
that cannot be taken is refused and counted: the exit code stays 0 as long as something was
taken. It is 1 when nothing could be, or when a file could not be read to its end.

\b
Examples:
  annoy import data/
  annoy import rawcode_1k_parsed.jsonl codeio_1k_gens_verified.jsonl
  annoy import answers.csv --kind samples
"""

from __future__ import annotations

from pathlib import Path

import click

from ._shared import json_option, print_json, progress, say, store_of, warn

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
    "transform": "questions without an answer: annoy run transform words them itself",
    "predict": "questions without an answer: annoy run predict words them itself",
    "no_pair": "answers wait for their pair: import the file with their functions and pairs too",
    "no_source": "functions wait for what they were made of: import their raw code (told by blob_id) "
    "or the transform answers too, or raw code is transformed again",
    "no_question": "answers to questions of no known form: kept, but not checked",
}


@click.command(help=__doc__)
@click.argument("paths", nargs=-1, required=True, metavar="PATH..", type=click.Path(path_type=Path))
@click.option(
    "--kind", type=click.Choice(KINDS), help="What the files are; default: by their keys."
)
@json_option
@click.pass_context
def command(ctx: click.Context, paths: tuple[Path, ...], kind: str | None, as_json: bool) -> None:
    from annoy_store.ingest.codeio.importer import import_files
    from annoy_store.ingest.codeio.report import ImportReport
    from annoy_store.ingest.takedowns import refresh_hidden

    store = store_of(ctx, create=True)
    with progress(ctx) as show:
        done = import_files(store, paths, kind, lambda done: show(_sentence(done)))
    with store.write() as connection:
        refresh_hidden(connection)
    (_print_json if as_json else _tell)(done)
    for error in done.errors:
        warn(error)
    if done.errors or not done.accepted:
        ctx.exit(1)
    if not as_json and any(done.new.values()):
        say(ctx, "next: annoy run --teacher tracer   (or with a model: annoy run -m MODEL)")
    assert isinstance(done, ImportReport)


def _print_json(done: object) -> None:
    print_json({key: dict(v) if isinstance(v, dict) else v for key, v in vars(done).items()})


def _tell(done: object) -> None:
    from annoy_store.ingest.codeio.report import ImportReport

    assert isinstance(done, ImportReport)
    for file, kind in done.files.items():
        click.echo(f"{file}: {kind}")
    click.echo(_sentence(done))
    made = [f"{n:,} {table.replace('_', ' ')}" for table, n in done.new.items() if n]
    click.echo(f"new in the store: {', '.join(made) or 'nothing'}")
    for word, n in done.left.items():
        click.echo(f"{n:,} {LEFT[word]}")
    for reason, n in done.refused.most_common():
        warn(_refusal(reason, n, done.examples[reason]))


def _refusal(reason: str, n: int, told: list[str]) -> str:
    """How many rows a reason refused, with the first; of files, all that are told."""
    said = f"refused {n:,} as {reason}, e.g. {told[0]}"
    if reason not in WHOLE_FILES or n == 1:
        return said
    more = [example.partition(": ")[0] for example in told[1:]]
    rest = [f"{n - len(told):,} more"] if n > len(told) else []
    return f"{said}; also {', '.join([*more, *rest])}"


def _sentence(done: object) -> str:
    from annoy_store.ingest.codeio.report import ImportReport

    assert isinstance(done, ImportReport)
    known, refused = sum(done.known.values()), sum(done.refused.values())
    return f"{done.accepted - known:,} rows new, {known:,} known, {refused:,} refused"
