"""A random row matches its selector."""

from __future__ import annotations

from random import Random

import pytest
from sqlalchemy import insert, select

from annoy_store.analysis.random_row import random_row
from annoy_store.db.engine import Database
from annoy_store.db.tables import jobs, sources, verdicts
from annoy_store.errors import UsageError
from tests.support import chains, factories

pytestmark = pytest.mark.slow_on("postgres")


def fill(store: Database) -> None:
    with store.write() as connection:
        for name, statuses in (("cat", ["correct"]), ("dog", ["wrong", "correct"])):
            made = chains.sampled(name)
            pair = chains.pairs_of(made)[0]
            answers = [(f"{name} {i}", status) for i, status in enumerate(statuses)]
            factories.write_all(connection, [*made, *chains.chain(connection, pair, answers)])
        source = connection.scalar(select(sources.c.id).limit(1))
        row = {"stage": "transform", "subject_id": source, "variant_id": 1, "state": "rejected"}
        connection.execute(insert(jobs).values(**row, reason="too_long"))


def test_random_row_matches_the_selector(store: Database) -> None:
    fill(store)
    with store.read() as connection:
        status = {int(v.id): v.status for v in connection.execute(select(verdicts))}
        for seed in range(12):
            dice = Random(seed)
            kind, _, key = random_row(connection, "wrong", dice).partition(":")
            assert (kind, status[int(key)]) == ("verdict", "wrong")
            assert int(random_row(connection, None, dice).partition(":")[2]) in status
            assert random_row(connection, "sample", dice) in {"sample:1", "sample:2"}
            assert random_row(connection, "pair", dice).startswith("io_pair:")
            assert random_row(connection, "too_long", dice) == random_row(
                connection, "rejected", dice
            )
            assert random_row(connection, "too_long", dice).startswith("source:")


def test_random_row_reaches_every_matching_row(store: Database) -> None:
    fill(store)
    with store.read() as connection:
        seen = {random_row(connection, "correct", Random(seed)) for seed in range(40)}
        right = connection.scalars(select(verdicts.c.id).where(verdicts.c.status == "correct"))
        assert seen == {f"verdict:{key}" for key in right}


def test_random_row_without_a_match_is_an_error(sqlite_store: Database) -> None:
    with (
        sqlite_store.read() as connection,
        pytest.raises(UsageError, match="no row matches 'crash'"),
    ):
        random_row(connection, "crash", Random(1))
