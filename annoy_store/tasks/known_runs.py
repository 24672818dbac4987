"""Results of a sample's code that are stored already, so that a predicted input need not be run.

Decisions
- A result counts if nothing could make a run of today differ: the input is the same text, the pair
  was drawn here, its current check is `stable` (two runs agreed) and of the active variant, so of the
  same limits, its execution is of the same interpreter and runner, and its run was counted to its
  end, so it was no long one. Pairs that came with a sample may have their output in another order.
- A verdict names the execution that it rests on: when such a pair no longer holds, its answers are
  judged again (queue/stale_verdicts.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select

from annoy_store.config import Policy
from annoy_store.db.tables import executions, pair_checks, turns, variants
from annoy_store.interfaces import Sandbox
from annoy_store.records.queries import current_pairs, joined_records, split_records


@dataclass(frozen=True)
class KnownRun:
    """The output of an input, as JSON, and the execution that confirmed it."""

    execution_id: int
    output: str


def known_runs(policy: Policy) -> ColumnElement[Any]:
    """Return a column with the stored results of the sample of a turn; see `find_known_run`.

    Args:
        policy: The policy of the store.
    """
    pairs = current_pairs.c
    fields = (
        executions.c.interpreter,
        executions.c.runner_version,
        executions.c.id,
        pairs.input,
        pairs.output,
    )
    return (
        select(joined_records(*fields))
        .select_from(current_pairs)
        .join(pair_checks, pair_checks.c.id == pairs.check_id)
        .join(executions, executions.c.id == pair_checks.c.execution_id)
        .join(variants, variants.c.id == pair_checks.c.variant_id)
        .where(
            pairs.sample_id == turns.c.sample_id,
            pairs.seed.is_not(None),
            pairs.status == "stable",
            pairs.lines_executed < policy.count_lines,
            variants.c.active == 1,
        )
        .correlate(turns)
        .scalar_subquery()
    )


def find_known_run(
    stored: str | None, input_text: str, sandbox: Callable[[], Sandbox]
) -> KnownRun | None:
    """Return the stored result for an input, if there is one that counts in this sandbox.

    Args:
        stored: The value of the column `known_runs`.
        input_text: The input as compact JSON.
        sandbox: Returns the sandbox in which it would be run.
    """
    for interpreter, runner, execution, known_input, output in split_records(stored):
        if known_input == input_text:
            info = sandbox().info
            if (interpreter, runner) == (info.interpreter, info.runner_version):
                return KnownRun(int(execution), output)
    return None
