"""Samples that behave alike are found by running them on each other's inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import behaviour_probes, behaviours, clusters, samples
from annoy_store.dedup.behaviour import _fingerprint, _parameters, _value_type, find_twins
from annoy_store.dedup.clusters import cluster
from annoy_store.sandbox import LocalSandbox, open_sandbox
from tests.support import chains
from tests.support import factories as rows
from tests.support.shown_steps import ShownSteps

pytestmark = pytest.mark.slow_on("postgres")

CODES = {
    "loop": "def main_solution(n):\n    t = 0\n    for i in range(n + 1):\n        t += i\n    return t\n",
    "formula": "def main_solution(upto):\n    return upto * (upto + 1) // 2\n",
    "square": "def main_solution(n):\n    return n * n\n",
    "nearly": "def main_solution(n):\n    return n * (n + 1) // 2 if n < 50 else 0\n",
    "text": "def main_solution(s):\n    return s.upper()\n",
    "constant": "def main_solution(n):\n    return 4\n",
    "broken": "def main_solution(n):\n    raise ValueError\n",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[LocalSandbox]:
    opened = open_sandbox(slots=2, unsafe=True)
    yield opened
    opened.close()


def add(store: Database, *names: str, inputs: tuple[Any, ...] = (0, 1, 2, 7, 60)) -> None:
    """Samples with the pairs that their code gives, all stable."""
    with store.write() as connection:
        for name in names:
            scope: dict[str, Any] = {}
            exec(CODES[name], scope)
            (parameter,) = _parameters(CODES[name], "main_solution")
            sample = rows.sample(CODES[name], problem=name)
            for position, value in enumerate(("a", "b") if name == "text" else inputs):
                output = 0 if name == "broken" else scope["main_solution"](value)
                pair = rows.io_pair(sample, {parameter: value}, output, position)
                insert_rows(connection, [chains.checked(connection, pair)])


def twins(store: Database) -> dict[str, str]:
    """Which sample behaves like which older one, by the names in CODES."""
    with store.read() as connection:
        named = select(samples.c.id, samples.c.problem_statement)
        names = {row[0]: row[1] for row in connection.execute(named)}
        chosen = select(behaviours.c.sample_id, behaviours.c.twin_id)
        chosen = chosen.where(behaviours.c.twin_id.is_not(None))
        return {names[row[0]]: names[row[1]] for row in connection.execute(chosen)}


def test_find_twins_matches_different_code_with_the_same_behaviour(
    store: Database, sandbox: LocalSandbox
) -> None:
    add(store, *CODES)
    report = find_twins(store, sandbox)
    assert (report.samples, report.twins) == (len(CODES), 1)
    assert twins(store) == {"formula": "loop"}
    assert cluster(store).clusters == len(CODES) - 1
    with store.read() as connection:
        alike = select(samples.c.id).where(samples.c.problem_statement.in_(["formula", "loop"]))
        chosen = select(clusters.c.cluster).where(clusters.c.subject_id.in_(alike))
        assert len(set(connection.scalars(chosen))) == 1


def test_find_twins_runs_only_new_samples(sqlite_store: Database, sandbox: LocalSandbox) -> None:
    add(sqlite_store, "loop", "square")
    find_twins(sqlite_store, sandbox)
    with sqlite_store.read() as connection:
        before = connection.execute(select(behaviour_probes)).all()
    add(sqlite_store, "formula")
    assert find_twins(sqlite_store, sandbox).samples == 1
    assert find_twins(sqlite_store, sandbox).samples == 0
    assert twins(sqlite_store) == {"formula": "loop"}
    with sqlite_store.read() as connection:
        assert connection.execute(select(behaviour_probes)).all() == before


def test_find_twins_needs_agreement_on_each_others_inputs(
    sqlite_store: Database, sandbox: LocalSandbox
) -> None:
    add(sqlite_store, "loop", inputs=(1, 2, 3))
    add(sqlite_store, "nearly", inputs=(1, 2, 3, 60))  # alike below 50, and 60 is its own input
    find_twins(sqlite_store, sandbox)
    assert twins(sqlite_store) == {}


def test_shapes_and_fingerprints() -> None:
    assert _value_type([[1, "a"], 2]) == "list[list[number]]"
    assert (_value_type(True), _value_type(None), _value_type({}), _value_type("x")) == (
        "bool",
        "NoneType",
        "object",
        "text",
    )
    assert _fingerprint(["1", "1", None]) is None
    assert _fingerprint(["1.0000001", "2"]) == _fingerprint(["1.0", "2"])
    assert _fingerprint(["1", "2"]) != _fingerprint(["2", "1"])
    assert _parameters("def f(a, /, b, *, c=1): pass", "f") == ["a", "b", "c"]
    assert _parameters("def f(", "f") == []


def test_find_twins_compares_small_inputs_that_were_not_drawn(
    sqlite_store: Database, sandbox: LocalSandbox
) -> None:
    gates = {
        "nand": "def main_solution(a, b):\n    return 1 - a * b\n",
        "xor": "def main_solution(a, b):\n    return a ^ b\n",
        "differ": "def main_solution(x, y):\n    return int(x != y)\n",
    }
    with sqlite_store.write() as connection:
        for name, code in gates.items():
            scope: dict[str, Any] = {}
            exec(code, scope)
            sample = rows.sample(code, problem=name)
            names = _parameters(code, "main_solution")
            for n, values in enumerate([(0, 1), (1, 0), (1, 1)]):
                given = dict(zip(names, values, strict=True))
                pair = rows.io_pair(sample, given, scope["main_solution"](*values), n)
                insert_rows(connection, [chains.checked(connection, pair)])
    find_twins(sqlite_store, sandbox)
    assert twins(sqlite_store) == {"differ": "xor"}


def test_find_twins_stops_at_a_call_that_times_out(
    sqlite_store: Database, sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    call = sandbox.call

    def counted(program: Any, inputs: Any, limits: Any, **more: Any) -> Any:
        made.append(len(inputs))
        return call(program, inputs, limits, **more)

    monkeypatch.setattr(sandbox, "call", counted)
    endless = "def main_solution(n):\n    while n < 0 or n > 5:\n        pass\n    return n\n"
    with sqlite_store.write() as connection:
        for name, code, inputs in (
            ("big", CODES["square"], (60, 61, 62, 63)),
            ("endless", endless, (0, 1, 2, 3)),
        ):
            sample = rows.sample(code, problem=name)
            for n, value in enumerate(inputs):
                pair = rows.io_pair(sample, {"n": value}, value, n)
                insert_rows(connection, [chains.checked(connection, pair)])
    find_twins(sqlite_store, sandbox)
    with sqlite_store.read() as connection:
        [probes] = connection.scalars(select(behaviour_probes.c.inputs))
    assert probes == "[[0],[1],[60],[61],[62],[63]]"
    assert sum(made) == 6 + 4  # the two last probes are not run by the endless one


def test_find_twins_shows_how_many_samples_are_compared(
    sqlite_store: Database, sandbox: LocalSandbox
) -> None:
    add(sqlite_store, "loop", "formula", "text")
    shown = ShownSteps()
    find_twins(sqlite_store, sandbox, shown)
    assert shown.steps[-1] == ("compared 3 samples, 1 behave like another", 3, 3)
    assert shown.shares == [pytest.approx(n / 3) for n in (1, 2, 3)]
