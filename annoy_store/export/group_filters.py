"""Filters that compare subjects: one per prompt, per source, balance, sample, preference pairs.

They rank what the other filters left by a hash of content and a seed, and remove what ranks too
low. What is published already ranks first.
"""

from __future__ import annotations

from annoy_store.export.candidates import GroupFilter
from annoy_store.export.filters import Selection
from annoy_store.export.format_file import Format


def build_group_filters(form: Format, selection: Selection) -> list[GroupFilter]:
    """Return the filters that compare subjects with each other, in their order.

    Args:
        form: The format; one record per prompt, or per preference, needs a filter too.
        selection: What the user chose.
    """
    order = f"published DESC, md5_number('{int(selection.seed)}/' || place)"
    chosen = []
    if form.record == "preference":
        chosen.append(_preferences(selection))
    if form.record == "prompt" or selection.one_per_prompt:
        best = f"published DESC, last_status = 'correct' DESC NULLS LAST, turns, {order}"
        chosen.append(_rank("same_prompt", f"PARTITION BY prompt_id ORDER BY {best}", 1))
    if selection.max_per_source:
        source = "coalesce('s' || source_id, sample_id::VARCHAR)"
        window = f"PARTITION BY {source} ORDER BY {order}"
        chosen.append(_rank("source_full", window, int(selection.max_per_source), "origin"))
    if selection.balance:
        chosen.append(_balance(order))
    if selection.sample is not None:
        chosen.append(_sample(order, int(selection.sample), balanced=selection.balance))
    return chosen


def _rank(reason: str, window: str, most: int, *attributes: str) -> GroupFilter:
    """Keep the first `most` subjects of each window."""
    statement = f"""
    UPDATE subjects SET removed = '{reason}' WHERE subject_id IN (
        SELECT subject_id FROM candidates QUALIFY row_number() OVER ({window}) > {most})
    """
    return GroupFilter((statement,), attributes)


def _balance(order: str) -> GroupFilter:
    """As many of one direction as of the other, in every split."""
    counts = """
    CREATE OR REPLACE TABLE fewest AS
    SELECT split, CASE WHEN count(*) < 2 THEN 0 ELSE min(n) END AS n FROM (
        SELECT split, kind, count(*) AS n FROM candidates GROUP BY split, kind) GROUP BY split
    """
    statement = f"""
    UPDATE subjects SET removed = 'unbalanced' WHERE subject_id IN (
        SELECT c.subject_id FROM candidates c JOIN fewest f ON f.split = c.split
        QUALIFY row_number() OVER (PARTITION BY c.split, c.kind ORDER BY {order}) > any_value(f.n)
                OVER (PARTITION BY c.split))
    """
    return GroupFilter((counts, statement))


def _sample(order: str, n: int, *, balanced: bool) -> GroupFilter:
    """The first `n` by rank; if balanced, taken from each direction in turn."""
    turn = f"row_number() OVER (PARTITION BY kind ORDER BY {order})" if balanced else "0"
    statement = f"""
    UPDATE subjects SET removed = 'not_sampled' WHERE subject_id IN (
        SELECT subject_id FROM (
            SELECT subject_id, {turn} AS turn, row_number() OVER (ORDER BY {order}) AS rank_
            FROM candidates)
        QUALIFY row_number() OVER (ORDER BY turn, rank_) > {n})
    """
    return GroupFilter((statement,))


def _preferences(selection: Selection) -> GroupFilter:
    """Keep the wrong answers that have a correct one beside them (answers.py)."""
    wrong = "removed IS NULL AND last_status <> 'correct'"
    truncated = f"UPDATE subjects SET removed = 'truncated' WHERE {wrong} AND is_cut_off"
    unpaired = f"""
    UPDATE subjects SET removed = 'unpaired' WHERE {wrong} AND (chosen_id IS NULL OR chosen_id IN (
        SELECT subject_id FROM subjects WHERE removed IS NOT NULL))
    """
    other = f"UPDATE subjects SET removed = 'other_teacher' WHERE {wrong} AND NOT same_teacher"
    correct = """
    UPDATE subjects SET removed = 'not_rejected' WHERE removed IS NULL AND last_status = 'correct'
    """
    statements = [] if selection.truncated else [truncated]
    statements += [unpaired, *([] if selection.same_teacher is False else [other]), correct]
    return GroupFilter(tuple(statements))
