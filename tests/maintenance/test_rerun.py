"""Rerun: new verdicts beside the old ones, and which of them changed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select, update

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import pair_checks, responses, variants, verdicts
from annoy_store.errors import UsageError
from annoy_store.ingest.sources import IngestOptions, ingest
from annoy_store.maintenance.rerun import (
    checker_variants,
    choose_variants,
    count_compared,
    count_rerun,
    enqueue_rerun,
    select_subjects,
    summarise_changes,
    variant_differences,
    verdict_changes,
)
from annoy_store.tasks.policy import set_policy
from annoy_store.worker.run import run
from tests.support import chains, factories

pytestmark = pytest.mark.slow_on("postgres")

STATUSES = ["correct", "wrong", "no_answer"]


def judge(
    connection: Connection, response: int, variant: int, status: str, mismatch: str | None
) -> None:
    row = {
        "response_id": response,
        "checker": "predict_output",
        "variant_id": variant,
        "status": status,
        "mismatch": mismatch,
        "created_at": "x",
        "feedback": status,
    }
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
        st.tuples(
            *[st.tuples(st.sampled_from([*STATUSES, None]), st.sampled_from(["value", None]))] * 2
        ),
        max_size=5,
    )
)
def test_verdict_changes_are_answers_judged_differently(
    sqlite_store: Database, told: list[Any]
) -> None:
    if not judged_before(sqlite_store):
        chains.fill(sqlite_store, ("ant",))
    with sqlite_store.write_engine.connect() as connection:
        transaction = connection.begin()
        one, two = version(connection, "a", '{"t": 1}', 0), version(connection, "b", '{"t": 2}', 1)
        expected = []
        for response, pair in enumerate(told, 1):
            for variant, (status, mismatch) in zip((one, two), pair, strict=True):
                if status:
                    judge(connection, response, variant, status, mismatch)
            if pair[0][0] and pair[1][0] and pair[0] != pair[1]:
                expected.append((response, pair[0][0], pair[1][0]))
        found = verdict_changes(connection, one, two)
        assert [(f.response_id, f.before, f.after) for f in found] == expected
        assert sum(n for _, _, n in summarise_changes(found)) == len(found)
        assert count_compared(connection, one, two) == sum(bool(a[0] and b[0]) for a, b in told)
        assert [(f.after, f.before) for f in verdict_changes(connection, two, one)] == [
            (f.before, f.after) for f in found
        ]
        transaction.rollback()


def judged_before(store: Database) -> bool:
    with store.read() as connection:
        return connection.scalar(select(responses.c.id).limit(1)) is not None


def test_choose_variants_takes_given_or_newest(store: Database) -> None:
    chains.fill(store, ("ant",))
    with store.write() as connection:
        with pytest.raises(UsageError, match="nothing to compare"):
            choose_variants(checker_variants(connection), None, None)
        version(connection, "one", '{"t": 0}', 0)
        keys = [version(connection, n, f'{{"t": {n}, "same": 1}}', 0) for n in ("1", "2", "3")]
        for key in keys:
            judge(connection, 1, key, "correct", None)
        known = checker_variants(connection)
        [newest] = choose_variants(known, None, None)
        assert [v.id for v in newest] == keys[1:]
        version(connection, "1", '{"t": 1, "same": 1}', 1)
        [(older, newer)] = choose_variants(checker_variants(connection), None, None)
        assert (older.id, newer.id) == (keys[2], keys[0])
        assert variant_differences(older, newer) == {"t": (3, 1)}
        [named] = choose_variants(known, keys[0], keys[1])
        assert [v.id for v in named] == keys[:2]
        other = version(connection, "4", '{"t": 1, "task": "other"}', 0)
        judge(connection, 1, other, "correct", None)
        with pytest.raises(UsageError, match="of two tasks"):
            choose_variants(checker_variants(connection), keys[0], other)
        with pytest.raises(UsageError, match="variant 999 has no verdicts"):
            choose_variants(known, 999, None)


def test_select_subjects_only_reads(store: Database) -> None:
    chains.fill(store, ("ant",))
    assert select_subjects(store, "verify", None) is None
    assert len(select_subjects(store, "verify", "status = 'wrong' -- and a remark") or []) == 3
    assert select_subjects(store, "verify", "1 = 0") == []
    for hostile in ("1=1); DELETE FROM jobs; --", "nothing = 1", "1 = 1) UNION SELECT"):
        with pytest.raises(UsageError):
            select_subjects(store, "verify", hostile)


def test_rerun_with_wider_tolerance_makes_verdicts_and_no_calls(
    sqlite_store: Database, tmp_path: Any
) -> None:
    """End to end with the real sandbox: run, change the policy, rerun verify, continue."""
    (tmp_path / "half.py").write_text(
        '"""Half of a number."""\n\n\ndef half(n: int) -> float:\n    return n / 2\n\n\n'
        "if __name__ == '__main__':\n    print(half(3))\n"
    )
    tracer = RunSettings(teacher="tracer", slots=1)
    ingest(sqlite_store, [tmp_path / "half.py"], IngestOptions())
    run(sqlite_store, tracer)
    with sqlite_store.write() as connection:
        answers = connection.scalars(select(responses.c.id)).all()
        set_policy(connection, {"tolerance": "0.5", "same_integer_part": "false"})
    judged = count_rerun(sqlite_store, "verify")
    assert judged > 0
    some = select_subjects(sqlite_store, "verify", "kind = 'predict_output'") or []
    assert enqueue_rerun(sqlite_store, "verify", some) == len(some) > 0
    assert enqueue_rerun(sqlite_store, "verify") == judged - len(some)
    run(sqlite_store, tracer, ["verify"])
    with sqlite_store.read() as connection:
        pairs = choose_variants(checker_variants(connection), None, None)
        assert {newer.task for _, newer in pairs} == {"predict_output", "predict_input"}
        assert all(older.verdicts == newer.verdicts for older, newer in pairs)
        assert sum(newer.verdicts for _, newer in pairs) == judged
        assert all(newer.active for _, newer in pairs)
        assert sum(count_compared(connection, a.id, b.id) for a, b in pairs) == judged
        changes = [f for a, b in pairs for f in verdict_changes(connection, a.id, b.id)]
        changed = {f.response_id for f in changes}
        assert {f.before for f in changes} <= {"wrong"}
        assert connection.scalars(select(responses.c.id)).all() == answers
        newest = [newer.id for _, newer in pairs]
        current = select(verdicts.c.id).where(verdicts.c.variant_id.in_(newest))
        told = connection.exec_driver_sql("SELECT id FROM v_current_verdicts").all()
        assert {row[0] for row in told} == set(connection.scalars(current))
    assert changed <= set(answers)
    assert enqueue_rerun(sqlite_store, "verify") == 0


def test_rerun_of_generate_runs_all_pairs_again_whatever_they_came_from(
    sqlite_store: Database,
) -> None:
    """Nothing of ours changed since; the interpreter may have."""
    sample = factories.sample(generator=None)
    imported = [factories.io_pair(sample, {"x": x}, 2 * x, x) for x in range(3)]
    with sqlite_store.write() as connection:
        insert_rows(
            connection, [*imported, factories.sample("def main_solution(x):\n    return x\n")]
        )

    def check() -> None:
        run(sqlite_store, RunSettings(teacher="tracer", slots=1), ["generate"])

    def checks_of_pairs() -> Counter[int]:
        with sqlite_store.read() as connection:
            return Counter(connection.scalars(select(pair_checks.c.io_pair_id)))

    check()
    assert set(checks_of_pairs().values()) == {1}
    assert len(checks_of_pairs()) == 13
    assert count_rerun(sqlite_store, "generate") == 2
    assert enqueue_rerun(sqlite_store, "generate") == 2
    assert (count_rerun(sqlite_store, "generate"), enqueue_rerun(sqlite_store, "generate")) == (
        0,
        0,
    )
    check()
    assert set(checks_of_pairs().values()) == {2}
    assert enqueue_rerun(sqlite_store, "generate", [1]) == 1
    assert enqueue_rerun(sqlite_store, "parse") == 0
