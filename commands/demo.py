"""Run the whole pipeline on bundled code, without a key.

Ingests the sources that come with the package, lets the rule-based tracer answer every prompt, runs
all code in the sandbox, and exports the verified chains as JSON Lines. DIR then holds the store
(annoy.db) and the export (codeio/). Repeating the command continues where it stopped, and does
nothing once it has finished. It takes some seconds.

\b
Examples:
  annoy demo
  annoy demo /tmp/try --json
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from sqlalchemy import text

import annoy_store
from annoy_store.analysis.status import store_status
from annoy_store.db.duckdb_session import prevent_pandas_import
from annoy_store.db.engine import Database
from annoy_store.db.migrate import open_store
from annoy_store.export.export import export
from annoy_store.export.request import ExportReport, ExportRequest
from annoy_store.ingest.sources import IngestOptions, IngestReport, ingest
from annoy_store.stages import PIPELINE
from annoy_store.tasks.policy import set_policy
from annoy_store.worker.display import Display
from annoy_store.worker.run import run

from ._screen import show
from ._shared import json_option, load_settings, print_json, print_table, say
from ._text import safe
from .status import funnel

SOURCES = Path(annoy_store.__file__).parent / "demo"
LICENCE = "MIT"
TOP_FAILURES = (
    "SELECT stage, reason, jobs FROM v_failures ORDER BY jobs DESC, stage, reason LIMIT 8"
)


@click.command(help=__doc__)
@click.argument(
    "folder",
    metavar="[DIR]",
    default="annoy-demo",
    type=click.Path(path_type=Path, file_okay=False),
)
@json_option
@click.pass_context
def command(ctx: click.Context, folder: Path, as_json: bool) -> None:
    settings = load_settings(ctx, teacher="tracer", transform_teacher="tracer")
    prevent_pandas_import()
    store = _opened(folder)
    ctx.call_on_close(store.close)
    tally = ingest(store, [SOURCES], IngestOptions(origin="demo", licence=LICENCE))
    say(ctx, f"sources: {tally.new} new, {tally.known} known")
    with Display(quiet=bool(ctx.find_root().params.get("quiet"))) as display:
        done = run(store, settings, display=display)
    report = _export(store, folder, bool(done.progress.ended))
    if as_json:
        print_json(_as_dict(store, tally, report, folder))
    else:
        _print(store, report, folder)
    ctx.exit(3 if done.failed else 0)


def _opened(folder: Path) -> Database:
    """Open the store of the demo; a new one limits CPU time to 1 s, for a source loops forever."""
    folder.mkdir(parents=True, exist_ok=True)
    is_new = not (folder / "annoy.db").exists()
    store = open_store(f"sqlite:///{folder}/annoy.db", create=True)
    if is_new:
        with store.write() as connection:
            set_policy(connection, {"cpu_seconds": "1"})
    return store


def _export(store: Database, folder: Path, worked: bool) -> ExportReport | None:
    """Export into a new folder, unless everything is exported already."""
    before = _exports(folder)
    if before and not worked:
        return None
    name = f"codeio-{len(before) + 1}" if before else "codeio"
    return export(store, ExportRequest("codeio", folder / name))


def _exports(folder: Path) -> list[Path]:
    """Return the folders of exports, oldest first."""
    return sorted(folder.glob("codeio*"), key=lambda path: (len(path.name), path.name))


def _files(folder: Path) -> list[Path]:
    """Return the data files of the newest export."""
    exports = _exports(folder)
    return sorted(exports[-1].glob("**/*.jsonl")) if exports else []


def _record(files: Sequence[Path]) -> dict[str, Any]:
    """Return a short record, if possible one whose second turn corrected the first."""
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    records = sorted((json.loads(line) for line in lines), key=lambda r: len(json.dumps(r)))
    revised = [r for r in records if str(r.get("feedback_2")).startswith("Correct")]
    return next(iter([*revised, *records]), {})


def _failures(store: Database) -> list[Sequence[Any]]:
    with store.read() as connection:
        return [tuple(row) for row in connection.execute(text(TOP_FAILURES))]


def _as_dict(
    store: Database, tally: IngestReport, report: ExportReport | None, folder: Path
) -> dict[str, Any]:
    files = _files(folder)
    return {
        "store": str(store),
        "new_sources": tally.new,
        "stages": store_status(store, PIPELINE).stages,
        "failures": [
            dict(zip(("stage", "reason", "jobs"), r, strict=True)) for r in _failures(store)
        ],
        "exported": report.n_rows if report else 0,
        "files": [str(file) for file in files],
        "record": _record(files),
    }


def _print(store: Database, report: ExportReport | None, folder: Path) -> None:
    files = _files(folder)
    show(funnel(store_status(store, PIPELINE)))
    click.echo("rejection reasons:")
    print_table(("stage", "reason", "jobs"), _failures(store))
    click.echo("\none record:")
    for name, value in _record(files).items():
        if value is not None:
            click.echo(f"--- {name}")
            click.echo(safe(str(value)).strip("\n"))
    click.echo(f"\nstore:   {store.path}")
    for file in files:
        click.echo(f"records: {file}")
    click.echo(
        f"{report.n_rows:,} records exported" if report else "nothing new since the last run"
    )
    click.echo(f"next:    annoy --store {store} sql 'SELECT * FROM v_transitions'")
