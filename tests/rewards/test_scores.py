"""Answers are scored as the pipeline checks them, from threads and in forked workers."""

from __future__ import annotations

import doctest
import json
import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from annoy_store.errors import SandboxError, UsageError
from annoy_store.interfaces import ExecutionResult, Sandbox
from annoy_store.rewards import scores
from annoy_store.rewards.process_sandbox import process_sandbox
from annoy_store.rewards.scores import score
from tests.rewards.examples import truth


@pytest.mark.parametrize(
    ("task", "answer", "expected", "status"),
    [
        ("predict_output", '{"output": 9}', 1.0, "correct"),
        ("predict_output", '{"output": 8}', 0.0, "wrong"),
        ("predict_output", "no idea", 0.0, "no_answer"),
        ("predict_output", '<think>{"output": 9}</think>no', 0.0, "no_answer"),
        ("predict_output", '<think>{"output": 8}</think>{"output": 9}', 1.0, "correct"),
        ("predict_input", '{"input": {"n": 3}}', 1.0, "correct"),
        ("predict_input", '{"input": {"n": -3}}', 1.0, "correct"),
        ("predict_input", '{"input": {"n": 4}}', 0.0, "wrong"),
        ("predict_input", '{"input": {"m": 3}}', 0.0, "bad_args"),
        ("predict_input", '{"input": {"n": "x"}}', 0.0, "exception"),
    ],
)
def test_score_judges_like_the_pipeline(
    task: str, answer: str, expected: float, status: str
) -> None:
    given = truth(task)
    got = score(answer, given)
    assert (got.score, got.status) == (expected, status)
    assert score(answer, json.dumps(given)) == got


def test_score_takes_the_policy_of_the_truth() -> None:
    near = truth("predict_output", output="9.0001")
    exact = truth("predict_output", output="9.0001", policy={"tolerance": 0.0})
    assert score('{"output": 9.0}', near).score == 1.0
    assert score('{"output": 9.0}', exact).score == 0.0


def test_score_takes_the_cpu_limit_of_the_truth() -> None:
    code = "def spin(n):\n    while n > 0:\n        pass\n    return 9\n"
    slow = truth("predict_input", code=code, funcname="spin", policy={"cpu_seconds": 0.2})
    assert score('{"input": {"n": 1}}', slow).status == "cpu_timeout"
    assert score('{"input": {"n": 0}}', slow).score == 1.0


def test_score_tells_an_answer_that_was_cut_off() -> None:
    cut = score("It is", truth("predict_output"), finish_reason="length")
    assert cut.status == "no_answer"
    assert "cut off" in cut.feedback
    whole = score('{"output": 9} and so', truth("predict_output"), finish_reason="length")
    assert whole.score == 1.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no text task, code, funcname"),
        ([], "a list, not a mapping"),
        ("{", "no JSON"),
        (truth("predict_outputs"), "unknown task 'predict_outputs'.*predict_output"),
        (truth("predict_output", output="{"), "output is no JSON"),
        (truth("predict_output", policy={"tolerance": 2}), "tolerance"),
        ({k: v for k, v in truth("predict_input").items() if k != "output"}, "no output"),
    ],
)
def test_score_refuses_what_is_no_truth(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        score('{"output": 9}', given)


def test_score_takes_values_that_are_not_text() -> None:
    assert score('{"output": [9]}', truth("predict_output", output=[9], input={"n": 3})).score == 1


def test_score_in_many_threads() -> None:
    answers = [(n, json.dumps({"input": {"n": n}})) for n in range(-16, 16)]
    with ThreadPoolExecutor(32) as threads:
        got = threads.map(lambda item: score(item[1], truth("predict_input")).score, answers)
        assert [n for (n, _), value in zip(answers, got, strict=True) if value] == [-3, 3]


def test_score_survives_a_sandbox_process_that_is_killed() -> None:
    assert score('{"input": {"n": 3}}', truth("predict_input")).score == 1.0
    sandbox: Any = process_sandbox.get()
    for zygotes in sandbox._idle.values():
        for zygote in zygotes:
            os.kill(zygote._process.pid, signal.SIGKILL)
    assert score('{"input": {"n": 3}}', truth("predict_input")).score == 1.0


class _FailingSandbox:
    """A sandbox whose calls fail as often as it is told."""

    def __init__(self, sandbox: Sandbox, failures: int) -> None:
        self.sandbox, self.failures, self.calls = sandbox, failures, 0

    def call(self, *arguments: Any, **options: Any) -> list[ExecutionResult]:
        self.calls += 1
        if self.calls <= self.failures:
            raise SandboxError("gone")
        return self.sandbox.call(*arguments, **options)


@pytest.mark.parametrize("failures", [1, 2])
def test_score_retries_once_where_the_sandbox_fails(
    failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = _FailingSandbox(process_sandbox.get(), failures)
    monkeypatch.setattr(scores.process_sandbox, "get", lambda: failing)
    if failures == 1:
        assert score('{"input": {"n": 3}}', truth("predict_input")).score == 1.0
    else:
        with pytest.raises(SandboxError):
            score('{"input": {"n": 3}}', truth("predict_input"))
    assert failing.calls == 2


def _score_in_worker(n: int) -> float:
    return score(json.dumps({"input": {"n": n}}), truth("predict_input")).score


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_score_in_worker_processes_after_the_parent_opened_its_sandbox(method: str) -> None:
    assert _score_in_worker(3) == 1.0
    with multiprocessing.get_context(method).Pool(2) as pool:
        got = pool.map_async(_score_in_worker, range(6)).get(timeout=60)
    assert got == [0, 0, 0, 1.0, 0, 0]
    assert _score_in_worker(3) == 1.0


def test_score_documents_what_it_does() -> None:
    assert doctest.testmod(scores).failed == 0
