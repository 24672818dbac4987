"""A run against a provider that breaks answers off: all is kept, and nothing is asked again."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.maintenance.check import check
from annoy_store.worker.run import run
from tests.integration.test_interrupted_calls import kept, plan_calls
from tests.support.provider import Provider


@pytest.mark.parametrize("fault", ["error_beside", "reasoning_only", "think_open", "stream_cut"])
def test_run_keeps_incomplete_answers_and_pays_no_third_time(store: Database, fault: str) -> None:
    plan_calls(store, 3)
    with Provider(fault=fault).serving() as provider:
        provider.chat.keep_bodies = True
        settings = RunSettings(base_url=provider.url, model="sim", tries=5)
        for _ in range(2):
            run(store, settings, ["complete"])
        assert len({body["seed"] for body in provider.chat.bodies}) == 6
        assert provider.stats()["paid"] == 6
    assert kept(store)["jobs"] == {"done": 3}
    with store.read() as connection:
        answers = connection.execute(text("SELECT finish_reason, text, reasoning FROM responses"))
        for finish, said, thought in answers:
            assert (finish, bool(said or thought)) == ("incomplete", True)
        beside = connection.execute(text("SELECT status, text IS NULL FROM attempts")).all()
        assert sorted((s, bool(none)) for s, none in beside) == [
            *[("ok", True)] * 3,
            *[("retry", False)] * 3,
        ]
    assert check(store) == []


def test_run_takes_another_seed_for_a_call_that_was_paid_for_before(sqlite_store: Database) -> None:
    plan_calls(sqlite_store, 1)
    with Provider(fault="blank").serving() as provider:
        provider.chat.keep_bodies = True
        settings = RunSettings(base_url=provider.url, model="sim")
        run(sqlite_store, settings, ["complete"])
        with sqlite_store.write() as connection:
            connection.execute(text("UPDATE jobs SET state = 'pending', reason = NULL"))
        provider.behave(fault="ok")
        run(sqlite_store, settings, ["complete"])
        assert len({body["seed"] for body in provider.chat.bodies}) == 3
    assert kept(sqlite_store)["jobs"] == {"done": 1}
