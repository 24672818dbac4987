"""Results of `LocalSandbox.call`: outcomes, phases, inputs, messages, limits, environment seeds."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.interfaces import ExecutionResult, Limits, Program
from annoy_store.sandbox import LocalSandbox, open_sandbox

ECHO = Program("def main_solution(**given):\n    return given\n")


def call(
    sandbox: LocalSandbox,
    code: str,
    given: str = "{}",
    limits: Limits | None = None,
    environment_seed: int = 0,
) -> ExecutionResult:
    return sandbox.call(Program(code), [given], limits or Limits(), environment_seed)[0]


def test_call_returns_results_in_input_order(each: LocalSandbox, limits: Limits) -> None:
    program = Program("def main_solution(a, b=2):\n    return [a, b]\n")
    ran = each.call(program, ['{"a": 1}', '{"c": 1}', "[1]", '{"b": 5, "a": "é"}'], limits)
    assert [r.outcome for r in ran] == ["ok", "bad_args", "bad_args", "ok"]
    assert [r.output for r in ran] == ["[1,2]", None, None, '["é",5]']
    assert ran[3].input == '{"b": 5, "a": "é"}'
    assert ran[1].phase == ran[2].phase == "call"
    assert all(r.cpu_ms > 0 for r in (ran[0], ran[1], ran[3]))
    assert each.call(program, [], limits) == []


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), JSON, max_size=4))
def test_call_passes_any_json_through_unchanged(
    sandbox: LocalSandbox, value: dict[str, object]
) -> None:
    ran = sandbox.call(ECHO, [json.dumps(value)], Limits())[0]
    assert ran.outcome == "ok"
    assert ran.output is not None
    assert json.loads(ran.output) == value
    assert list(json.loads(ran.output)) == list(value)
    assert not ran.mutated


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[1]", "TypeError"),
        ("null", "TypeError"),
        ("{", "ValueError"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1e999}', "NaN"),
        ("[" * 100_000, "RecursionError"),
        ('{"a": ' + "1" * 5000 + "}", "ValueError"),
        ('{"a":' * 300 + "1" + "}" * 300, "RecursionError"),
    ],
)
def test_call_rejects_invalid_inputs_as_bad_args(
    sandbox: LocalSandbox, text: str, kind: str
) -> None:
    ran = sandbox.call(ECHO, [text], Limits())[0]
    assert (ran.outcome, ran.error_type, ran.phase) == ("bad_args", kind, "call")


def test_call_tells_type_error_in_code_from_bad_args(sandbox: LocalSandbox) -> None:
    inside = "def main_solution(a):\n    return a + 'x'\n"
    assert call(sandbox, inside, '{"a": 1}').outcome == "exception"
    cached = "import functools\n@functools.lru_cache\ndef main_solution(a):\n    return 1\n"
    ran = call(sandbox, cached, '{"a": [1]}')
    assert (ran.outcome, ran.error_type) == ("exception", "TypeError")
    wrapped = (
        "import functools\ndef twice(f):\n    @functools.wraps(f)\n"
        "    def g(*a, **k):\n        return f(*a, **k)\n    return g\n"
        "@twice\ndef main_solution(a):\n    return 1\n"
    )
    assert call(sandbox, wrapped, '{"b": 1}').outcome == "bad_args"
    assert call(sandbox, wrapped, '{"a": 1}').output == "1"


def test_call_reports_phase_of_failure(sandbox: LocalSandbox) -> None:
    assert call(sandbox, "1 / 0").phase == "load"
    assert call(sandbox, "def main_solution():\n    1 / 0\n").phase == "call"
    assert call(sandbox, "def main_solution():\n    return {1}\n").phase == "result"
    assert call(sandbox, "def main_solution(:\n").phase == "load"
    assert call(sandbox, "def main_solution():\n    return 1\n").phase is None


def test_call_reports_mutated_arguments(sandbox: LocalSandbox) -> None:
    code = "def main_solution(a):\n    a.append(1)\n    return len(a)\n"
    ran = call(sandbox, code, '{"a": []}')
    assert (ran.output, ran.mutated, ran.input) == ("1", True, '{"a": []}')
    odd = "def main_solution(a):\n    a[0] = {1}\n    return 0\n"
    assert call(sandbox, odd, '{"a": [1]}').mutated
    assert not call(
        sandbox, "def main_solution(a):\n    return sorted(a)\n", '{"a": [2, 1]}'
    ).mutated
    same = "def main_solution(a):\n    a[0] = True\n    return 0\n"
    assert call(sandbox, same, '{"a": [1]}').mutated


def test_error_message_is_cleaned_and_truncated(sandbox: LocalSandbox) -> None:
    ran = call(sandbox, "def main_solution():\n    raise ValueError('\\0\\ud800' + 'x' * 9999)\n")
    assert ran.error_message is not None
    assert ran.error_message.startswith("\ufffd\ufffdx")
    assert len(ran.error_message) == 500


def test_missing_module_is_reported_only_for_absent_modules(sandbox: LocalSandbox) -> None:
    ran = call(sandbox, "from surely.missing import x\n")
    assert (ran.outcome, ran.missing_module, ran.phase) == ("missing_module", "surely", "load")
    late = "def main_solution():\n    import surely_missing\n"
    assert call(sandbox, late).phase == "call"
    assert call(sandbox, "import json.nothing\n").outcome == "exception"
    assert call(sandbox, "raise ModuleNotFoundError('mine')\n").outcome == "exception"


def test_output_limit_counts_utf8_bytes(sandbox: LocalSandbox) -> None:
    limits = Limits(output_bytes=32)
    code = "def main_solution(n):\n    return 'é' * n\n"
    assert call(sandbox, code, '{"n": 15}', limits).output == '"' + "é" * 15 + '"'
    assert call(sandbox, code, '{"n": 16}', limits).outcome == "output_too_large"


def test_call_runs_each_input_in_its_own_process(sandbox: LocalSandbox) -> None:
    code = "n = 0\ndef main_solution():\n    global n\n    n += 1\n    return n\n"
    ran = sandbox.call(Program(code), ["{}"] * 3, Limits())
    assert [r.output for r in ran] == ["1", "1", "1"]


def test_memory_limit_excludes_the_preloaded_interpreter(sandbox: LocalSandbox) -> None:
    code = "def main_solution(mb):\n    return len(bytearray(mb << 20)) >> 20\n"
    limits = Limits(memory_mb=128)
    assert call(sandbox, code, '{"mb": 100}', limits).output == "100"
    assert call(sandbox, code, '{"mb": 200}', limits).outcome == "memory"


def test_time_limits_stop_busy_and_sleeping_code(each: LocalSandbox) -> None:
    limits = Limits(cpu_seconds=0.3, wall_seconds=0.6, ceiling_seconds=20)
    spin = call(each, "def main_solution():\n    while True: pass\n", limits=limits)
    assert (spin.outcome, spin.cpu_ms >= 300) == ("cpu_timeout", True)
    sleep = call(each, "import time\ndef main_solution():\n    time.sleep(30)\n", limits=limits)
    assert (sleep.outcome, sleep.cpu_ms < 30, sleep.wall_ms >= 600) == ("wall_timeout", True, True)


def test_wall_limit_tolerates_calls_that_used_cpu(sandbox: LocalSandbox) -> None:
    limits = Limits(cpu_seconds=0.4, wall_seconds=1.0, ceiling_seconds=20)
    code = (
        "import time\ndef main_solution():\n    while time.process_time() < 0.15: pass\n"
        "    time.sleep(1.1)\n    return 1\n"
    )
    ran = call(sandbox, code, limits=limits)
    assert (ran.outcome, ran.wall_ms > 1000) == ("ok", True)


def test_line_count_stops_at_its_limit(each: LocalSandbox) -> None:
    code = "import json\ndef main_solution(n):\n    s = 0\n    for i in range(n):\n        s += i\n    return s\n"
    program = Program(code)
    ran = each.call(program, ['{"n": 1}', '{"n": 10}'], Limits(lines=1000))
    assert ran[0].lines is not None
    assert ran[1].lines == ran[0].lines + 18
    assert each.call(program, ['{"n": 100000}'], Limits(lines=50))[0].lines == 50
    assert each.call(program, ['{"n": 3}'], Limits())[0].lines is None


def test_environment_seed_changes_hash_seed_random_seed_and_clock(sandbox: LocalSandbox) -> None:
    code = (
        "import random, datetime, time\n"
        "def main_solution(what):\n"
        "    if what == 'hash': return list({'a', 'b', 'c', 'd', 'e', 'f', 'g'})\n"
        "    if what == 'random': return random.random()\n"
        "    if what == 'now': return datetime.datetime.now().year\n"
        "    if what == 'today': return datetime.date.today().year\n"
        "    if what == 'stamp': return time.strftime('%Y')\n"
        "    started = time.process_time()\n"
        "    return round(time.process_time() - started, 2)\n"
    )
    questions = ("hash", "random", "now", "today", "stamp")
    asked = [json.dumps({"what": w}) for w in (*questions, "took")]
    first, again = (sandbox.call(Program(code), asked, Limits()) for _ in range(2))
    other = sandbox.call(Program(code), asked, Limits(), environment_seed=1)
    assert [r.output for r in first] == [r.output for r in again]
    assert all(a.output != b.output for a, b in zip(first, other, strict=True))
    assert [r.output for r in other] == [
        r.output for r in sandbox.call(Program(code), asked, Limits(), environment_seed=1)
    ]


@pytest.mark.parametrize(
    "reading",
    [
        *("time.clock_gettime(time.CLOCK_REALTIME)", "time.clock_gettime(time.CLOCK_MONOTONIC)"),
        *("time.clock_gettime_ns(1)", "time.monotonic()", "time.monotonic_ns()", "time.time_ns()"),
        *(
            "time.thread_time()",
            "os.stat('/').st_atime",
            "os.stat('/')[8]",
            "os.fstat(0).st_mtime_ns",
        ),
        *(
            "os.lstat('/usr').st_ctime",
            "os.path.getmtime('/usr')",
            "pathlib.Path('/usr').stat().st_mtime",
        ),
    ],
)
def test_second_clock_covers_every_reading(sandbox: LocalSandbox, reading: str) -> None:
    """The difference is a year and more, whatever was read between."""
    program = Program(
        f"import os, pathlib, time\ndef main_solution():\n    return float({reading})\n"
    )
    here, there = (sandbox.call(program, ["{}"], Limits(), seed)[0].output for seed in (0, 1))
    assert here is not None
    assert there is not None
    day = 86_400 * (1e9 if float(here) > 1e12 or "_ns" in reading else 1)
    assert 390 * day < float(there) - float(here) < 400 * day


def test_second_clock_leaps_between_readings_of_any_clock(sandbox: LocalSandbox) -> None:
    code = (
        "import time\ndef main_solution():\n    read = time.clock_gettime\n"
        "    started = read(time.CLOCK_MONOTONIC)\n"
        "    return round(read(time.CLOCK_MONOTONIC) - started, 1)\n"
    )
    assert call(sandbox, code).output == "0.0"
    assert call(sandbox, code, environment_seed=1).output == "0.1"


def test_shifted_files_are_otherwise_the_same(sandbox: LocalSandbox) -> None:
    code = (
        "import os, shutil, time\ndef main_solution():\n"
        "    found = os.stat('/usr')\n"
        "    assert abs(found.st_mtime - found.st_mtime_ns / 1e9) < 1\n"
        "    assert found.st_mtime <= time.time() and os.path.samefile('/usr', '/usr/../usr')\n"
        "    assert os.stat in os.supports_follow_symlinks and os.stat in os.supports_dir_fd\n"
        "    assert os.path.isdir('/usr') and not os.path.exists('/no such')\n"
        "    return [found.st_mode, found.st_size, found.st_ino, len(found), found.st_blocks]\n"
    )
    here, there = call(sandbox, code), call(sandbox, code, environment_seed=1)
    assert here.outcome == there.outcome == "ok", there
    assert here.output == there.output


def test_shifted_clock_is_consistent(sandbox: LocalSandbox) -> None:
    code = (
        "import datetime, time, pickle, copy\n"
        "from datetime import datetime as dt, date\n"
        "def main_solution():\n"
        "    d = dt(2020, 2, 29, 12, 30)\n"
        "    assert isinstance(d, date) and isinstance(dt.strptime('2020', '%Y'), dt)\n"
        "    assert issubclass(dt, date) and type(d) is dt\n"
        "    assert pickle.loads(pickle.dumps(d)) == d == copy.deepcopy(d)\n"
        "    assert abs(dt.now().timestamp() - time.time()) < 60\n"
        "    assert abs(dt.utcnow() - dt.now(datetime.timezone.utc).replace(tzinfo=None)).seconds < 60\n"
        "    assert time.time_ns() // 10**9 - int(time.time()) in range(-2, 3)\n"
        "    assert time.localtime(0).tm_year == 1970 and time.ctime(0).endswith('1970')\n"
        "    assert time.asctime().endswith(str(dt.now().year))\n"
        "    return [repr(d), str(d), repr(d + datetime.timedelta(1)), (d - dt(2020, 1, 1)).days]\n"
    )
    here, there = call(sandbox, code), call(sandbox, code, environment_seed=1)
    assert here.outcome == there.outcome == "ok", there
    assert here.output == there.output


def test_random_state_is_equal_for_unseeded_programs(sandbox: LocalSandbox) -> None:
    code = "def main_solution():\n    return __import__('ran' + 'dom').random()\n"
    ran = sandbox.call(Program(code), ["{}"] * 2, Limits())
    assert ran[0].output == ran[1].output
    assert call(sandbox, code, environment_seed=1).output != ran[0].output


def test_numpy_random_state_is_seeded(sandbox: LocalSandbox) -> None:
    pytest.importorskip("numpy")
    code = "import numpy as np\ndef main_solution(a):\n    return float(np.random.rand())\n"
    ran = sandbox.call(Program(code), ['{"a": 1}', '{"a": 1}', '{"a": 2}'], Limits())
    assert ran[0].output == ran[1].output != ran[2].output
    assert call(sandbox, code, '{"a": 1}', environment_seed=1).output != ran[0].output


def test_pool_serves_many_threads() -> None:
    program = Program("def main_solution(n):\n    return n * n\n")
    with open_sandbox(slots=2, unsafe=True) as sandbox, ThreadPoolExecutor(8) as pool:
        asked = [[json.dumps({"n": 10 * i + j}) for j in range(5)] for i in range(16)]
        answers = list(pool.map(lambda texts: sandbox.call(program, texts, Limits()), asked))
        assert [r.output for ran in answers for r in ran] == [
            str((10 * i + j) ** 2) for i in range(16) for j in range(5)
        ]
        assert len(sandbox.zygote_usage()) == 1
        assert sandbox.slots == 2


def test_pool_blocks_callers_while_all_slots_are_busy(limits: Limits) -> None:
    slow = Program(
        "import time\ndef main_solution():\n    time.sleep(0.4)\n    return time.monotonic()\n"
    )
    quick = Program("import time\ndef main_solution():\n    return time.monotonic()\n")
    with open_sandbox(slots=1, unsafe=True) as sandbox:
        sandbox.call(quick, ["{}"], limits)
        ends: list[float] = []
        first = threading.Thread(
            target=lambda: ends.append(float(sandbox.call(slow, ["{}"], limits)[0].output or 0))
        )
        first.start()
        while not sandbox._busy:
            pass
        ran = sandbox.call(quick, ["{}"], replace(limits, lines=10))[0]
        first.join()
    assert ran.output is not None
    assert float(ran.output) > ends[0]
