"""Make a benchmark of held-out samples, score a model on it, compare two models.

The questions are output predictions without the code; a problem counts as solved when every
case of it is right. Shares come with 95 % intervals, in all and by difficulty.

\b
Examples:
  annoy bench make bench.jsonl --split test --cases 3
  annoy bench score bench.jsonl a.jsonl --base-url http://localhost:8000/v1 --model my-model
  annoy bench compare a.jsonl b.jsonl
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from annoy_store.settings import DEFAULT_SALT

from ._shared import (
    json_option,
    load_settings,
    print_json,
    print_table,
    progress,
    say,
    store_of,
    warn,
)
from .run import settings_options

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(help=__doc__)
def command() -> None:
    pass


@command.command("make")
@click.argument("file", type=FILE)
@click.option("--split", default="test", show_default=True, help="Split to take, or all.")
@click.option("--cases", type=click.IntRange(1), default=3, show_default=True, help="Per problem.")
@click.option(
    "--salt", default=DEFAULT_SALT, show_default=True, help="Salt of the export's splits."
)
@click.option("-n", "--limit", type=click.IntRange(1), help="At most this many problems.")
@json_option
@click.pass_context
def make_(
    ctx: click.Context, file: Path, split: str, cases: int, salt: str, limit: int | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Write the questions of a split to FILE."""
    from annoy_store.benching.making import make, write_items

    items = make(store_of(ctx), split, cases, salt, limit)
    write_items(file, items)
    told = {"problems": len({i.problem for i in items}), "questions": len(items)}
    if as_json:
        print_json(told)
    else:
        click.echo(f"{told['problems']:,} problems, {told['questions']:,} questions in {file}")


@command.command("score")
@click.argument("file", type=FILE)
@click.argument("answers", type=FILE)
@settings_options
@json_option
@click.pass_context
def score_(ctx: click.Context, /, file: Path, answers: Path, as_json: bool, **flags: Any) -> None:
    """Ask a model the questions of FILE; its judged ANSWERS are kept, and not asked again."""
    from annoy_store.benching.making import read_items, read_scored
    from annoy_store.benching.scoring import summary

    items = read_items(file)
    done = {s.id for s in read_scored(answers)} if answers.exists() else set()
    todo = [item for item in items if item.id not in done]
    failed = _ask(ctx, todo, answers, flags) if todo else 0
    asked = {item.id for item in items}
    scored = [s for s in read_scored(answers) if s.id in asked] if answers.exists() else []
    told = summary(scored)
    if as_json:
        print_json({k: {**v, **_shares(v)} for k, v in told.items()} | {"failed": failed})
    else:
        print_table(_COLUMNS, [_row(band, told[band]) for band in told])
    if failed:
        warn(f"{failed:,} questions got no answer; run this again to ask them")
        ctx.exit(3)


@command.command("compare")
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@json_option
@click.pass_context
def compare_(ctx: click.Context, first: Path, second: Path, as_json: bool) -> None:
    """Pair two files of judged answers, question by question."""
    from annoy_store.benching.making import read_scored
    from annoy_store.benching.scoring import compare

    told = compare(read_scored(first), read_scored(second))
    if as_json:
        print_json(told)
        return
    rows = [
        [what, told[what]["of"], *(_percent(told[what][k]) for k in ("first", "second")),
         _interval(told[what]["difference"], told[what]["low"], told[what]["high"])]
        for what in ("examples", "problems")
    ]  # fmt: skip
    print_table(["", "of", first.stem, second.stem, "difference (95 %)"], rows)
    click.echo(
        f"problems solved only by {first.stem}: {told['only_first']}, only by {second.stem}: "
        f"{told['only_second']}; McNemar exact p = {told['p']:.3g}"
    )
    if told["left_out"]:
        say(ctx, f"{told['left_out']:,} answers to questions that only one file has are left out")


def _ask(ctx: click.Context, todo: list[Any], answers: Path, flags: dict[str, Any]) -> int:
    from annoy_store.benching.making import append
    from annoy_store.benching.scoring import ask_all
    from annoy_store.teachers import open_backend

    settings = load_settings(ctx, **flags)
    teacher = open_backend(settings.teacher, settings, settings.model)
    seen = [0]

    async def run() -> int:
        try:
            ended = await ask_all(todo, teacher, settings.max_connections, keep)
            return ended["failed"]
        finally:
            await teacher.close()

    with progress(ctx) as show:

        def keep(scored: Any) -> None:
            append(answers, scored)
            seen[0] += 1
            show(f"{seen[0]:,} of {len(todo):,} answered")

        try:
            return asyncio.run(run())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None


_COLUMNS = ["difficulty", "questions", "right (95 %)", "problems", "solved (95 %)", "no answer"]


def _row(band: str, told: dict[str, Any]) -> list[Any]:
    examples, problems = told["examples"], told["problems"]
    cells = [_interval(s.share, s.low, s.high) for s in (examples, problems)]
    return [band, examples.of, cells[0], problems.of, cells[1], told["no_answer"]]


def _shares(told: dict[str, Any]) -> dict[str, Any]:
    return {k: {**vars(told[k]), "share": told[k].share} for k in ("examples", "problems")}


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _interval(share: float, low: float, high: float) -> str:
    return f"{100 * share:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
