"""Plan more answers to existing prompts.

Several answers per prompt measure its difficulty (v_pass_rate); answers of another teacher to the
same prompts compare the two; a correct beside a wrong answer is a preference pair. --turn 2 asks revisions
again, of which the first answer stays that of its chain. This only plans calls; the next run sends
each of them once.

\b
Examples:
  annoy resample -n 4
  annoy resample -n 4 --turn 2
  annoy resample --kind predict_output --pin --teacher openai -m other-model
  annoy run --teacher openai -m other-model

A call that is not pinned is answered by the teacher of whichever run sends it. A pinned one is
answered only by the teacher that the options of the model describe.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from ._options import GroupedCommand, option_group
from ._settings import MODEL, settings_options
from ._shared import json_option, load_settings, print_json, print_table, say, store_of

scope = option_group("Scope")


@click.command(help=__doc__, cls=GroupedCommand)
@scope(
    "-n",
    "--samples",
    type=click.IntRange(1, 1000),
    metavar="N",
    default=1,
    show_default=True,
    help="Answers per prompt, including those already planned.",
)
@scope(
    "--kind",
    "kinds",
    multiple=True,
    metavar="TASK",
    show_default="all tasks",
    help="Only questions of this task; may be repeated.",
)
@scope(
    "--turn",
    type=click.IntRange(1),
    metavar="N",
    default=1,
    show_default=True,
    help="Number of the turn whose prompts are answered again.",
)
@scope("--pin", is_flag=True, help="Pin the calls to the teacher that the options below describe.")
@settings_options(replace(MODEL, heading="Model, with --pin"))
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    samples: int,
    kinds: tuple[str, ...],
    turn: int,
    pin: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    from annoy_store.records.prompts import plan_more_calls
    from annoy_store.tasks import TASKS, get_task
    from annoy_store.worker.resources import WorkerResources

    given = [name for name, value in flags.items() if value is not None]
    if given and not pin:
        option = f"--{given[0].replace('_', '-')}"
        raise click.UsageError(f"{option} applies to pinned calls: add --pin, or leave it out")
    settings = load_settings(ctx, **flags)
    store = store_of(ctx)
    pinned = 0
    if pin:
        resources = WorkerResources(store, settings)
        resources.open_teachers()
        pinned = resources.teacher("task", 0)[0]
    names = [get_task(kind).name for kind in kinds] or list(TASKS)
    with store.write() as connection:
        planned = plan_more_calls(connection, names, samples, pinned, turn)
    if as_json:
        print_json({"planned": planned, "pinned_teacher_id": pinned or None})
        return
    print_table(["kind", "new calls"], list(planned.items()))
    say(ctx, "next: annoy plan, then annoy run" if any(planned.values()) else "no new calls")
