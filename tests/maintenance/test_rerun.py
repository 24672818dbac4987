"""Old answers judged again: new verdicts beside the old, and exactly what they changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select, update

from annoy_store.config import RunSettings
from annoy_store.db.engine import Store
from annoy_store.db.tables import responses, variants, verdicts
from annoy_store.errors import UsageError
from annoy_store.ingest.sources import Wish, ingest
from annoy_store.maintenance.rerun import (
    compared,
    count_redone,
    differences,
    flips,
    judges,
    pick,
    redo,
    subjects,
    summed,
)
from annoy_store.records.policy import set_policy
from annoy_store.worker.run import run
from tests.support import chains

STATUSES = ["correct", "wrong", "no_answer"]


def judge(
    connection: Connection, response: int, variant: int, status: str, mismatch: str | None
) -> None:
    row = {"response_id": response, "checker": "predict_output", "variant_id": variant,
           "status": status, "mismatch": mismatch, "created_at": "x", "feedback": status}  # fmt: skip
    connection.execute(insert(verdicts).values(row))


def version(connection: Connection, name: str, description: str, active: int) -> int:
    key = chains.verify_variant(connection, name, active)
    mine = variants.c.id == key
    connection.execute(update(variants).where(mine).values(description=description, active=active))
    return key


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@hypothesis_given(
    st.lists(
        st.tuples(*[st.tuples(st.sampled_from([*STATUSES, None]),
                              st.sampled_from(["value", None]))] * 2), max_size=5,
    )
)  # fmt: skip
def test_flips_are_the_answers_judged_differently(sqlite_store: Store, told: list[Any]) -> None:
    if not judged_before(sqlite_store):
        chains.fill(sqlite_store, ("ant",))
    with sqlite_store.writing.connect() as connection:
        transaction = connection.begin()
        one, two = version(connection, "a", '{"t": 1}', 0), version(connection, "b", '{"t": 2}', 1)
        expected = []
        for response, pair in enumerate(told, 1):
            for variant, (status, mismatch) in zip((one, two), pair, strict=True):
                if status:
                    judge(connection, response, variant, status, mismatch)
            if pair[0][0] and pair[1][0] and pair[0] != pair[1]:
                expected.append((response, pair[0][0], pair[1][0]))
        found = flips(connection, one, two)
        assert [(f.response_id, f.before, f.after) for f in found] == expected
        assert sum(n for _, _, n in summed(found)) == len(found)
        assert compared(connection, one, two) == sum(bool(a[0] and b[0]) for a, b in told)
        assert [(f.after, f.before) for f in flips(connection, two, one)] == [
            (f.before, f.after) for f in found
        ]
        transaction.rollback()


def judged_before(store: Store) -> bool:
    with store.read() as connection:
        return connection.scalar(select(responses.c.id).limit(1)) is not None


def test_the_variants_to_compare_are_chosen_or_named(store: Store) -> None:
    chains.fill(store, ("ant",))
    with store.write() as connection:
        with pytest.raises(UsageError, match="nothing to compare"):
            pick(judges(connection), None, None)
        version(connection, "one", '{"t": 0}', 0)
        keys = [version(connection, n, f'{{"t": {n}, "same": 1}}', 0) for n in ("1", "2", "3")]
        for key in keys:
            judge(connection, 1, key, "correct", None)
        known = judges(connection)
        assert [v.id for v in pick(known, None, None)] == keys[1:]
        version(connection, "1", '{"t": 1, "same": 1}', 1)
        older, newer = pick(judges(connection), None, None)
        assert (older.id, newer.id) == (keys[2], keys[0])
        assert differences(older, newer) == {"t": (3, 1)}
        assert [v.id for v in pick(known, keys[0], keys[1])] == keys[:2]
        with pytest.raises(UsageError, match="no variant 999"):
            pick(known, 999, None)


def test_a_condition_only_reads(store: Store) -> None:
    chains.fill(store, ("ant",))
    assert subjects(store, "verify", None) is None
    assert len(subjects(store, "verify", "status = 'wrong' -- and a remark") or []) == 3
    assert subjects(store, "verify", "1 = 0") == []
    for hostile in ("1=1); DELETE FROM jobs; --", "nothing = 1", "1 = 1) UNION SELECT"):
        with pytest.raises(UsageError):
            subjects(store, "verify", hostile)


def test_a_wider_tolerance_makes_new_verdicts_and_no_calls(
    sqlite_store: Store, tmp_path: Any
) -> None:
    """The whole way, with the real sandbox: run, change the rule, judge again, run on."""
    (tmp_path / "half.py").write_text(
        '"""Half of a number."""\n\n\ndef half(n: int) -> float:\n    return n / 2\n\n\n'
        "if __name__ == '__main__':\n    print(half(3))\n"
    )
    tracer = RunSettings(teacher="tracer", slots=1)
    ingest(sqlite_store, [tmp_path / "half.py"], Wish())
    run(sqlite_store, tracer)
    with sqlite_store.write() as connection:
        answers = connection.scalars(select(responses.c.id)).all()
        set_policy(connection, {"tolerance": "0.5", "same_integer_part": "false"})
    judged = count_redone(sqlite_store, "verify")
    assert judged > 0
    some = subjects(sqlite_store, "verify", "kind = 'predict_output'") or []
    assert redo(sqlite_store, "verify", some) == len(some) > 0
    assert redo(sqlite_store, "verify") == judged - len(some)
    run(sqlite_store, tracer, ["verify"])
    with sqlite_store.read() as connection:
        older, newer = pick(judges(connection), None, None)
        assert older.verdicts == newer.verdicts == judged
        assert newer.active
        assert compared(connection, older.id, newer.id) == judged
        changed = {f.response_id for f in flips(connection, older.id, newer.id)}
        assert {f.before for f in flips(connection, older.id, newer.id)} <= {"wrong"}
        assert connection.scalars(select(responses.c.id)).all() == answers
        current = select(verdicts.c.id).where(verdicts.c.variant_id == newer.id)
        told = connection.exec_driver_sql("SELECT id FROM v_current_verdicts").all()
        assert {row[0] for row in told} == set(connection.scalars(current))
    assert changed <= set(answers)
    assert redo(sqlite_store, "verify") == 0
