"""Teachers in the store, and the parameters that their endpoints refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.migrate import open_store
from annoy_store.db.tables import teachers
from annoy_store.export.export import export
from annoy_store.export.request import ExportRequest
from annoy_store.inference.backends.batch import BatchTeacher
from annoy_store.interfaces import Request
from annoy_store.maintenance.check import check
from annoy_store.maintenance.merge import merge
from annoy_store.records.teachers import (
    OmittedParameters,
    join_omitted,
    omitted_parameters,
    register_teacher,
)
from tests.support import chains

URL = "http://127.0.0.1:9/v1"


def registered(store: Database, **values: object) -> int:
    settings = RunSettings(**{"model": "m", "base_url": URL, **values})
    return register_teacher(store, BatchTeacher(settings, settings.model))


def digests(store: Database) -> list[str]:
    with store.read() as connection:
        return sorted(connection.scalars(select(teachers.c.digest)))


def test_omitted_parameters_are_shared_by_teachers_of_one_model_and_endpoint(
    store: Database,
) -> None:
    ids = [registered(store, temperature=t) for t in (0.1, 0.2)]
    other = registered(store, model="another")
    before = digests(store)
    OmittedParameters(store, ids[0]).add(["temperature"])
    OmittedParameters(store, ids[1]).add({"seed"})
    assert OmittedParameters(store, ids[1]).load() == {"seed", "temperature"}
    assert OmittedParameters(store, other).load() == frozenset()
    assert digests(store) == before
    assert check(store) == []


def test_omitted_parameters_are_left_out_of_batches(sqlite_store: Database) -> None:
    known = OmittedParameters(sqlite_store, registered(sqlite_store))
    known.add(["temperature", "messages"])
    teacher = BatchTeacher(RunSettings(base_url=URL), "m")
    teacher.share_omitted(known)
    body = teacher.encode(Request(1, "transform", [{"role": "user", "content": "hi"}], 1))
    assert b"temperature" not in body
    assert b"messages" in body


def test_merge_joins_omitted_parameters_in_either_direction(
    store: Database, tmp_path: Path
) -> None:
    other = open_store(f"sqlite:///{tmp_path}/other.db", create=True)
    for one, names in ((store, ["seed"]), (other, ["temperature"])):
        OmittedParameters(one, registered(one)).add(names)
    other_only = registered(other, model="another")
    OmittedParameters(other, other_only).add(["top_p"])
    for _ in range(2):
        merge(store, other, ())
        merge(other, store, ())
    for one in (store, other):
        with one.read() as connection:
            assert omitted_parameters(connection, "m", URL) == {"seed", "temperature"}
            assert omitted_parameters(connection, "another", URL) == {"top_p"}
    other.close()


def test_dataset_card_lists_omitted_parameters(sqlite_store: Database, tmp_path: Path) -> None:
    chains.fill(sqlite_store, ("ant",))

    def refuse(connection: Connection) -> None:
        for teacher_id in connection.scalars(select(teachers.c.id)).all():
            join_omitted(connection, teacher_id, ["temperature"])

    export(sqlite_store, ExportRequest("sharegpt", tmp_path / "before"))
    sqlite_store.transact(refuse)
    export(sqlite_store, ExportRequest("sharegpt", tmp_path / "after"))
    title = "Parameters that the endpoint refused"
    assert title not in (tmp_path / "before" / "README.md").read_text()
    card = (tmp_path / "after" / "README.md").read_text()
    assert title in card
    assert "| tracer tracer | temperature |" in card


@pytest.mark.parametrize("text", [None, "", "[]"])
def test_join_omitted_begins_with_nothing(sqlite_store: Database, text: str | None) -> None:
    teacher_id = registered(sqlite_store)
    with sqlite_store.write() as connection:
        connection.execute(teachers.update().values(omitted=text))
        join_omitted(connection, teacher_id, ["b", "a"])
        join_omitted(connection, teacher_id, ["a"])
        stored = select(teachers.c.omitted).where(teachers.c.id == teacher_id)
        assert connection.scalar(stored) == '["a","b"]'
