"""Merging A into B and B into A gives the same content, any number of times."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, settings
from hypothesis import given as examples
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select

from annoy_store.db.engine import Database
from annoy_store.db.hidden import hidden_ids, ids_under_rules
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import open_store
from annoy_store.db.sql import insert_new
from annoy_store.db.tables import (
    annotation_log,
    attempts,
    calls,
    jobs,
    prompts,
    purged_digests,
    responses,
    samples,
    sources,
    takedowns,
    turns,
    variants,
    verdicts,
)
from annoy_store.errors import UsageError
from annoy_store.export.export import export
from annoy_store.export.request import ExportRequest
from annoy_store.export.splits import SplitConfig
from annoy_store.ingest.takedowns import lift, take_down, takedown_rules
from annoy_store.interfaces import Attempt, NewRow
from annoy_store.maintenance.check import check
from annoy_store.maintenance.fingerprint import content_differences, content_digests
from annoy_store.maintenance.merge import merge
from annoy_store.maintenance.purge import purge
from annoy_store.queue.counters import NO_WORKER, add_to_counters
from annoy_store.records.annotations import Mark, remove_mark, set_mark
from annoy_store.records.prompts import plan_more_calls
from annoy_store.records.responses import new_attempt
from annoy_store.stages import PIPELINE
from tests.support import chains, factories

NAMES = ("ant", "bee", "cow")
REPOS = ("red", "blue")
KIND = "predict_output"
MARKED = {
    "source": sources.c.id,
    "sample": samples.c.id,
    "prompt": prompts.c.id,
    "response": responses.c.id,
    "verdict": verdicts.c.id,
}
UNANSWERED = select(func.min(calls.c.id)).where(
    ~select(responses.c.id).where(responses.c.call_id == calls.c.id).exists()
)


class Side:
    """One of two stores, and what is done to it through the code of the product."""

    def __init__(self, store: Database, folder: Path, name: str) -> None:
        self.store, self._folder, self._name, self._n = store, folder, name, 0

    def do(self, step: tuple[Any, ...]) -> None:
        self._n += 1
        getattr(self, step[0])(*step[1:])

    def ask(self, name: str, repo: str, word: str) -> None:
        """A source with its sample, pairs and a chain whose answers depend on `word`."""
        with self.store.write() as connection:
            rows = chains.sampled(name, repo=repo)
            made = insert_rows(connection, rows)["samples"][0]
            if made in hidden_ids(connection)["sample"]:
                return
            if connection.scalar(select(responses.c.id).where(self._about(made)).limit(1)):
                return
            pair = chains.pairs_of(rows)[0]
            answers = [(f"{word} on {name}", "wrong"), (f"{word} again", "correct")]
            found = [chains.checked(connection, pair)]
            found += chains.chain(connection, pair, answers)
            for key in insert_rows(connection, found)["responses"]:
                self._paid(connection, key, word)

    @staticmethod
    def _about(sample_id: int) -> Any:
        asked = select(calls.c.id).join(turns, turns.c.prompt_id == calls.c.prompt_id)
        return responses.c.call_id.in_(asked.where(turns.c.sample_id == sample_id))

    def _paid(self, connection: Connection, response_id: int, word: str) -> None:
        row = connection.execute(select(responses).where(responses.c.id == response_id)).one()
        tried = Attempt("ok", f"{self._name} {word}", 1.5, http_status=200, completion_tokens=7)
        insert_rows(connection, [new_attempt(tried, row.call_id, row.teacher_id, 3)])
        self._end(connection, row.call_id, "done")

    def give_up(self, state: str) -> None:
        """The first call without an answer has a job that ended badly."""
        with self.store.write() as connection:
            if call := connection.scalar(UNANSWERED):
                self._end(connection, call, state)

    @staticmethod
    def _end(connection: Connection, call_id: int, state: str) -> None:
        row = {"stage": "complete", "digest": "c", "description": "{}", "active": 1, "task": ""}
        variant = insert_rows(connection, [NewRow(variants, row)])["variants"][0]
        job = {"stage": "complete", "subject_id": call_id, "variant_id": variant, "state": state}
        if insert_new(connection, jobs, [job | {"reason": None if state == "done" else "why"}]):
            add_to_counters(connection, NO_WORKER, {("complete", state): 1})

    def plan(self, n: int) -> None:
        with self.store.write() as connection:
            plan_more_calls(connection, [KIND], n)

    def fail(self) -> None:
        """A failed attempt of the first call without an answer."""
        with self.store.write() as connection:
            if call := connection.scalar(UNANSWERED):
                tried = Attempt("failed", f"{self._name} {self._n}", 2.5, error_message="no")
                insert_rows(connection, [new_attempt(tried, call, 0, 3)])

    def found_in(self, name: str, repo: str) -> None:
        with self.store.write() as connection:
            source = chains.sampled(name)[0].values["source_id"]
            insert_rows(connection, [factories.origin(source, repo, f"{name}.py")])

    def down(self, repo: str) -> None:
        with self.store.write() as connection:
            try:
                take_down(connection, "repo", repo, "asked")
            except UsageError:
                return

    def lift(self, repo: str) -> None:
        with self.store.write() as connection:
            try:
                lift(connection, "repo", repo)
            except UsageError:
                return

    def purge(self, repo: str) -> None:
        self.down(repo)
        with self.store.read() as connection:
            rules = [r for r in takedown_rules(connection) if r.value == repo and not r.lifted_at]
        purge(self.store, rules[-1].id)

    def mark(self, kind: str, of: str, value: str, is_set: bool) -> None:
        """Set or remove a mark of the newest row of a kind, as a reader does."""
        change = set_mark if is_set else remove_mark
        with suppress(UsageError), self.store.write() as connection:
            key = connection.scalar(select(func.max(MARKED[kind])))
            if key is not None:
                change(connection, kind, key, Mark(of, value), self._name)

    def export(self) -> None:
        split = SplitConfig(0.5, 0.25, 0.25)
        folder = self._folder / f"{self._name}{self._n}"
        export(self.store, ExportRequest("codeio", folder, split_config=split))


STEPS = st.one_of(
    st.tuples(
        st.just("ask"), st.sampled_from(NAMES), st.sampled_from(REPOS), st.sampled_from("xy")
    ),
    st.tuples(st.just("plan"), st.integers(1, 3)),
    st.tuples(st.just("fail")),
    st.tuples(st.just("found_in"), st.sampled_from(NAMES), st.sampled_from(REPOS)),
    st.tuples(st.sampled_from(["down", "lift", "purge"]), st.sampled_from(REPOS)),
    st.tuples(
        st.just("mark"),
        st.sampled_from(sorted(MARKED)),
        st.sampled_from(["flag", "tag", "note"]),
        st.sampled_from("uv"),
        st.booleans(),
    ),
    st.tuples(st.just("export")),
    st.tuples(st.just("give_up"), st.sampled_from(["failed", "rejected"])),
)
HISTORY = st.lists(STEPS, max_size=7)
ASK = ("ask", "ant", "red", "x")
MARK = ("mark", "response", "tag", "u", True)


def content(store: Database) -> dict[str, Counter[Any]]:
    """What a store holds, whatever its ids are, with its takedowns and what they hide."""
    with store.read() as connection:
        found: dict[str, Counter[Any]] = dict(content_digests(connection, PIPELINE))
        rules = connection.execute(
            select(
                takedowns.c.digest, takedowns.c.lifted_at.is_(None), takedowns.c.purged_at.is_(None)
            )
        )
        found["takedowns"] = Counter(map(tuple, rules))
        purged = select(purged_digests.c.kind, purged_digests.c.digest)
        found["purged_digests"] = Counter(map(tuple, connection.execute(purged)))
        current = "SELECT mark, value, author, created_at, kind FROM v_annotations"
        found["marks"] = Counter(map(tuple, connection.exec_driver_sql(current)))
        of_chains = "SELECT kind, tags, status_1 FROM v_chains"
        found["tags"] = Counter(map(tuple, connection.exec_driver_sql(of_chains)))
        values = select(annotation_log.c.digest, annotation_log.c.value)
        found["marked"] = Counter(map(tuple, connection.execute(values)))
        hidden = hidden_ids(connection)
        assert hidden == ids_under_rules(connection)
        for kind, table in (("source", sources), ("sample", samples)):
            digests = connection.scalars(select(table.c.digest).where(table.c.id.in_(hidden[kind])))
            found[f"hidden {kind}"] = Counter(digests)
        return found


def legible(store: Database) -> str:
    """All texts in the store."""
    columns = (sources.c.content, samples.c.refcode, prompts.c.messages, responses.c.text)
    with store.read() as connection:
        texts = [t for c in (*columns, verdicts.c.feedback) for t in connection.scalars(select(c))]
    return "\n".join(texts)


def paid(store: Database) -> Counter[str]:
    with store.read() as connection:
        return Counter(connection.scalars(select(attempts.c.digest)))


def holds_in_every_order(
    open_copy: Callable[[str, str], Database], ours: Side, theirs: Side
) -> None:
    """Merge copies of both into each other, and again, and compare."""
    left, right = open_copy("left", ours._name), open_copy("right", theirs._name)
    merge(left, theirs.store, PIPELINE)
    merge(right, ours.store, PIPELINE)
    assert content_differences(content(left), content(right)) == {}
    assert paid(left) == paid(right) == paid(ours.store) | paid(theirs.store)
    once = content(left)
    for into, of in ((left, right), (right, left), (left, ours.store)):
        assert +merge(into, of, PIPELINE).new == {}
        assert content_differences(once, content(into)) == {}
    for store in (left, right):
        assert check(store) == []
        with store.read() as connection:
            names = purged_names(connection)
        assert [name for name in names if f"# {name}\n" in legible(store)] == []
        store.close()


def purged_names(connection: Connection) -> list[str]:
    of = {chains.sampled(name)[0].values["source_id"].values["digest"]: name for name in NAMES}
    chosen = select(purged_digests.c.digest).where(purged_digests.c.kind == "source")
    return [of[digest] for digest in connection.scalars(chosen) if digest in of]


@contextmanager
def two_sides(template: Path, folder: Path) -> Iterator[tuple[Side, Side, Any]]:
    """Two empty SQLite stores, and a function that opens copies of them."""
    folder.mkdir(parents=True)
    opened: list[Database] = []

    def open_copy(name: str, of: str) -> Database:
        source = folder / f"{of}.db" if of else template
        for store in opened:
            with store.write_engine.connect() as c:
                c.connection.dbapi_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
        shutil.copy(source, folder / f"{name}.db")
        store = open_store(f"sqlite:///{folder}/{name}.db")
        opened.append(store)
        return store

    sides = [Side(open_copy(name, ""), folder, name) for name in ("a", "b")]
    try:
        yield sides[0], sides[1], open_copy
    finally:
        for store in opened:
            store.close()
        shutil.rmtree(folder)


def run_history(
    template: Path, folder: Path, common: list[Any], a: list[Any], b: list[Any]
) -> None:
    with two_sides(template, folder) as (ours, theirs, open_copy):
        for step in common:
            ours.do(step)
        if common:
            merge(theirs.store, ours.store, PIPELINE)
        for side, steps in ((ours, a), (theirs, b)):
            for step in steps:
                side.do(step)
        holds_in_every_order(open_copy, ours, theirs)


@pytest.fixture
def template(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue("_sqlite_template")  # type: ignore[no-any-return]


NO_SHRINKING = [phase for phase in Phase if phase is not Phase.shrink]
OPTIONS: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}


@settings(max_examples=1, phases=NO_SHRINKING, **OPTIONS)
@examples(HISTORY, HISTORY, HISTORY)
@example([], [ASK], [ASK])  # both paid for the same answer
@example([], [ASK], [("ask", "ant", "red", "y"), ("plan", 2)])  # and for another one
@example([], [ASK, ("purge", "red")], [ASK, ("ask", "bee", "red", "y")])
@example([ASK], [("purge", "red")], [("plan", 3), ("found_in", "ant", "blue")])
@example([ASK], [MARK], [(*MARK[:-1], False)])  # set in one store, removed in the other
@example([], [ASK, MARK, ("purge", "red")], [ASK, MARK, ("mark", "prompt", "note", "v", True)])
@example([], [("purge", "red"), ASK], [("found_in", "ant", "blue")])
@example([ASK], [("plan", 2), ("fail",)], [("fail",), ("give_up", "failed")])
def test_merge_commutes_and_repeats(
    template: Path, tmp_path: Path, common: list[Any], a: list[Any], b: list[Any]
) -> None:
    run_history(template, tmp_path / "stores", common, a, b)


@pytest.mark.slow
@settings(max_examples=300, **OPTIONS)
@examples(HISTORY, HISTORY, HISTORY)
def test_merge_commutes_and_repeats_in_long_histories(
    template: Path, tmp_path: Path, common: list[Any], a: list[Any], b: list[Any]
) -> None:
    run_history(template, tmp_path / "stores", common, a, b)
