"""A store with data for every figure, and with text that is hostile to pages."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from annoy_store.db.engine import Database
from annoy_store.db.tables import (
    attempts,
    calls,
    clusters,
    executions,
    jobs,
    prices,
    responses,
    samples,
    teachers,
)
from annoy_store.interfaces import NewRow
from annoy_store.queue.counters import add_to_counters
from tests.support import chains, factories

SCRIPT = "</pre></style></script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&{{7*7}}"
TRICKS = f"{SCRIPT}\x1b[31m\u202egnp.exe\x07"
OTHER_MODEL = f"other {SCRIPT}"
ANSWERS = {
    "cat": [("meow", "correct")],
    "dog": [(f"woof {TRICKS}", "wrong"), ("bark", "correct")],
    "cow": [("moo", "wrong"), ("mu", "wrong")],
    "elk": [("?", "no_answer")],
}


def fill(store: Database, n: int = 1) -> None:
    """Add chains of all kinds (`n` of each), attempts with tokens, and rejected rows."""
    with store.write() as connection:
        for i in range(n):
            for name, answers in ANSWERS.items():
                made = chains.sampled(f"{name}{i or ''}", repo=f"team/{TRICKS}")
                pair = chains.pairs_of(made)[0]
                check = chains.checked(connection, pair, lines=7 + 30 * i)
                kind = "predict_input" if name == "cow" else "predict_output"
                asked = chains.chain(connection, pair, answers, kind, model="paid")
                factories.write_all(connection, [*made, check, *asked])
        _tries(connection)
        _trouble(connection)


def add_second_model(store: Database) -> None:
    """Add a chain of three turns by another model, on a question that the first has answered."""
    with store.write() as connection:
        made = chains.sampled("dog", repo=f"team/{TRICKS}", licence="apache-2.0")
        pair = chains.pairs_of(made)[0]
        answers = [("bow", "wrong"), ("wow", "no_answer"), ("bark", "correct")]
        asked = chains.chain(connection, pair, answers, sample_no=1, model=OTHER_MODEL)
        factories.write_all(connection, [*made, *asked])


def _tries(connection: Connection) -> None:
    connection.execute(
        insert(prices).values(model="paid", from_time="2025", input=1.0, cached=0.1, output=4.0)
    )
    row = {
        "worker_id": 1,
        "started_at": factories.NOW,
        "latency_ms": 5.0,
        "status": "ok",
        "prompt_tokens": 100,
        "cached_tokens": 10,
        "completion_tokens": 40,
    }
    known = connection.execute(
        select(responses.c.call_id, responses.c.teacher_id).join(
            calls, calls.c.id == responses.c.call_id
        )
    )
    connection.execute(
        insert(attempts), [row | {"call_id": c, "teacher_id": t} for c, t in known.all()]
    )
    paid = update(teachers).where(teachers.c.model == "paid").values(backend="openai")
    assert connection.execute(paid).rowcount == 1


def _trouble(connection: Connection) -> None:
    bad = factories.sample(f"# {TRICKS}\nimport nowhere\n", problem=TRICKS)
    factories.write_all(connection, [bad])
    key = connection.scalar(select(samples.c.id).where(samples.c.digest == bad.values["digest"]))
    ran = {
        "sample_id": key,
        "response_id": None,
        "purpose": "generate",
        "outcome": "missing_module",
        "missing_module": f"nowhere{SCRIPT}",
        "cpu_ms": 5.0,
        "wall_ms": 900.0,
        "isolation": "strong",
        "runner_version": "1",
        "interpreter": "py",
    }
    factories.write_all(connection, [NewRow(executions, ran)])
    ended = {"stage": "generate", "subject_id": key, "variant_id": 1, "attempts": 1}
    ended |= {"state": "rejected", "reason": f"missing_module:{SCRIPT}", "detail": TRICKS}
    connection.execute(insert(jobs).values(**ended))
    add_to_counters(connection, 0, {("generate", "rejected"): 1, ("verify", "done"): 6})
    connection.execute(
        insert(clusters),
        [
            {"kind": "source", "subject_id": 1, "cluster": "aa"},
            {"kind": "source", "subject_id": 2, "cluster": "aa"},
            {"kind": "source", "subject_id": 3, "cluster": "bb"},
        ],
    )
