"""Pairs of an older store are compared with their questions, and asked about afterwards."""

from __future__ import annotations

from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import io_pairs, jobs, pair_checks, variants
from annoy_store.interfaces import NewRow
from annoy_store.maintenance import fill_shown as module
from annoy_store.maintenance.fill_shown import fill_shown
from annoy_store.queue.enqueue import enqueue_all
from annoy_store.queue.variants import load_plan
from annoy_store.stages import PIPELINE
from tests.support import factories

CODE = (
    "def main_solution(x):\n    '''\n    >>> main_solution(1)\n    2\n    '''\n    return x * 2\n"
)


def fill(store: Database) -> None:
    sample = factories.sample(CODE, problem="Take {'x': 2}.")
    variant = NewRow(
        variants, {"stage": "generate", "digest": "v", "description": "{}", "active": 0}
    )
    values = {"variant_id": variant, "status": "stable", "execution_id": None}
    values |= {"lines_executed": 1, "shown": None}
    pairs = [factories.io_pair(sample, {"x": x}, 2 * x, x) for x in range(5)]
    with store.write() as connection:
        rows = [NewRow(pair_checks, values | {"io_pair_id": pair}) for pair in pairs]
        insert_rows(connection, rows)


def words(store: Database) -> dict[str, str | None]:
    with store.read() as connection:
        chosen = select(io_pairs.c.input, pair_checks.c.shown).join(
            io_pairs, io_pairs.c.id == pair_checks.c.io_pair_id
        )
        return {row[0]: row[1] for row in connection.execute(chosen)}


def predictions(store: Database) -> int:
    with store.write() as connection:
        enqueue_all(connection, load_plan(connection, PIPELINE))
        return len(connection.execute(select(jobs).where(jobs.c.stage == "predict")).all())


def test_fill_shown_compares_every_pair_page_by_page(store: Database, monkeypatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    fill(store)
    seen: list[int] = []
    assert fill_shown(store, seen.append) == 5
    assert seen == [2, 4, 5]
    found = words(store)
    assert found == {
        '{"x":0}': "no", '{"x":1}': "call", '{"x":2}': "input", '{"x":3}': "no", '{"x":4}': "no"
    }  # fmt: skip
    assert fill_shown(store) == 0


def test_fill_shown_lets_predict_examine_the_pairs_again(store: Database) -> None:
    fill(store)
    assert predictions(store) == 0
    fill_shown(store)
    assert predictions(store) == 4 + 5  # three questions each, and those that show the answer
