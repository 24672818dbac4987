"""Views: which check of a pair and which verdict on an answer is the current one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text

from annoy_store.analysis.snapshot.query import open_snapshot
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.states import CHECK_STATUSES
from annoy_store.db.tables import io_pairs, pair_checks, verdicts
from annoy_store.records.queries import current_check, current_verdict
from annoy_store.sandbox.results import REPORTED_OUTCOMES
from tests.support import chains

STATUSES = [*CHECK_STATUSES, "missing_module", "repeated", "infrastructure"]
VARIANTS = 5


def current(checks: list[tuple[int, str]]) -> str | None:
    """The newest status that says something about the pair; without one, the newest."""
    said = [status for _, status in checks if status in CHECK_STATUSES]
    return (said or [status for _, status in checks] or [None])[-1]


def run_current_check(
    store: Database, checks: list[tuple[int, str]], *, snapshot: bool = False
) -> None:
    """Write checks of one pair, each (variant, status), and compare all that say which counts."""
    with store.write() as connection:
        connection.execute(delete(pair_checks))
        if connection.scalar(select(io_pairs.c.id)) is None:
            insert_rows(connection, chains.sampled("ant", pairs=1))
        variants = [chains.generate_variant(connection, str(n)) for n in range(VARIANTS)]
        pair = connection.scalar(select(io_pairs.c.id))
        for variant, status in checks:
            values = {"io_pair_id": pair, "variant_id": variants[variant], "status": status}
            connection.execute(insert(pair_checks).values(values))
    expected = [current(checks)] if checks else []
    with store.read() as connection:
        view = connection.execute(text("SELECT status FROM v_current_pairs")).scalars().all()
        queried = connection.scalars(
            select(pair_checks.c.status).join(io_pairs).where(pair_checks.c.id == current_check())
        ).all()
    assert (list(view), list(queried)) == (expected, expected)
    if snapshot:
        with open_snapshot(store) as duck:
            found = duck.execute("SELECT status FROM v_current_pairs").fetchall()
        assert [status for (status,) in found] == expected


CHECKS = st.lists(
    st.tuples(st.integers(0, VARIANTS - 1), st.sampled_from(STATUSES)),
    max_size=VARIANTS,
    unique_by=lambda check: check[0],
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(CHECKS)
def test_current_check_is_the_newest_that_says_something(
    sqlite_store: Database, checks: list[tuple[int, str]]
) -> None:
    run_current_check(sqlite_store, checks)


@pytest.mark.slow
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(CHECKS)
def test_current_check_is_the_newest_that_says_something_at_length(
    store: Database, checks: list[tuple[int, str]]
) -> None:
    run_current_check(store, checks)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["stable", "missing_module"], "stable"),
        (["unstable", "missing_module"], "unstable"),
        (["stable", "unstable", "missing_module"], "unstable"),
        (["unstable", "stable"], "stable"),
        (["missing_module"], "missing_module"),
        (["stable", "wrong_output"], "wrong_output"),
    ],
)
def test_current_check_is_kept_by_what_says_nothing(
    store: Database,
    statuses: list[str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    checks = list(enumerate(statuses))
    assert current(checks) == expected
    run_current_check(store, checks, snapshot=True)


def test_check_statuses_are_the_outcomes_of_the_sandbox() -> None:
    """A new outcome has to be said to tell of the pair, or not to."""
    assert REPORTED_OUTCOMES - {"ok", "repeated", "drawn", "missing_module"} <= set(CHECK_STATUSES)


def test_current_verdict_is_that_of_the_active_checker(store: Database) -> None:
    chains.fill(store, ["ant"])
    with store.write() as connection:
        answer = connection.scalar(select(verdicts.c.response_id).limit(1)) or 0
        insert_rows(connection, [chains.verdict(connection, answer, "wrong", "two")])
        chains.verify_variant(connection, "two")
    with store.read() as connection:
        view = connection.execute(text("SELECT id FROM v_current_verdicts ORDER BY 1")).scalars()
        queried = connection.scalars(
            select(verdicts.c.id).where(verdicts.c.id == current_verdict()).order_by(verdicts.c.id)
        )
        assert list(view) == list(queried)


def test_chains_have_one_row_whatever_their_prompts_were_asked_for(store: Database) -> None:
    chains.fill(store, ["ant", "bee"])
    query = text("SELECT chain_id, kind, turns, status_1, status_2, last_status FROM v_chains")
    with store.read() as connection:
        before = sorted(map(tuple, connection.execute(query)))
        costs = connection.execute(text("SELECT kind, turns FROM v_chains")).all()
    chains.share_prompts(store)
    with store.read() as connection:
        assert sorted(map(tuple, connection.execute(query))) == before
        assert len(costs) == 6
        (answers,) = connection.execute(text("SELECT COUNT(*) FROM v_answers")).one()
    assert answers == 2 * 10


def test_chains_keep_their_answer_when_a_revision_is_asked_again(store: Database) -> None:
    """The first answer counts, or the one that the next turn revises."""
    with store.write() as connection:
        rows = chains.sampled("ant")
        pair, other = chains.pairs_of(rows)
        rows += chains.chain(connection, pair, [("1", "wrong"), ("2", "wrong"), ("3", "correct")])
        rows += chains.chain(connection, other, [("1", "wrong"), ("2", "correct")])
        insert_rows(connection, rows)
    query = text(
        "SELECT response_1_id, response_2_id, status_2, turns, last_response_id, last_status, closed "
        "FROM v_chains ORDER BY 1"
    )
    with store.read() as connection:
        before = connection.execute(query).all()
    chains.add_siblings(store)
    with store.read() as connection:
        now = {tuple(row) for row in connection.execute(query)}
    assert {tuple(row) for row in before} <= now
    assert {row.turns for row in before} == {2, 3}
