"""Build a benchmark of held-out samples, score a model on it, compare two models.

The questions ask for outputs without showing the code; a problem is solved when all of its cases
are correct. Shares are of all questions of the file: one whose call failed counts as incorrect.
They are reported with 95 % confidence intervals, overall and by difficulty.

\b
Examples:
  annoy bench make bench.jsonl --split test --cases 3
  annoy bench score bench.jsonl a.jsonl --base-url http://gpu:8000/v1 -m mine
  annoy bench compare a.jsonl b.jsonl
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from annoy_store.config import DEFAULT_SPLIT_SALT, RunSettings

from ._options import GroupedCommand
from ._progress import progress
from ._settings import LIMITS, MODEL, SANDBOX, settings_options
from ._shared import (
    json_option,
    load_settings,
    print_json,
    print_table,
    say,
    store_of,
    warn,
)

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(help=__doc__)
def command() -> None:
    pass


@command.command("make")
@click.argument("file", type=FILE)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test", "all"]),
    metavar="SPLIT",
    default="test",
    show_default=True,
    help="Split to use: train, validation, test, or all.",
)
@click.option(
    "--cases", type=click.IntRange(1), default=3, show_default=True, help="Cases per problem."
)
@click.option(
    "--salt", default=DEFAULT_SPLIT_SALT, show_default=True, help="Salt of the export's splits."
)
@click.option("-n", "--limit", type=click.IntRange(1), help="At most this many problems.")
@json_option
@click.pass_context
def make_(
    ctx: click.Context,
    file: Path,
    split: str,
    cases: int,
    salt: str,
    limit: int | None,
    as_json: bool,
) -> None:
    """Write the questions of a split to FILE."""
    from annoy_store.benchmark.build import build_benchmark, write_questions

    items = build_benchmark(store_of(ctx), split, cases, salt, limit)
    problems, questions = write_questions(file, items)
    if as_json:
        print_json({"problems": problems, "questions": questions})
    else:
        click.echo(f"{problems:,} problems, {questions:,} questions in {file}")


@command.command("score", cls=GroupedCommand)
@click.argument("file", type=FILE)
@click.argument("answers", type=FILE)
@settings_options(MODEL, LIMITS, SANDBOX)
@json_option
@click.pass_context
def score_(ctx: click.Context, /, file: Path, answers: Path, as_json: bool, **flags: Any) -> None:
    """Ask a model the questions of FILE; judged answers are kept in ANSWERS and reused.

    ANSWERS belongs to one model with one set of sampling settings (temperature, top-p, max-tokens,
    seed, extra body); others are refused, so use one file for each. The endpoint may change. If
    ANSWERS is complete, nothing is asked and no model needs to be named.

    Questions whose calls failed after all attempts count as incorrect and are reported as failed;
    the exit code is 3 then. Run the command again to ask only those.
    """
    from annoy_store.benchmark.answers import check_same_model, requested_model_settings
    from annoy_store.benchmark.build import read_questions
    from annoy_store.benchmark.score import summarise

    items, kept = read_questions(file), _read(ctx, answers) if answers.exists() else []
    done = {s.id for s in kept}
    todo = [item for item in items if item.id not in done]
    settings = load_settings(ctx, **flags)
    if todo or settings.model or settings.teacher != "openai":
        check_same_model(answers, kept, requested_model_settings(settings))
    others = len(done - {item.id for item in items})
    if others:
        say(ctx, f"{others:,} answers in {answers} match no question of {file} and are left out")
    scored = [*kept, *_ask(ctx, todo, answers, settings)] if todo else kept
    summary = summarise(items, scored)
    failed = summary["all"]["failed"]
    if as_json:
        asked = {"asked": scored[0].asked} if scored else {}
        print_json(
            {k: {**v, **_shares(v)} for k, v in summary.items()} | {"failed": failed} | asked
        )
    else:
        print_table(_COLUMNS, [_row(band, summary[band]) for band in summary])
    if failed:
        warn(
            f"{failed:,} of {len(items):,} questions failed and count as incorrect; "
            "run the command again to ask them"
        )
        ctx.exit(3)


@command.command("compare")
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@json_option
@click.pass_context
def compare_(ctx: click.Context, first: Path, second: Path, as_json: bool) -> None:
    """Compare two files of judged answers, question by question."""
    from annoy_store.benchmark.score import compare_models

    compared = compare_models(_read(ctx, first), _read(ctx, second))
    if as_json:
        print_json(compared)
    else:
        _print_comparison(compared, first.stem, second.stem)
    if n := compared["left_out"]:
        say(ctx, f"{n:,} answers to questions that only one file has are left out")
    if n := compared["problems_left_out"]:
        say(ctx, f"{n:,} problems without every case in both files are left out")


def _print_comparison(compared: dict[str, Any], first: str, second: str) -> None:
    rows = [
        [
            what,
            compared[what]["of"],
            *(_percent(compared[what][k]) for k in ("first", "second")),
            _interval(*(compared[what][k] for k in ("difference", "low", "high"))),
        ]
        for what in ("examples", "problems")
        if compared[what]["of"]
    ]
    print_table(["in both", "of", first, second, "difference (95 %)"], rows)
    click.echo(
        f"problems solved only by {first}: {compared['only_first']}, only by {second}: "
        f"{compared['only_second']}, of {compared['problems']['of']:,} with every case in both; "
        f"McNemar exact p = {compared['p']:.3g}"
    )


def _read(ctx: click.Context, answers: Path) -> list[Any]:
    """Return the judged answers of a file; report a truncated last line."""
    from annoy_store.benchmark.answers import read_answers

    found = read_answers(answers)
    if found.is_truncated:
        say(ctx, f"the last line of {answers} is truncated and ignored; score asks it again")
    return found.scored


def _ask(ctx: click.Context, todo: list[Any], answers: Path, settings: RunSettings) -> list[Any]:
    """Ask questions; return the judged answers, which are also appended to the file."""
    from annoy_store.benchmark.answers import append, repair_last_line
    from annoy_store.benchmark.score import ask_all
    from annoy_store.inference.backends import open_backend

    teacher = open_backend(settings.teacher, settings, settings.model)
    repair_last_line(answers)
    seen: list[Any] = []

    async def run() -> None:
        try:
            await ask_all(todo, teacher, settings.max_connections, keep)
        finally:
            await teacher.close()

    with progress(ctx) as show:

        def keep(scored: Any) -> None:
            append(answers, scored)
            seen.append(scored)
            show(f"{len(seen):,} of {len(todo):,} answered", len(seen), len(todo))

        try:
            asyncio.run(run())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
    return seen


_COLUMNS = [
    "difficulty",
    "questions",
    "correct (95 %)",
    "problems",
    "solved (95 %)",
    "no answer",
    "failed",
]


def _row(band: str, summary: dict[str, Any]) -> list[Any]:
    examples, problems = summary["examples"], summary["problems"]
    cells = [_interval(s.share, s.low, s.high) for s in (examples, problems)]
    return [
        band,
        examples.of,
        cells[0],
        problems.of,
        cells[1],
        summary["no_answer"],
        summary["failed"],
    ]


def _shares(summary: dict[str, Any]) -> dict[str, Any]:
    return {k: {**vars(summary[k]), "share": summary[k].share} for k in ("examples", "problems")}


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _interval(share: float, low: float, high: float) -> str:
    return f"{100 * share:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
