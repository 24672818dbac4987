"""Whatever words a program sends, both databases hold the same bounded rows."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.tables import executions, io_pairs, jobs, pair_checks
from annoy_store.hashing import clean_text
from tests.support import factories

FORGE = """
import json, os, struct, sys

def main_solution(x):
    frame = sys._getframe()
    while "nonce" not in frame.f_locals:
        frame = frame.f_back
    payload = json.dumps(REPORT).encode()
    head = frame.f_locals["nonce"] + struct.pack("<I", len(payload))
    os.write(frame.f_locals["pipe"], head + payload)
    os._exit(0)
"""
GENERATOR = "def input_generator():\n    import random\n    return {'x': random.randint(0, 99)}\n"
OK = {"outcome": "ok", "phase": "result", "output": "1", "input": '{"x":1}'}
MISSING = {"outcome": "missing_module", "phase": "call", "input": '{"x":1}'}
RAISED = [
    'ModuleNotFoundError(name="a\\0b")',
    'ModuleNotFoundError("x" * 10**6, name="x" * 10**6)',
    "ModuleNotFoundError(name=5)",
    "ValueError('\\0\\ud800' + 'x' * 10**5)",
    "type('E' * 10**5, (Exception,), {})()",
]
REPORTS: list[dict[str, Any]] = [
    {**OK, "lines": 10**30},
    {**OK, "lines": True},
    {**OK, "input": "[1]"},
    {**OK, "input": "7"},
    {**OK, "trouble": "OSError: seccomp refused"},
    {"trouble": "OSError: seccomp refused"},
    {**OK, "outcome": ["ok"]},
    {**MISSING, "module": "a\0b"},
    {**MISSING, "module": "x" * 10**5},
    {**MISSING, "module": "numpy\n<script>"},
    {**OK, "outcome": "exception", "type": "\0", "message": "no"},
]


def _rows(store: Database) -> list[tuple[Any, ...]]:
    told = select(
        executions.c.outcome,
        executions.c.error_type,
        executions.c.missing_module,
        executions.c.error_message,
        executions.c.phase,
        executions.c.draws,
    )
    found: list[tuple[Any, ...]] = []
    with store.read() as connection:
        for query in (
            told.order_by(executions.c.id),
            select(io_pairs.c.input, io_pairs.c.output).order_by(io_pairs.c.id),
            select(pair_checks.c.status, pair_checks.c.lines_executed).order_by(pair_checks.c.id),
            select(jobs.c.state, jobs.c.reason, jobs.c.detail).order_by(
                jobs.c.stage, jobs.c.subject_id
            ),
        ):
            found += map(tuple, connection.execute(query))
    return found


CODES = [f"def main_solution(x):\n    raise {raised}\n" for raised in RAISED]
CODES += [f"REPORT = {report!r}\n{FORGE}" for report in REPORTS]


@pytest.mark.parametrize("code", CODES, ids=range(len(CODES)))
def test_generate_stores_the_same_bounded_rows_on_both_databases(
    run_stage_in, sqlite_store: Database, postgres_store: Database, code: str
) -> None:
    stores = (sqlite_store, postgres_store)
    outcomes = [
        run_stage_in(store, "generate", [factories.sample(code, GENERATOR)])[0] for store in stores
    ]
    assert outcomes[0].state == outcomes[1].state == "rejected"
    assert outcomes[0].reason == outcomes[1].reason
    assert "REPORT" not in code or outcomes[0].reason == "bad_frame"
    left, right = map(_rows, stores)
    assert left == right
    texts = [value for row in left for value in row if isinstance(value, str)]
    assert texts
    assert all(len(text) <= 600 and text == clean_text(text) for text in texts)
