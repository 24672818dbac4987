"""generate makes stable pairs, marks the others, and says why a sample has none."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select, text

from annoy_store.db.engine import Database
from annoy_store.db.tables import executions, io_pairs, pair_checks
from tests.support import factories

RANDOM_INT = "import random\ndef input_generator():\n    return {'x': random.randint(0, 50)}\n"
LIST = "import random\ndef input_generator():\n    return {'xs': [random.randint(0, 9) for _ in range(4)]}\n"


def statuses(store: Database) -> list[str]:
    with store.read() as connection:
        return list(connection.scalars(select(pair_checks.c.status)))


def test_generate_makes_distinct_stable_pairs_with_new_outputs_first(
    run_stage, sqlite_store: Database
) -> None:
    [outcome] = run_stage(
        "generate", [factories.sample("def main_solution(x):\n    return x % 3\n")]
    )
    assert outcome.state == "done"
    with sqlite_store.read() as connection:
        pairs = connection.execute(select(io_pairs).order_by(io_pairs.c.position)).all()
        checks = connection.execute(select(pair_checks)).all()
    assert len(pairs) == 10
    assert {c.status for c in checks} == {"stable"}
    assert [p.position for p in pairs] == list(range(10))
    assert len({p.output for p in pairs[:3]}) == 3
    assert all(json.loads(p.output) == json.loads(p.input)["x"] % 3 for p in pairs)
    assert all(c.lines_executed for c in checks)


def test_generate_stores_the_input_before_the_call(run_stage, sqlite_store: Database) -> None:
    code = "def main_solution(xs):\n    xs.sort()\n    return xs.pop()\n"
    run_stage("generate", [factories.sample(code, LIST)])
    with sqlite_store.read() as connection:
        for given_input, output in connection.execute(select(io_pairs.c.input, io_pairs.c.output)):
            xs = json.loads(given_input)["xs"]
            assert len(xs) == 4
            assert max(xs) == json.loads(output)
    assert set(statuses(sqlite_store)) == {"stable"}


def test_generate_makes_fewer_pairs_of_long_runs(run_stage, sqlite_store: Database) -> None:
    code = "def main_solution(x):\n    for i in range(x * 4000):\n        x += 1\n    return x\n"
    generator = "import random\ndef input_generator():\n    return {'x': random.randint(20, 90)}\n"
    short = code.replace("4000", "4")
    run_stage("generate", [factories.sample(code, generator), factories.sample(short, generator)])
    with sqlite_store.read() as connection:
        held = connection.execute(
            text("SELECT COUNT(*), MAX(lines_executed) FROM v_current_pairs GROUP BY sample_id")
        ).all()
    assert sorted(n for n, _ in held) == [3, 10]
    assert max(lines for _, lines in held) == 100_000


def test_generate_runs_no_input_twice(run_stage, sqlite_store: Database) -> None:
    code = (
        "import time\ndef main_solution(x):\n    end = time.process_time() + 0.1\n"
        "    while time.process_time() < end:\n        pass\n    return 1 // x\n"
    )
    generator = (
        "import random\ndef input_generator():\n    return {'x': random.choice([0, 1, 2])}\n"
    )
    run_stage("generate", [factories.sample(code, generator)])
    with sqlite_store.read() as connection:
        made = executions.c.purpose == "generate"
        draws, cpu_ms = connection.execute(
            select(executions.c.draws, executions.c.cpu_ms).where(made)
        ).one()
    counts = json.loads(draws)
    assert (counts["drawn"], counts["pairs"]) == (100, 2)
    assert counts["too_few_distinct"] + counts["exception:ZeroDivisionError"] == 98
    assert counts["exception:ZeroDivisionError"] > 20
    assert cpu_ms < 2_000


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def main_solution(x):\n    return 1 / 0\n", "exception:ZeroDivisionError"),
        (
            "import no_such_thing\ndef main_solution(x):\n    return x\n",
            "missing_module:no_such_thing",
        ),
        ("def main_solution(x):\n    return None\n", "no_output"),
        ("def main_solution(x):\n    return list(range(30))\n", "output_too_large"),
        ("def main_solution(x):\n    return {1, 2}\n", "not_json"),
        ("def main_solution(x):\n    return {1: x, '1': x + 1}\n", "not_json"),
        ("def main_solution(x):\n    return [chr(0xD800 + x)]\n", "not_json"),
        ("def main_solution(y):\n    return y\n", "bad_args"),
        ("def main_solution(x):\n    while True:\n        pass\n", "cpu_timeout"),
        ("import sys\ndef main_solution(x):\n    sys.exit(0)\n", "exit"),
        ("import random\ndef main_solution(x):\n    return random.random()\n", "too_few_stable"),
        (
            "import time\ndef main_solution(x):\n    return int(time.time() * 0)\n",
            "nondeterministic:clock",
        ),
        (
            "def main_solution(x):\n    return hash(str(x)) % 1000 if x % 5 == 0 else x\n",
            "too_few_stable",
        ),
    ],
)
def test_generate_rejects_with_a_reason(run_stage, code: str, reason: str) -> None:
    [outcome] = run_stage("generate", [factories.sample(code, RANDOM_INT)], cpu_seconds=0.3)
    assert (outcome.state, outcome.reason) == ("rejected", reason)


def test_generate_rejects_a_constant_generator(run_stage) -> None:
    generator = "def input_generator():\n    return {'x': 1}\n"
    [outcome] = run_stage("generate", [factories.sample(generator=generator)])
    assert outcome.reason == "too_few_distinct"


def test_generate_tells_a_failing_generator_from_failing_code(run_stage) -> None:
    generator = "def input_generator():\n    return 1 / 0\n"
    [outcome] = run_stage("generate", [factories.sample(generator=generator)])
    assert outcome.reason == "generator_exception:ZeroDivisionError"


def test_generate_stores_failures_with_counts(run_stage, sqlite_store: Database) -> None:
    code = "def main_solution(x):\n    assert x > 1000\n    return x\n"
    run_stage("generate", [factories.sample(code)])
    with sqlite_store.read() as connection:
        row = connection.execute(select(executions)).one()
        missing = connection.execute(text("SELECT * FROM v_missing_modules")).all()
    assert (row.purpose, row.outcome, row.error_type) == ("generate", "exception", "AssertionError")
    counts = json.loads(row.draws)
    assert counts["drawn"] == counts["exception:AssertionError"] == 10
    assert missing == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            (
                "from multiprocessing import Pool\ndef work(x):\n    return x\n"
                "def main_solution(x):\n    with Pool(2) as pool:\n        return pool.map(work, [x])\n"
            ),
            "exception:PermissionError",
        ),
        (
            (
                "import urllib.request\ndef main_solution(x):\n"
                "    return urllib.request.urlopen(f'http://127.0.0.1:9/').read().decode()\n"
            ),
            "exception:URLError",
        ),
        ("def main_solution(x):\n    open('/data/words.txt')\n", "exception:FileNotFoundError"),
    ],
)
def test_generate_stops_early_for_samples_that_can_never_work(
    run_stage, sqlite_store: Database, code: str, reason: str
) -> None:
    [outcome] = run_stage("generate", [factories.sample(code, RANDOM_INT)])
    assert (outcome.state, outcome.reason) == ("rejected", reason)
    with sqlite_store.read() as connection:
        [draws] = connection.scalars(select(executions.c.draws))
    assert json.loads(draws)["drawn"] == 10


def test_generate_goes_on_where_few_inputs_work(run_stage, sqlite_store: Database) -> None:
    code = "def main_solution(x):\n    if x % 17:\n        raise ValueError(x)\n    return x\n"
    [outcome] = run_stage("generate", [factories.sample(code, RANDOM_INT)])
    assert outcome.state == "done"


def test_generate_isolates_calls_from_module_state(run_stage, sqlite_store: Database) -> None:
    code = "n = 0\ndef main_solution(x):\n    global n\n    n += 1\n    return n * x\n"
    [outcome] = run_stage("generate", [factories.sample(code, RANDOM_INT)])
    assert outcome.state == "done"
    with sqlite_store.read() as connection:
        pairs = connection.execute(select(io_pairs.c.input, io_pairs.c.output)).all()
    assert set(statuses(sqlite_store)) == {"stable"}
    assert all(json.loads(given_input)["x"] == json.loads(output) for given_input, output in pairs)


def test_generate_counts_lines_of_separate_calls(run_stage, sqlite_store: Database) -> None:
    code = (
        "known = {}\ndef main_solution(x):\n    if 0 not in known:\n"
        "        for i in range(500):\n            known[i] = i\n    return known[x]\n"
    )
    run_stage("generate", [factories.sample(code, RANDOM_INT)])
    with sqlite_store.read() as connection:
        lines = set(connection.scalars(select(pair_checks.c.lines_executed)))
    assert lines == {1003}


def test_generate_marks_all_pairs_unstable_if_one_is(run_stage, sqlite_store: Database) -> None:
    code = "def main_solution(x):\n    return hash(str(x)) if x == 2 else x\n"
    sample = factories.sample(code, None)
    outputs = [0, 1, 77]
    [outcome] = run_stage(
        "generate", [factories.io_pair(sample, {"x": n}, out, n) for n, out in enumerate(outputs)]
    )
    assert (outcome.state, outcome.reason) == ("rejected", "unstable")
    assert statuses(sqlite_store) == ["unstable"] * 3


def test_generate_checks_given_pairs_without_a_generator(run_stage, sqlite_store: Database) -> None:
    sample = factories.sample(generator=None)
    pairs = [factories.io_pair(sample, {"x": n}, out, n) for n, out in enumerate([0, 2, 5])]
    [outcome] = run_stage("generate", pairs)
    assert outcome.state == "done"
    assert statuses(sqlite_store) == ["stable", "stable", "wrong_output"]


def test_generate_checks_given_pairs_beside_generated_ones(
    run_stage, sqlite_store: Database
) -> None:
    sample = factories.sample("def main_solution(x):\n    return x * x\n", RANDOM_INT)
    outputs = {60: 3600, 70: 1, **{n: n * n for n in range(51)}}
    pairs = [
        factories.io_pair(sample, {"x": x}, out, at) for at, (x, out) in enumerate(outputs.items())
    ]
    [outcome] = run_stage("generate", [*pairs, factories.io_pair(sample, {"x": -1}, 7, 60)])
    assert outcome.state == "done"
    with sqlite_store.read() as connection:
        found = connection.execute(
            select(io_pairs.c.input, pair_checks.c.status).join(
                pair_checks, pair_checks.c.io_pair_id == io_pairs.c.id
            )
        ).all()
    status = {json.loads(row.input)["x"]: row.status for row in found}
    assert len(found) == len(status) == 54
    assert (status.pop(70), status.pop(-1)) == ("wrong_output", "wrong_output")
    assert set(status.values()) == {"stable"}


def test_generate_detects_a_wrong_pair_that_is_also_drawn(
    run_stage, sqlite_store: Database
) -> None:
    generator = (
        "import random\ndef input_generator():\n    return {'x': random.choice([1, 2, 3])}\n"
    )
    sample = factories.sample("def main_solution(x):\n    return x * 10\n", generator)
    run_stage("generate", [factories.io_pair(sample, {"x": 1}, 11, 0)])
    with sqlite_store.read() as connection:
        found = connection.execute(
            select(io_pairs.c.output, pair_checks.c.status).join(
                pair_checks, pair_checks.c.io_pair_id == io_pairs.c.id
            )
        ).all()
    assert sorted(map(tuple, found)) == [("11", "wrong_output"), ("20", "stable"), ("30", "stable")]


def test_generate_keeps_given_pairs_if_the_generator_fails(
    run_stage, sqlite_store: Database
) -> None:
    sample = factories.sample(generator="def input_generator():\n    return 1 / 0\n")
    [outcome] = run_stage("generate", [factories.io_pair(sample, {"x": 3}, 6, 0)])
    assert outcome.state == "done"
    assert statuses(sqlite_store) == ["stable"]
    with sqlite_store.read() as connection:
        purposes = set(connection.scalars(select(executions.c.purpose)))
    assert purposes == {"generate", "check"}


def test_generate_is_reproducible(run_stage, sqlite_store: Database) -> None:
    run_stage("generate", [factories.sample()])
    with sqlite_store.read() as connection:
        first = connection.execute(select(io_pairs.c.input, io_pairs.c.output)).all()
    run_stage("generate", pairs_wanted=12)
    from annoy_store.queue.enqueue import enqueue_again
    from annoy_store.queue.variants import load_plan
    from annoy_store.stages import PIPELINE, stages_named

    with sqlite_store.write() as connection:
        assert (
            enqueue_again(connection, load_plan(connection, PIPELINE), stages_named("generate")[0])
            == 1
        )
    run_stage("generate")
    with sqlite_store.read() as connection:
        again = connection.execute(
            select(io_pairs.c.input, io_pairs.c.output, io_pairs.c.position).order_by(io_pairs.c.id)
        ).all()
    assert [tuple(r)[:2] for r in again[:10]] == [tuple(r) for r in first]
    assert sorted(r.position for r in again) == list(range(12))


@pytest.mark.parametrize("output", ["x * 2", "x * 2 if x < 0 else x * 3"])
def test_generate_runs_every_stored_pair_again(
    run_stage, sqlite_store: Database, output: str
) -> None:
    """Drawn before and not drawn now, drawn now too, and imported; each by its stored output."""
    code = f"def main_solution(x):\n    return {output}\n"
    generator = "import random\ndef input_generator():\n    return {'x': random.randint(1, 3)}\n"
    sample = factories.sample(code, generator)
    rows = [factories.io_pair(sample, {"x": x}, x * 2, at) for at, x in enumerate((1, 50, 60))]
    rows[0].values["seed"], rows[1].values["seed"] = 5, 6
    run_stage("generate", rows)
    with sqlite_store.read() as connection:
        found = connection.execute(
            select(io_pairs.c.input, pair_checks.c.status)
            .join(pair_checks, pair_checks.c.io_pair_id == io_pairs.c.id)
            .where(io_pairs.c.id.in_([1, 2, 3]))
        ).all()
    status = "stable" if output == "x * 2" else "wrong_output"
    assert {json.loads(pair)["x"]: word for pair, word in found} == dict.fromkeys(
        (1, 50, 60), status
    )


def test_generate_details_the_most_frequent_failure(run_stage, sqlite_store: Database) -> None:
    code = "def main_solution(x):\n    if x == 1:\n        return {1, 2}\n    raise ValueError('always')\n"
    generator = "import random\ndef input_generator():\n    return {'x': random.randint(0, 5)}\n"
    [outcome] = run_stage("generate", [factories.sample(code, generator)])
    assert (outcome.reason, outcome.detail) == ("exception:ValueError", "always")
    with sqlite_store.read() as connection:
        assert set(connection.scalars(select(executions.c.error_type))) == {"ValueError"}
