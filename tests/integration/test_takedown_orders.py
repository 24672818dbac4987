"""No row of an origin that is taken down is exported, whatever brought it back, in any order.

Two stores are filled, merged, copied and killed at random. Which rows may be exported is worked out
from the steps, the rules that must hold, and the origins in the store; not by the code under test.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, settings
from hypothesis import given as examples
from hypothesis import strategies as st
from sqlalchemy import Connection, select, text

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import open_store
from annoy_store.db.tables import (
    annotation_log,
    hidden_subjects,
    io_pairs,
    origins,
    pair_checks,
    prompts,
    purged_digests,
    responses,
    sample_origins,
    samples,
    sources,
)
from annoy_store.errors import AnnoyError, UsageError
from annoy_store.export.export import export
from annoy_store.export.request import ExportRequest
from annoy_store.ingest.codeio.importer import import_files
from annoy_store.ingest.sources import IngestOptions, ingest
from annoy_store.ingest.takedowns import lift, take_down, takedown_rules
from annoy_store.interfaces import NewRow
from annoy_store.maintenance.check import check
from annoy_store.maintenance.copy import copy
from annoy_store.maintenance.merge import merge
from annoy_store.maintenance.purge import purge
from annoy_store.records.annotations import Mark, set_mark
from annoy_store.stages import PIPELINE
from tests.support import chains
from tests.support.codeio_rows import lines

NAMES = ("ant", "bee", "cow")
REPOS = ("red", "blue")
RULES = (*(("repo", repo) for repo in REPOS), ("origin", "functions.jsonl"))
Rule = tuple[str, str]


class Killed(BaseException):
    """Stands for a kill between two transactions or inside one, as the store sees it."""


@contextmanager
def killed(after: int | None, is_committed: bool) -> Iterator[None]:
    """End the process, so to say, with its transaction number `after`, before or after its commit."""
    real, counted = Database.write, count(1)

    @contextmanager
    def write(self: Database) -> Iterator[Connection]:
        number = next(counted)
        with real(self) as connection:
            yield connection
            if number == after and not is_committed:
                raise Killed
        if number == after:
            raise Killed

    with pytest.MonkeyPatch.context() as patched:
        if after is not None:
            patched.setattr(Database, "write", write)
        with suppress(Killed):
            yield


def code(name: str) -> str:
    return f"def main_solution(x):\n    return '{name}' * x\n"


def raw(name: str) -> str:
    return f"# {name}\n{code(name)}"


class World:
    """Stores, and the rules that must hold in each."""

    def __init__(self, folder: Path, stores: list[Database], fresh: Callable[[], str]) -> None:
        self.folder, self.stores, self._fresh = folder, stores, fresh
        self.rules: list[set[Rule]] = [set() for _ in stores]
        self._files = count()

    def do(self, step: tuple[Any, ...], after: int | None, is_committed: bool) -> None:
        ended = False
        with killed(after, is_committed):
            getattr(self, step[0])(*step[1:])
            ended = True
        if step[0] == "down" and (ended or is_committed):
            self.rules[step[1]].add(step[2])
        if step[0] == "lift":  # one that was killed may have happened, or not
            self.rules[step[1]] -= {step[2]} - self._purged(step[1])
        if step[0] == "purge" and ended:
            self.rules[step[1]].add(step[2])
        if step[0] == "merge" and ended:
            self.rules[step[1]] |= self.rules[step[2]]

    def _purged(self, at: int) -> set[Rule]:
        with self.stores[at].read() as connection:
            rules = takedown_rules(connection)
        return {(rule.kind, rule.value) for rule in rules if rule.purged_at}

    # Steps ---------------------------------------------------------------------------------

    def ingest(self, at: int, name: str, repo: str) -> None:
        row = {"content": raw(name), "repo": repo, "blob_id": name}
        path = lines(self.folder / f"raw{next(self._files)}.jsonl", [row])
        ingest(self.stores[at], [path], IngestOptions(origin="raw"))

    def bring(self, at: int, name: str) -> None:
        """Import a function, which names its raw file."""
        pairs = [{"input": {"x": n}, "output": name * n} for n in (1, 2)]
        row = {"problem_description": f"What does {name} give?", "io_requirements": "x"}
        row |= {"refcode": code(name), "ios": pairs, "source": "functions.jsonl", "blob_id": name}
        path = lines(self.folder / f"functions{next(self._files)}.jsonl", [row])
        import_files(self.stores[at], [path])

    def answer(self, at: int, name: str, repo: str) -> None:
        """What a run leaves of a source: a sample, pairs, and chains of judged answers."""
        self.ingest(at, name, repo)
        with self.stores[at].write() as connection:
            chains.fill_one(connection, name, repo=repo)

    def work(self, at: int) -> None:
        """Check the pairs of all samples that are not hidden, as a run does."""
        hidden = select(hidden_subjects.c.subject_id).where(hidden_subjects.c.kind == "sample")
        seen = select(pair_checks.c.io_pair_id)
        mine = io_pairs.c.sample_id.not_in(hidden), io_pairs.c.id.not_in(seen)
        with self.stores[at].write() as connection:
            variant = chains.generate_variant(connection)
            row = {"variant_id": variant, "status": "stable", "shown": "no"}
            row |= {"execution_id": None, "lines_executed": 1}
            found = connection.scalars(select(io_pairs.c.id).where(*mine)).all()
            insert_rows(connection, [NewRow(pair_checks, row | {"io_pair_id": i}) for i in found])

    def mark(self, at: int, name: str) -> None:
        """A reader quotes the code of a source, of its sample and of a question in notes."""
        quoted = Mark("note", f"what of '{name}'?")
        digest = "SELECT id FROM sources WHERE digest = :digest"
        made = f"SELECT sample_id FROM sample_origins WHERE source_id = ({digest})"
        asked = f"SELECT prompt_id FROM turns WHERE sample_id IN ({made})"
        with suppress(UsageError), self.stores[at].write() as connection:
            for kind, query in (("source", digest), ("sample", made), ("prompt", asked)):
                key = connection.scalar(text(query), {"digest": _digest(name)})
                if key is not None:
                    set_mark(connection, kind, key, quoted, "ann")

    def down(self, at: int, rule: Rule) -> None:
        with self.stores[at].write() as connection, suppress(AnnoyError):
            take_down(connection, *rule, "asked")

    def lift(self, at: int, rule: Rule) -> None:
        with self.stores[at].write() as connection, suppress(AnnoyError):
            lift(connection, *rule)

    def purge(self, at: int, rule: Rule) -> None:
        self.down(at, rule)
        with self.stores[at].read() as connection:
            found = [r for r in takedown_rules(connection) if (r.kind, r.value) == rule]
        purge(self.stores[at], max(r.id for r in found if not r.lifted_at))

    def merge(self, into: int, of: int) -> None:
        if into != of:
            merge(self.stores[into], self.stores[of], PIPELINE)

    def copy(self, at: int) -> None:
        """Go on with a copy of a store."""
        url = self._fresh()
        copy(self.stores[at], url)
        self.stores[at].close()
        self.stores[at] = open_store(url)

    # What must hold --------------------------------------------------------------------------

    def verify(self) -> None:
        for at, store in enumerate(self.stores):
            with store.read() as connection:
                allowed = self._allowed(connection, self.rules[at])
                purged = self._purged_names(connection)
                texts = _texts(connection)
                shown = connection.scalars(text("SELECT value FROM v_annotations")).all()
            assert [note for note in shown if note.split("'")[1] not in allowed] == []
            assert [name for name in purged if any(f"'{name}'" in t for t in texts)] == []
            exported = self._exported(store)
            assert exported <= allowed
            assert [f for f in check(store) if f.table in ("hidden_subjects", "sources")] == []

    def _allowed(self, connection: Connection, rules: set[Rule]) -> set[str]:
        """The names whose source, or whose file without one, has an origin that no rule names."""
        found: set[str] = set()
        for name in NAMES:
            chosen = select(origins.c.repo, origins.c.origin).join(sources)
            mine = chosen.where(sources.c.digest == _digest(name))
            homes = [(("repo", repo), ("origin", of)) for repo, of in connection.execute(mine)]
            if connection.scalar(select(sources.c.id).where(sources.c.digest == _digest(name))):
                found |= {name for home in homes if not rules & set(home)}
            elif ("origin", "functions.jsonl") not in rules:
                found.add(name)
        return found - self._purged_names(connection)

    @staticmethod
    def _purged_names(connection: Connection) -> set[str]:
        chosen = select(purged_digests.c.digest).where(purged_digests.c.kind == "source")
        digests = set(connection.scalars(chosen))
        return {name for name in NAMES if _digest(name) in digests}

    def _exported(self, store: Database) -> set[str]:
        folder, texts = self.folder / f"out{next(self._files)}", ""
        for form in ("codeio", "codeio_raw"):
            export(store, ExportRequest(form, folder / form))
            for path in folder.glob(f"{form}/*.jsonl"):
                texts += path.read_text()
        return {name for name in NAMES if name in texts}


def _digest(name: str) -> str:
    return str(chains.sampled(name)[0].values["source_id"].values["digest"])


def _texts(connection: Connection) -> list[str]:
    columns = (sources.c.content, samples.c.refcode, prompts.c.messages, responses.c.text)
    columns += (annotation_log.c.value,)
    return [text for column in columns for text in connection.scalars(select(column))]


AT, NAME, REPO = st.integers(0, 1), st.sampled_from(NAMES), st.sampled_from(REPOS)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["ingest", "answer"]), AT, NAME, REPO),
    st.tuples(st.just("bring"), AT, NAME),
    st.tuples(st.just("work"), AT),
    st.tuples(st.just("mark"), AT, NAME),
    st.tuples(st.sampled_from(["down", "lift", "purge"]), AT, st.sampled_from(RULES)),
    st.tuples(st.just("merge"), AT, AT),
    st.tuples(st.just("copy"), AT),
)
KILL = st.tuples(st.none() | st.integers(1, 12), st.booleans())
HISTORY = st.lists(st.tuples(STEPS, KILL), min_size=2, max_size=10)
WHOLE = (None, True)
RED = ("repo", "red")


def run(world: World, history: list[Any]) -> None:
    for step, kill in history:
        world.do(step, *kill)
    for at in range(2):
        world.work(at)
    world.verify()


@pytest.fixture
def new_world(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Any]:
    """Two empty stores of a database, and where copies of them go."""
    numbers = count()

    @contextmanager
    def make(database: str) -> Iterator[World]:
        folder = tmp_path / f"world{next(numbers)}"
        folder.mkdir()
        pool = request.getfixturevalue("_databases") if database == "postgres" else None
        taken: list[Database] = []

        def fresh() -> str:
            if pool is None:
                return f"sqlite:///{folder}/{next(numbers)}.db"
            taken.append(pool.take())
            return str(taken[-1].url.render_as_string(hide_password=False))

        stores = [open_store(fresh(), create=True) for _ in range(2)]
        world = World(folder, stores, fresh)
        try:
            yield world
        finally:
            for store in world.stores:
                store.close()
            for store in taken:
                pool.give_back(store)

    return make


OPTIONS: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}
NO_SHRINKING = [phase for phase in Phase if phase is not Phase.shrink]


@settings(max_examples=1, phases=NO_SHRINKING, **OPTIONS)
@examples(HISTORY)
@example(
    [
        (("answer", 0, "ant", "red"), WHOLE),
        (("mark", 0, "ant"), WHOLE),
        (("merge", 1, 0), WHOLE),
        (("mark", 1, "ant"), WHOLE),
        (("purge", 0, RED), WHOLE),
        (("answer", 1, "bee", "red"), WHOLE),
        (("merge", 0, 1), (9, True)),
        (("copy", 0), WHOLE),
        (("merge", 1, 0), WHOLE),
    ]
)
@example(
    [
        (("bring", 0, "ant"), WHOLE),
        (("work", 0), WHOLE),
        (("ingest", 1, "bee", "red"), WHOLE),
        (("down", 1, RED), WHOLE),
        (("merge", 0, 1), WHOLE),
        (("ingest", 0, "ant", "red"), (1, True)),  # the source of a function that came before it
    ]
)
@example(
    [
        (("bring", 0, "ant"), WHOLE),
        (("down", 0, ("origin", "functions.jsonl")), WHOLE),
        (("bring", 0, "bee"), (2, True)),
        (("merge", 1, 0), (2, True)),
    ]
)
def test_taken_down_rows_are_never_exported(
    new_world: Callable[[str], Any], history: list[Any]
) -> None:
    with new_world("sqlite") as world:
        run(world, history)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # cursors of killed
@settings(max_examples=25, phases=NO_SHRINKING, **OPTIONS)
@examples(HISTORY)
def test_taken_down_rows_are_never_exported_from_postgres(
    new_world: Callable[[str], Any], history: list[Any]
) -> None:
    with new_world("postgres") as world:
        run(world, history)


@pytest.mark.slow
@settings(max_examples=250, **OPTIONS)
@examples(HISTORY)
def test_taken_down_rows_are_never_exported_in_long_histories(
    new_world: Callable[[str], Any], history: list[Any]
) -> None:
    with new_world("sqlite") as world:
        run(world, history)


KILLER = """
import os, signal, sys
from contextlib import contextmanager
from annoy_store.__main__ import main
from annoy_store.db.engine import Database

real, left = Database.write, [int(sys.argv.pop(1))]

@contextmanager
def write(self):
    with real(self) as connection:
        yield connection
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)

Database.write = write
main()
"""


def test_an_import_that_is_killed_at_any_commit_shows_nothing(
    sqlite_store: Database, tmp_path: Path
) -> None:
    """With the real command, and a real kill."""
    url = sqlite_store.url.render_as_string(hide_password=False)
    pairs = [{"input": {"x": n}, "output": "ant" * n} for n in (1, 2)]
    row = {"problem_description": "What?", "io_requirements": "x", "refcode": code("ant")}
    path = lines(tmp_path / "bad.jsonl", [{**row, "ios": pairs}])
    lines(tmp_path / "first.jsonl", [{**row, "refcode": code("bee"), "ios": pairs}])
    os.rename(tmp_path / "first.jsonl", path)
    import_files(sqlite_store, [path])
    with sqlite_store.write() as connection:
        take_down(connection, "origin", "bad.jsonl", "asked")
    lines(path, [{**row, "ios": pairs}])
    for n in range(1, 12):
        command = [sys.executable, "-c", KILLER, str(n), "--store", url, "import", str(path)]
        ended = subprocess.run(command, capture_output=True, check=False)
        with sqlite_store.read() as connection:
            shown = select(samples.c.funcname).where(
                samples.c.id.not_in(select(hidden_subjects.c.subject_id))
            )
            assert connection.scalars(shown).all() == []
        if ended.returncode != -signal.SIGKILL:
            break
    assert n > 3
    with sqlite_store.read() as connection:
        names = json.dumps(connection.scalars(select(sample_origins.c.origin)).all())
    assert names == '["bad.jsonl", "bad.jsonl"]'
