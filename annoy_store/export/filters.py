"""Which subjects go into an export: rules over the table `subjects`, each counted.

Decisions
- A rule looks either at one subject (licence, length, ..) or at its neighbours (one per prompt,
  balance, sample). The first kind comes first, in the order below; the first rule that turns a
  subject down names the reason.
- What a rule needs beyond `subjects` is fetched only when the rule is asked for, and only for
  the subjects still in.
- Neighbours are ranked by hashes of content, never by chance or by id, and what earlier exports
  of the same line published ranks first: so a limit holds over all increments together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from sqlalchemy import Connection

from annoy_store.errors import UsageError
from annoy_store.export.attributes import ATTRIBUTES, fetch_attributes, referenced_attributes
from annoy_store.export.format_file import ANSWER_FILTERS, Format

Bounds = tuple[float | None, float | None]
UNBOUNDED: Bounds = (None, None)


@dataclass(frozen=True)
class Selection:
    """What is wanted; the defaults want everything that the format wants.

    `lines` counts executed lines, `chars` those of the last conversation, `tokens` the same with
    the tokenizer's file; `pass_rate` is the share of right answers to the first prompt. `judged_by`
    is the variant of `verify` whose verdicts count; where it judged not, the current ones do.
    """

    only: str | None = None
    turns: tuple[int, ...] = ()
    teachers: tuple[str, ...] = ()
    judged_by: int | None = None
    licences: tuple[str, ...] = ()
    where: str | None = None
    exclude_overlaps: bool = False
    chars: Bounds = UNBOUNDED
    lines: Bounds = UNBOUNDED
    pass_rate: Bounds = UNBOUNDED
    tokens: Bounds = UNBOUNDED
    tokenizer: Path | None = None
    one_per_prompt: bool = False
    max_per_source: int | None = None
    balance: bool = False
    sample: int | None = None
    seed: int = 0

    @property
    def has_group_filters(self) -> bool:
        """True when a subject's fate depends on others."""
        return bool(self.one_per_prompt or self.max_per_source or self.balance or self.sample)


@dataclass(frozen=True)
class RowFilter:
    """Keeps the subjects for which `keeps` (SQL over `candidates`) is true."""

    reason: str
    condition: str
    attributes: tuple[str, ...] = ()


def build_filters(form: Format, selection: Selection, *, split: bool) -> list[RowFilter]:
    """Return the rules that look at one subject at a time. Raises UsageError."""
    unripe = "no_pair" if form.record == "sample" else "open"
    chosen = [RowFilter(unripe, "closed"), RowFilter("taken_down", "NOT hidden", ("hidden",))]
    if form.record == "sample":
        _refuse_answers(form, selection)
    else:
        chosen += _about_answers(form, selection)
    if selection.licences:
        words = _words(licence.lower() for licence in selection.licences)
        chosen.append(RowFilter("licence", f"list_has_any(licences, [{words}])", ("origin",)))
    if selection.exclude_overlaps:
        chosen.append(RowFilter("overlap", "NOT overlapping", ("overlap",)))
    chosen += _within("lines_executed", "lines", selection.lines, "pair")
    if selection.where:
        chosen.append(
            RowFilter("where", f"({selection.where}\n)", referenced_attributes(selection.where))
        )
    if split:
        chosen.append(RowFilter("not_clustered", "split IS NOT NULL"))
        chosen.append(RowFilter("set_aside", "split <> 'excluded'"))
    return chosen


def _about_answers(form: Format, selection: Selection) -> list[RowFilter]:
    only = selection.only or form.only
    if only not in ANSWER_FILTERS:
        raise UsageError(f"--only is {only!r}, but must be one of {', '.join(ANSWER_FILTERS)}")
    chosen = []
    if only == "correct":
        chosen.append(RowFilter("not_correct", "last_status = 'correct'"))
    if only == "revised":
        chosen.append(RowFilter("not_revised", "last_status = 'correct' AND turns > 1"))
    if selection.turns:
        chosen.append(RowFilter("turns", f"turns IN ({', '.join(map(str, selection.turns))})"))
    if selection.teachers:
        models = _words(selection.teachers)
        chosen.append(
            RowFilter("teacher", f"model IN ({models}) OR backend IN ({models})", ("teacher",))
        )
    chosen += _within("n_chars", "chars", selection.chars, "chars")
    return chosen + _within("pass_rate", "pass_rate", selection.pass_rate, "pass_rate")


def _refuse_answers(form: Format, selection: Selection) -> None:
    given = {
        "--only": selection.only,
        "--turns": selection.turns,
        "--teacher": selection.teachers,
        "--pass-rate": selection.pass_rate != UNBOUNDED,
        "--chars": selection.chars != UNBOUNDED,
        "--tokens": selection.tokens != UNBOUNDED,
        "--balance": selection.balance,
        "--one-per-prompt": selection.one_per_prompt,
        "--judged-by": selection.judged_by,
    }
    for flag, value in given.items():
        if value:
            raise UsageError(
                f"{form.name} is about samples, which have no answers: leave out {flag}"
            )


def _within(column: str, reason: str, bounds: Bounds, *needs: str) -> list[RowFilter]:
    return (
        [] if bounds == UNBOUNDED else [RowFilter(reason, bounds_condition(column, bounds), needs)]
    )


def bounds_condition(column: str, bounds: Bounds) -> str:
    """SQL that is true for a value within `bounds`, ends included."""
    low, high = bounds
    tests = [f"{column} >= {low}"] if low is not None else []
    tests += [f"{column} <= {high}"] if high is not None else []
    return " AND ".join(tests) or "true"


def _words(words: Iterable[str]) -> str:
    return ", ".join("'" + word.replace("'", "''") + "'" for word in words)


# Applying them -------------------------------------------------------------------------------


def apply_filters(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    chosen: Sequence[RowFilter],
    have: set[str],
) -> set[str]:
    """Mark in `subjects.removed` what each rule turns down; return the attributes at hand then.

    Raises UsageError for wrong SQL of the user's.
    """
    for rule in chosen:
        have = have | fetch_attributes(
            duck, connection, [n for n in rule.attributes if n not in have]
        )
        create_candidates_view(duck, have)
        try:
            remove_unless(duck, rule.reason, rule.condition)
        except duckdb.Error as error:
            if rule.reason != "where":
                raise
            raise UsageError(_explain(duck, error)) from error
    return have


def create_candidates_view(duck: duckdb.DuckDBPyConnection, have: set[str]) -> None:
    """Make `candidates`: the subjects still in, with the attributes at hand."""
    joins = " ".join(ATTRIBUTES[name].join for name in sorted(have))
    columns = ", ".join(["s.*", *(ATTRIBUTES[name].columns for name in sorted(have))])
    duck.execute(
        f"CREATE OR REPLACE VIEW candidates AS SELECT {columns} FROM subjects s {joins} "
        "WHERE s.removed IS NULL"
    )


def remove_unless(duck: duckdb.DuckDBPyConnection, reason: str, condition: str) -> None:
    """Turn down what is still in and does not meet `condition`."""
    duck.execute(
        f"UPDATE subjects SET removed = ? WHERE removed IS NULL AND subject_id NOT IN "
        f"(SELECT subject_id FROM candidates WHERE {condition})",
        [reason],
    )


def _explain(duck: duckdb.DuckDBPyConnection, error: duckdb.Error) -> str:
    create_candidates_view(duck, set())
    own = [row[0] for row in duck.execute("DESCRIBE candidates").fetchall()]
    named = [name for attribute in ATTRIBUTES.values() for name in attribute.names]
    words = str(error).splitlines()[0]
    return f"--where: {words}; the columns are: {', '.join([*own, *named])}"
