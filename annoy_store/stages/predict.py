"""predict: ask for the output of an input, and for an input of an output.

selects pairs whose current check is stable, the first of each sample
does    fills in one output and one input prompt
writes  prompts, turns, calls
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, exists, select

from annoy_store.config import Policy
from annoy_store.db.tables import calls, io_pairs, pair_checks, prompts, samples, turns
from annoy_store.hashing import digest
from annoy_store.interfaces import NewRow, Outcome, Row, Stage, StageContext, rejected
from annoy_store.prompts.template import load_template
from annoy_store.records.prompts import count_chars, prompt_rows
from annoy_store.records.queries import current_check, not_hidden


def select_subjects(policy: Policy) -> Select[Any]:
    """Select the first `pairs_per_sample` stable pairs of each sample.

    `same_output` says that an earlier one of them asks for an input of the same output.
    """
    earlier, check = io_pairs.alias("earlier"), pair_checks.alias("earlier_check")
    same_output = exists().where(
        earlier.c.sample_id == io_pairs.c.sample_id,
        earlier.c.position < io_pairs.c.position,
        earlier.c.output == io_pairs.c.output,
        check.c.io_pair_id == earlier.c.id,
        check.c.variant_id == pair_checks.c.variant_id,
        check.c.status == "stable",
    )
    return (
        select(
            io_pairs.c.id.label("subject_id"),
            io_pairs.c.sample_id,
            io_pairs.c.input_digest,
            io_pairs.c.input,
            io_pairs.c.output,
            same_output.label("same_output"),
            samples.c.digest.label("sample_digest"),
            samples.c.problem_statement,
            samples.c.io_requirements,
            samples.c.refcode,
        )
        .select_from(pair_checks)
        .join(io_pairs, io_pairs.c.id == pair_checks.c.io_pair_id)
        .join(samples, samples.c.id == io_pairs.c.sample_id)
        .where(
            pair_checks.c.status == "stable",
            pair_checks.c.id == current_check(),
            io_pairs.c.position < policy.pairs_per_sample,
            not_hidden("sample", io_pairs.c.sample_id),
        )
    )


def run(row: Row, tools: StageContext) -> Outcome:
    """Make both prompts of one pair; the input question only if no earlier pair asks the same."""
    directions = ["predict_output"] if row["same_output"] else ["predict_output", "predict_input"]
    rows: list[NewRow] = []
    for kind in directions:
        asked = _ask(kind, row, tools.policy)
        if asked is None:
            return rejected("too_long")
        rows += asked
    return Outcome("done", tuple(rows), "same_prompt" if row["same_output"] else None)


def _ask(kind: str, row: Row, policy: Policy) -> list[NewRow] | None:
    given = "input" if kind == "predict_output" else "output"
    template = load_template(getattr(policy, f"template_{kind}"))
    messages = template.render(
        problem=row["problem_statement"],
        io=row["io_requirements"],
        code=row["refcode"],
        **{given: row[given]},
    )
    if count_chars(messages) > policy.max_prompt_chars:
        return None
    about = digest("pair", row["sample_digest"], row["input_digest"])
    answers = policy.samples_per_prompt
    subject = {"io_pair_id": row["subject_id"], "sample_id": row["sample_id"]}
    return prompt_rows(messages, template, kind, 1, about, answers, **subject)


STAGE = Stage(
    "predict",
    select_subjects,
    trigger=pair_checks.c.id,
    run=run,
    writes=(prompts, turns, calls),
    depends=(
        "template_predict_output",
        "template_predict_input",
        "max_prompt_chars",
        "samples_per_prompt",
    ),
    rescan_on=("pairs_per_sample",),
)
