"""The checkers against real code in the real sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store import tasks
from annoy_store.config import Policy
from annoy_store.errors import SandboxError, UsageError
from annoy_store.interfaces import (
    Answer,
    CheckResult,
    ExecutionResult,
    Limits,
    Program,
    Sandbox,
    SandboxInfo,
)
from annoy_store.sandbox import open_sandbox
from annoy_store.tasks import feedback, predict_input, predict_output

UNHURRIED = settings(deadline=None)  # how fast a machine is belongs in no test

STATUSES = {
    *("correct", "wrong", "no_answer", "bad_args", "exception", "cpu_timeout", "wall_timeout"),
    *("memory", "crash", "output_too_large", "not_json"),
}
POLICY = Policy(cpu_seconds=1.0, wall_seconds=2.0)
SQUARE = "def main_solution(n):\n    return n * n"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox(slots=1) as opened:
        yield opened


def no_sandbox() -> Sandbox:
    raise AssertionError("the output direction opens no sandbox")


def truth_row(given: str, output: str, code: str = SQUARE) -> dict[str, str]:
    """What a task's `truth` selects for one turn."""
    return {"code": code, "funcname": "main_solution", "input": given, "output": output}


def judge_output(
    answer: str, truth: str, policy: Policy = POLICY, finish_reason: str = "stop"
) -> CheckResult:
    row = truth_row("{}", truth)
    return predict_output.check(Answer(answer, finish_reason), row, no_sandbox, policy)


def judge_input(
    answer: str, sandbox: Sandbox, code: str = SQUARE, wanted: str = "9", policy: Policy = POLICY
) -> CheckResult:
    row = truth_row('{"n":-3}', wanted, code)
    return predict_input.check(Answer(answer), row, lambda: sandbox, policy)


def test_the_stored_input_is_run_too(sandbox: Sandbox) -> None:
    """Its keys may come in another order, and an imported pair may not hold."""
    judged = judge_input('{"input": {"n": -3}}', sandbox, wanted="10")
    assert (judged.status, judged.got) == ("wrong", "9")
    code = "def main_solution(d):\n    return list(d)"
    truth = truth_row('{"d":{"a":1,"b":2}}', '["a","b"]', code)
    turned = '```json\n{"input": {"d": {"b": 2, "a": 1}}}\n```'
    judged = predict_input.check(Answer(turned), truth, lambda: sandbox, POLICY)
    assert (judged.status, judged.got) == ("wrong", '["b","a"]')


def test_get_task_lists_the_known_tasks() -> None:
    assert tasks.get_task("predict_output") is predict_output.TASK
    assert tasks.get_task("predict_input") is predict_input.TASK
    with pytest.raises(UsageError, match="predict_output, predict_input"):
        tasks.get_task("predict_toy")


def test_check_version_tells_all_that_verdicts_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {tasks.check_version(predict_output.TASK)}
    versions.add(tasks.check_version(replace(predict_output.TASK, version=99)))
    for module in (tasks.sections, tasks.compare):
        monkeypatch.setattr(module, "VERSION", 99)
        versions.add(tasks.check_version(predict_output.TASK))
    assert len(versions) == 4


# The output direction ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "truth", "status", "mismatch"),
    [
        ('{"output": [1, 0.5]}', "[1,0.5]", "correct", None),
        ('{"output": 3}', "3.0", "correct", None),
        ('{"output": 0.33333}', "0.3333333333", "correct", None),
        ('{"output": 1}', "true", "wrong", "type"),
        ('{"output": 10}', "9", "wrong", "off_by_one"),
        ('{"output": []}', "[1]", "wrong", "empty"),
        ('{"output": null}', "0", "wrong", "type"),
        ('{"output": NaN}', "0", "no_answer", None),
        ("I give up.", "0", "no_answer", None),
        ('{"input": {"n": 3}}', "0", "no_answer", None),
    ],
)
def test_outputs(answer: str, truth: str, status: str, mismatch: str | None) -> None:
    judged = judge_output(answer, truth)
    assert (judged.status, judged.mismatch) == (status, mismatch)
    assert judged.execution is None
    assert judged.got is None
    assert (judged.predicted is None) is (status == "no_answer")


def test_the_tolerance_is_the_policys() -> None:
    strict = Policy(tolerance=1e-9)
    assert judge_output('{"output": 0.5001}', "0.5").status == "correct"
    assert judge_output('{"output": 0.5001}', "0.5", strict).status == "wrong"
    loose = Policy(same_integer_part=False)
    assert judge_output('{"output": 2.9999}', "3.0", loose).status == "correct"


@given(st.integers(1000, 10**9), st.integers(1000, 10**9))
@UNHURRIED
def test_feedback_never_tells_the_output(truth: int, predicted: int) -> None:
    judged = judge_output(json.dumps({"output": predicted}), json.dumps(truth))
    if truth == predicted:
        assert judged.feedback == predict_output.RIGHT
    else:
        assert str(predicted) in judged.feedback
        assert str(truth) not in judged.feedback.replace(str(predicted), "")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ('{"output": NaN}', "JSON has no NaN"),
        ('{"output": {"a": 1, "a": 2}}', "keys of an object collide"),
        ('{"output": [1,000, 2]}', "a number has leading zeros"),
        ('{"output": 7 // 2}', "it is no JSON"),
        ('{"output": "\\ud800"}', "a text has a lone surrogate"),
        ('{"output": 1e999}', "a number is too large"),
        ("\\boxed{1,234}", "a number has commas between its digits"),
    ],
)
def test_an_answer_that_is_rejected_is_told_so(answer: str, why: str) -> None:
    judged = judge_output(answer, "1")
    assert judged.status == "no_answer"
    assert judged.feedback.startswith(f"The final answer was not accepted: {why}. Finish with")
    assert judge_output("Hm.", "1").feedback.startswith("No final answer was found. Finish with")


def test_a_cut_answer_is_told_so() -> None:
    for reason in ("length", "incomplete", "model_length"):
        cut = judge_output("First we", "1", finish_reason=reason)
        assert "cut off before its end" in cut.feedback
    stopped = judge_output("First we", "1")
    assert cut.status == stopped.status == "no_answer"
    assert "cut off" in cut.feedback
    assert "cut off" not in stopped.feedback
    assert '{"output": <value>}' in cut.feedback


def test_long_values_are_kept_as_json_of_bounded_length() -> None:
    judged = judge_output(json.dumps({"output": ["a" * 50] * 1000}), "[]")
    assert judged.predicted is not None
    assert len(judged.predicted) < feedback.KEPT_CHARS * 2
    assert json.loads(judged.predicted).endswith("…")
    assert len(judged.feedback) < 1000


# The input direction -------------------------------------------------------------------------


@pytest.mark.parametrize("predicted", ["-3", "3", "3.0"])
def test_any_input_that_gives_the_output_is_right(sandbox: Sandbox, predicted: str) -> None:
    judged = judge_input(f'{{"input": {{"n": {predicted}}}}}', sandbox)
    assert judged.status == "correct"
    assert judged.feedback == predict_input.RIGHT
    assert judged.mismatch is None
    assert judged.execution is not None
    assert judged.execution.outcome == "ok"
    assert judged.got is not None
    assert json.loads(judged.got) == 9


def test_an_answer_within_the_tolerance_is_told_so(sandbox: Sandbox) -> None:
    near = judge_output('{"output": 37.75}', "37.7491")
    assert near.status == "correct"
    assert near.feedback == "Correct within the tolerance: the code returns 37.7491."
    assert judge_output('{"output": [3, {"a": 37.7491}]}', '[3.0, {"a": 37.7491}]').feedback == (
        predict_output.RIGHT
    )
    half = "def main_solution(n):\n    return n / 2"
    near = judge_input('{"input": {"n": 1.0002}}', sandbox, half, "0.5")
    assert near.feedback == (
        "Correct within the tolerance: with this input the code returns 0.5001."
    )
    assert judge_input('{"input": {"n": 1}}', sandbox, half, "0.5").feedback == predict_input.RIGHT


def test_both_directions_compare_alike(sandbox: Sandbox) -> None:
    half = "def main_solution(n):\n    return [n / 2, True]"
    assert judge_input('{"input": {"n": 1.0002}}', sandbox, half, "[0.5,true]").status == "correct"
    assert judge_input('{"input": {"n": 1}}', sandbox, half, "[0.5,1]").mismatch == "type"


@pytest.mark.parametrize(
    ("code", "value", "status", "said"),
    [
        (SQUARE, '{"n": 4}', "wrong", "returns 16 and not the given output"),
        (SQUARE, '{"m": 3}', "bad_args", "unexpected keyword argument 'm'"),
        (SQUARE, "3", "bad_args", "every argument by its name"),
        (SQUARE, "[3]", "bad_args", "every argument by its name"),
        (SQUARE, '{"n": "x"}', "exception", "TypeError: can't multiply"),
        ("def main_solution(n):\n    assert n > 5, 'too few'", '{"n": 3}', "exception", "too few"),
        ("def main_solution(n):\n    import nowhere_to_be", '{"n": 3}', "exception", "nowhere"),
        ("def main_solution(n):\n    while True: pass", '{"n": 3}', "cpu_timeout", "than 1 second"),
        (
            "import time\ndef main_solution(n):\n    time.sleep(60)",
            '{"n": 3}',
            "wall_timeout",
            "2 seconds",
        ),
        ("def main_solution(n):\n    return 'x' * 10**10", '{"n": 3}', "memory", "1024 MB"),
        ("def main_solution(n):\n    return 'x' * 10**6", '{"n": 3}', "output_too_large", "large"),
        ("def main_solution(n):\n    return {1, 2}", '{"n": 3}', "not_json", "not JSON"),
        ("def main_solution(n):\n    return float('nan')", '{"n": 3}', "not_json", "not JSON"),
        ("import sys\ndef main_solution(n):\n    sys.exit(0)", '{"n": 3}', "crash", "ends without"),
        ("import os\ndef main_solution(n):\n    os._exit(0)", '{"n": 3}', "crash", "ends without"),
        (
            "import os, signal\ndef main_solution(n):\n    os.kill(os.getpid(), signal.SIGSEGV)",
            '{"n": 3}',
            "crash",
            "ends without",
        ),
        (
            "def main_solution(n):\n    raise ValueError(f'bad {object()}')",
            '{"n": 3}',
            "exception",
            "object at 0x…>",
        ),
        (
            "def main_solution(n):\n    raise ValueError('word: ' * 500)",
            '{"n": 3}',
            "exception",
            "ValueError: word: word:",
        ),
    ],
)
def test_what_can_become_of_an_input(
    sandbox: Sandbox, code: str, value: str, status: str, said: str
) -> None:
    judged = judge_input(f'{{"input": {value}}}', sandbox, code)
    assert judged.status == status
    assert said in judged.feedback
    assert len(judged.feedback) < 1000
    assert judged.predicted == value.replace(" ", "")
    assert (judged.execution is None) is (said == "every argument by its name")
    assert (judged.mismatch is None) is (status != "wrong")


def test_an_early_exit_is_no_success(sandbox: Sandbox) -> None:
    leave = "import sys\ndef main_solution(n):\n    print(9)\n    sys.exit(0)"
    assert judge_input('{"input": {"n": 3}}', sandbox, leave).status != "correct"


def test_the_wrong_input_shows_what_it_gives(sandbox: Sandbox) -> None:
    judged = judge_input('{"input": {"n": 4}}', sandbox)
    assert (judged.got, judged.mismatch) == ("16", "value")


def test_no_answer_runs_nothing() -> None:
    judged = predict_input.check(Answer("no idea"), truth_row("{}", "1"), no_sandbox, POLICY)
    assert judged.status == "no_answer"
    assert '{"input": {' in judged.feedback


def test_a_missing_module_that_the_answer_forges_is_its_fault(sandbox: Sandbox) -> None:
    code = "def main_solution(n):\n    exec(str(n))\n    return 9"
    forge = """
import sys
frame = sys._getframe()
while frame:
    if "report" in frame.f_locals:
        frame.f_locals["report"]["phase"] = "load"
    frame = frame.f_back
raise ModuleNotFoundError(name="nowhere")
"""
    judged = judge_input(json.dumps({"input": {"n": forge}}), sandbox, code)
    assert judged.execution is not None
    assert judged.execution.phase == "load"
    assert judged.status == "exception"


def test_a_module_missing_here_is_no_verdict(sandbox: Sandbox) -> None:
    code = "import nowhere_to_be\n" + SQUARE
    with pytest.raises(SandboxError, match="nowhere_to_be"):
        judge_input('{"input": {"n": 3}}', sandbox, code)


def test_a_broken_sandbox_is_no_verdict() -> None:
    closed = open_sandbox(slots=1)
    closed.close()
    with pytest.raises(SandboxError):
        judge_input('{"input": {"n": 3}}', closed)


class Reporting:
    """A sandbox that reports what foreign code could make a real one report."""

    slots = 1
    info = SandboxInfo("minimum", "0", "0", "3")

    def __init__(self, ran: ExecutionResult) -> None:
        self.ran = ran

    def call(
        self, program: Program, inputs: Sequence[str], limits: Limits, environment_seed: int = 0
    ) -> list[ExecutionResult]:
        return [self.ran for _ in inputs]

    def draw(
        self,
        program: Program,
        seeds: Sequence[int],
        limits: Limits,
        known_inputs: Sequence[str] = (),
    ) -> list[ExecutionResult]:
        return [self.ran for _ in seeds]

    def close(self) -> None:
        return None


@pytest.mark.parametrize(
    "output", ["[" * 30_000 + "]" * 30_000, "9" * 10_000, "NaN", "[1e999]", "[1,", ""]
)
def test_forged_outputs_are_not_json(output: str) -> None:
    judged = judge_input('{"input": {"n": 3}}', Reporting(ExecutionResult("ok", output=output)))
    assert judged.status == "not_json"
    assert judged.got is None


OUTCOMES = (
    *("exception", "bad_args", "missing_module", "exit", "no_result", "cpu_timeout"),
    *("wall_timeout", "memory", "crash", "output_too_large", "not_json", "bad_frame", "new_one"),
)


@given(
    st.sampled_from(OUTCOMES),
    st.none() | st.just("9"),
    st.sampled_from(["call", "generate", "result", None]),
    st.none() | st.text(max_size=2000),
)
@UNHURRIED
def test_only_ok_can_be_correct(
    outcome: str, output: str | None, phase: str | None, message: str | None
) -> None:
    ran = ExecutionResult(outcome, output=output, error_message=message, phase=phase)
    judged = judge_input('{"input": {"n": 3}}', Reporting(ran))
    assert judged.status in STATUSES - {"correct", "wrong", "no_answer"}
    assert judged.execution == ran
    assert len(judged.feedback) < 1000
    judged.feedback.encode()


def test_recorded_answers_are_judged(data: Path, sandbox: Sandbox) -> None:
    pairs = {}
    for line in (data / "parsed.jsonl").read_text("utf-8").splitlines():
        sample = json.loads(line)
        pairs[sample["meta"]["blob_id"]] = sample
    found: list[tuple[str, str]] = []
    for line in (data / "recorded_predict.jsonl").read_text("utf-8").splitlines():
        record = json.loads(line)
        sample = pairs[record["blob_id"]]
        if "import sympy" in sample["refcode"] or "import nltk" in sample["refcode"]:
            continue  # packages that need not be here
        pair: dict[str, Any] = sample["ios"][record["pair"]]
        truth = truth_row(json.dumps(pair["input"]), json.dumps(pair["output"]), sample["refcode"])
        judged = tasks.get_task(f"predict_{record['direction']}").check(
            Answer(record["response"]), truth, lambda: sandbox, Policy()
        )
        assert judged.status in STATUSES - {"no_answer"}
        assert judged.feedback
        found.append((record["direction"], judged.status))
    assert len(found) == 44
    assert found.count(("output", "correct")) >= 19
    assert found.count(("input", "correct")) >= 19
