"""Rules that compare subjects with each other: one per prompt, per source, balance, sample, pairs.

They look at what the other rules left, rank it by a hash of content and a seed, and turn down
what ranks too low. What is published already ranks first.
"""

from __future__ import annotations

import duckdb

from annoy_store.export.filters import Selection
from annoy_store.export.format_file import Format


def required_attributes(selection: Selection) -> list[str]:
    """The attributes that these rules look at."""
    return ["origin"] if selection.max_per_source else []


def apply_group_filters(
    duck: duckdb.DuckDBPyConnection, form: Format, selection: Selection
) -> None:
    """Turn down, in `subjects`, what has no place beside the others; reads `candidates`."""
    order = f"published DESC, md5_number('{int(selection.seed)}/' || place)"
    if form.record == "preference":
        _pair(duck)
    if form.record == "prompt" or selection.one_per_prompt:
        best = f"published DESC, last_status = 'correct' DESC NULLS LAST, turns, {order}"
        _rank(duck, "same_prompt", f"PARTITION BY prompt_id ORDER BY {best}", "1")
    if selection.max_per_source:
        source = "coalesce('s' || source_id, sample_id::VARCHAR)"
        ranked = f"PARTITION BY {source} ORDER BY {order}"
        _rank(duck, "source_full", ranked, str(int(selection.max_per_source)))
    if selection.balance:
        _balance(duck, order)
    if selection.sample is not None:
        _sample(duck, order, int(selection.sample), balanced=selection.balance)


def _rank(duck: duckdb.DuckDBPyConnection, reason: str, window: str, most: str) -> None:
    duck.execute(
        f"""
        UPDATE subjects SET removed = ? WHERE subject_id IN (
            SELECT subject_id FROM candidates QUALIFY row_number() OVER ({window}) > {most})
        """,
        [reason],
    )


def _balance(duck: duckdb.DuckDBPyConnection, order: str) -> None:
    """As many of one direction as of the other, in every split."""
    duck.execute("""
    CREATE OR REPLACE TABLE fewest AS
    SELECT split, CASE WHEN count(*) < 2 THEN 0 ELSE min(n) END AS n FROM (
        SELECT split, kind, count(*) AS n FROM candidates GROUP BY split, kind) GROUP BY split
    """)
    duck.execute(f"""
    UPDATE subjects SET removed = 'unbalanced' WHERE subject_id IN (
        SELECT c.subject_id FROM candidates c JOIN fewest f ON f.split = c.split
        QUALIFY row_number() OVER (PARTITION BY c.split, c.kind ORDER BY {order}) > any_value(f.n)
                OVER (PARTITION BY c.split))
    """)


def _sample(duck: duckdb.DuckDBPyConnection, order: str, n: int, *, balanced: bool) -> None:
    """The first `n` by rank; if balanced, taken from each direction in turn."""
    turn = f"row_number() OVER (PARTITION BY kind ORDER BY {order})" if balanced else "0"
    duck.execute(f"""
    UPDATE subjects SET removed = 'not_sampled' WHERE subject_id IN (
        SELECT subject_id FROM (
            SELECT subject_id, {turn} AS turn, row_number() OVER (ORDER BY {order}) AS rank_
            FROM candidates)
        QUALIFY row_number() OVER (ORDER BY turn, rank_) > {n})
    """)


# A wrong first answer needs a right one to the same question: another first answer if there is
# one, because it stands alone, else the chain's own revision.
def _pair(duck: duckdb.DuckDBPyConnection) -> None:
    duck.execute("""
    CREATE TABLE couples AS
    SELECT w.subject_id, w.subject_id AS rejected_id,
           coalesce(arg_min(r.subject_id, md5_number(concat_ws('/', w.place, r.place))),
                    any_value(CASE WHEN w.last_status = 'correct' THEN w.last_response_id END))
               AS chosen_id
    FROM candidates w
    LEFT JOIN candidates r ON r.prompt_id = w.prompt_id AND r.io_pair_id = w.io_pair_id
         AND r.status_1 = 'correct' AND r.subject_id <> w.subject_id
    WHERE w.status_1 <> 'correct' GROUP BY w.subject_id
    """)
    duck.execute("""
    UPDATE subjects SET rejected_id = c.rejected_id, chosen_id = c.chosen_id
    FROM couples c WHERE c.subject_id = subjects.subject_id
    """)
    duck.execute(
        "UPDATE subjects SET removed = 'unpaired' WHERE removed IS NULL AND chosen_id IS NULL"
    )
