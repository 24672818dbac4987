"""plan_more_calls: each call is planned once."""

from __future__ import annotations

from sqlalchemy import func, select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import calls
from annoy_store.records.prompts import plan_more_calls
from tests.support import chains, factories


def _two_questions() -> list[factories.NewRow]:
    pair = factories.io_pair(factories.sample(), {"x": 1}, 2)
    first = factories.asked("how much?", "predict_output", "a", io_pair_id=pair)
    return first + factories.asked("of what?", "predict_input", "b", io_pair_id=pair)


def _count(store: Database) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(calls)) or 0


def test_plan_more_calls_plans_each_call_once(store: Database) -> None:
    kinds = ["predict_output", "predict_input"]
    with store.write() as connection:
        insert_rows(connection, _two_questions())
        assert plan_more_calls(connection, kinds, 3) == {"predict_output": 2, "predict_input": 2}
        assert plan_more_calls(connection, kinds, 3) == {"predict_output": 0, "predict_input": 0}
    assert _count(store) == 6


def test_plan_more_calls_pins_beside_unpinned_calls(store: Database) -> None:
    from annoy_store.db.tables import teachers
    from annoy_store.interfaces import NewRow

    row = {"digest": "t", "backend": "b", "model": "m", "base_url": "", "parameters": "{}"}
    with store.write() as connection:
        insert_rows(connection, _two_questions())
        [teacher] = insert_rows(connection, [NewRow(teachers, row)])["teachers"]
        assert plan_more_calls(connection, ["predict_output"], 1, teacher) == {"predict_output": 1}
    assert _count(store) == 3


def test_plan_more_calls_for_a_later_turn(store: Database) -> None:
    chains.fill(store, ["ant"])
    before = _count(store)
    with store.write() as connection:
        assert plan_more_calls(connection, ["predict_output", "predict_input"], 3, number=2) == {
            "predict_output": 2,
            "predict_input": 2,
        }
        assert plan_more_calls(connection, ["predict_output"], 3, number=3) == {"predict_output": 0}
    assert _count(store) == before + 4
