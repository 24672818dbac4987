"""Which subjects are exported: filters that look at one subject at a time.

Decisions
- A filter looks either at one subject (licence, length, ..) or at a group of them (one per
  prompt, balance, sample: group_filters.py). The first kind comes first, in the order below; the
  first filter that removes a subject is the reason.
- Groups are ranked by hashes of content, never by chance or by id, and what earlier exports
  published ranks first: so a limit holds over all increments together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from annoy_store.errors import UsageError, unknown_name
from annoy_store.export.attributes import ANSWER_SHOWN, referenced_attributes
from annoy_store.export.candidates import RowFilter
from annoy_store.export.format_file import ANSWER_FILTERS, Format
from annoy_store.export.splits import EXCLUDED

Bounds = tuple[float | None, float | None]
UNBOUNDED: Bounds = (None, None)
STABLE = "stable"
PAIR_TURNED = f"coalesce(pair_status, '{STABLE}') <> '{STABLE}'"  # a question without pairs holds
PAIR_FILTERS = (STABLE, "all")


@dataclass(frozen=True)
class Selection:
    """What is exported; the defaults are all that the format wants.

    Bounds include both ends; None leaves an end open.

    Attributes:
        only: `correct`, `revised` (correct after a revision) or `all`; None as the format says.
        turns: Numbers of turns; empty for any.
        teachers: Models or backends of the first answer; empty for any.
        same_teacher: Only records whose answers are all by one teacher; None as the format says:
            preference pairs are, chains need not be.
        truncated: Whether an answer that was cut off may be the rejected one of a pair.
        judged_by: Id of the variant of `verify` whose verdicts count; where it has none, the
            current ones do. None for the current ones.
        pairs: `stable`: only while the current check of all pairs of a question is stable and its
            answer does not stand in the question; `all`.
        licences: Licences of the source, in any case of letters; empty for any.
        where: SQL condition over the columns of a candidate.
        exclude_overlaps: Leave out what overlaps with a benchmark.
        chars: Length of the last conversation, in characters.
        lines: Executed lines of the pair.
        pass_rate: Share of correct answers to the first prompt, 0 to 1.
        tokens: Length of the last conversation, in tokens of `tokenizer`.
        tokenizer: A tokenizer.json file.
        one_per_prompt: One answer per prompt, the best.
        max_per_source: At most this many records of one raw file.
        balance: As many records of one direction as of the other, in every split.
        sample: At most this many records, chosen by hash and `seed`.
        seed: Sampling seed.
    """

    only: str | None = None
    turns: tuple[int, ...] = ()
    teachers: tuple[str, ...] = ()
    same_teacher: bool | None = None
    truncated: bool = False
    judged_by: int | None = None
    pairs: str = STABLE
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


def build_filters(form: Format, selection: Selection, *, is_split: bool) -> list[RowFilter]:
    """Return the filters that look at one subject at a time, in their order.

    Args:
        form: The format; it says what a record is, and which answers it wants.
        selection: What the user chose.
        is_split: Whether the export is split.

    Raises:
        UsageError: If `only` is unknown, or a choice about answers was made for samples.
    """
    unfinished = "no_pair" if form.record == "sample" else "open"
    chosen = [RowFilter(unfinished, "closed"), RowFilter("taken_down", "NOT hidden", ("hidden",))]
    if form.record == "sample":
        _refuse_answer_options(form, selection)
    else:
        chosen += _pair_filters(selection) + _answer_filters(form, selection)
    if selection.licences:
        names = _quoted(licence.lower() for licence in selection.licences)
        chosen.append(RowFilter("licence", f"list_has_any(licences, [{names}])", ("origin",)))
    if selection.exclude_overlaps:
        chosen.append(RowFilter("overlap", "NOT overlapping", ("overlap",)))
    chosen += _within("lines_executed", "lines", selection.lines, "pair")
    if selection.where:
        attributes = referenced_attributes(selection.where)
        chosen.append(RowFilter("where", f"({selection.where}\n)", attributes))
    if is_split:
        chosen.append(RowFilter("not_clustered", "split IS NOT NULL"))
        chosen.append(RowFilter("set_aside", f"split <> '{EXCLUDED}'"))
    return chosen


def _pair_filters(selection: Selection) -> list[RowFilter]:
    if selection.pairs not in PAIR_FILTERS:
        raise UsageError(unknown_name("--pairs", selection.pairs, PAIR_FILTERS))
    if selection.pairs != STABLE:
        return []
    shown = f"coalesce(pair_status, '{STABLE}') <> '{ANSWER_SHOWN}'"
    return [
        RowFilter(ANSWER_SHOWN, shown, ("pair_status",)),
        RowFilter("pair_unstable", f"NOT ({PAIR_TURNED})", ("pair_status",)),
    ]


def _answer_filters(form: Format, selection: Selection) -> list[RowFilter]:
    only = selection.only or form.only
    if form.record == "preference":  # it holds answers of both kinds, whatever the format says
        if selection.only not in (None, "all"):
            raise UsageError(f"{form.name} pairs a correct with a wrong answer: leave out --only")
        only = "all"
    if only not in ANSWER_FILTERS:
        raise UsageError(unknown_name("--only", only, ANSWER_FILTERS))
    chosen = []
    if only == "correct":
        chosen.append(RowFilter("not_correct", "last_status = 'correct'"))
    if only == "revised":
        chosen.append(RowFilter("not_revised", "last_status = 'correct' AND turns > 1"))
    if selection.turns:
        chosen.append(RowFilter("turns", f"turns IN ({', '.join(map(str, selection.turns))})"))
    if selection.teachers:
        models = _quoted(selection.teachers)
        condition = f"model IN ({models}) OR backend IN ({models})"
        chosen.append(RowFilter("teacher", condition, ("teacher",)))
    if selection.same_teacher and form.record != "preference":
        chosen.append(RowFilter("other_teacher", "len(teachers) < 2"))
    chosen += _within("n_chars", "chars", selection.chars, "chars")
    return chosen + _within("pass_rate", "pass_rate", selection.pass_rate, "pass_rate")


def _refuse_answer_options(form: Format, selection: Selection) -> None:
    given = {
        "--only": selection.only,
        "--pairs": selection.pairs != STABLE,
        "--turns": selection.turns,
        "--teacher": selection.teachers,
        "--pass-rate": selection.pass_rate != UNBOUNDED,
        "--chars": selection.chars != UNBOUNDED,
        "--tokens": selection.tokens != UNBOUNDED,
        "--balance": selection.balance,
        "--one-per-prompt": selection.one_per_prompt,
        "--judged-by": selection.judged_by,
        "--same-teacher": selection.same_teacher is not None,
        "--truncated": selection.truncated,
    }
    for flag, value in given.items():
        if value:
            raise UsageError(
                f"{form.name} is about samples, which have no answers: leave out {flag}"
            )


def _within(column: str, reason: str, bounds: Bounds, attribute: str) -> list[RowFilter]:
    if bounds == UNBOUNDED:
        return []
    return [RowFilter(reason, bounds_condition(column, bounds), (attribute,))]


def bounds_condition(column: str, bounds: Bounds) -> str:
    """Return SQL that is true for a value within bounds, ends included.

    Args:
        column: The SQL of the value.
        bounds: Lower and upper end; None leaves an end open.
    """
    low, high = bounds
    tests = [f"{column} >= {low}"] if low is not None else []
    tests += [f"{column} <= {high}"] if high is not None else []
    return " AND ".join(tests) or "true"


def _quoted(words: Iterable[str]) -> str:
    return ", ".join("'" + word.replace("'", "''") + "'" for word in words)
