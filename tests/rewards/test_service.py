"""The scoring service, as `annoy serve rewards` runs it, and the client that exports carry."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest

from annoy_store.export.format_file import FOLDER
from annoy_store.rewards import codeio_reward, score
from tests.rewards.examples import truth

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

CHECKOUT = Path(__file__).parents[2]
SPIN = "def main_solution(n):\n    while n > 3:\n        pass\n    return n * n\n"


def start(*options: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "annoy_store", "serve", "rewards", "--port", "0", *options]
    env = {"PYTHONPATH": str(CHECKOUT), "PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command,
        env=env | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode in (0, 130)
    return errors


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    process = start("--slots", "2", ANNOY_REWARD_TOKEN="secret")
    assert process.stdout
    yield process.stdout.readline().strip()
    assert "Traceback" not in stop(process)


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that exports carry, loaded by its path as verl does."""
    monkeypatch.setenv("ANNOY_REWARD_URL", url)
    monkeypatch.setenv("ANNOY_REWARD_TOKEN", "secret")
    spec = importlib.util.spec_from_file_location("custom_module", FOLDER / "reward.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def connect(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)


def post(url: str, body: bytes, token: str = "secret") -> tuple[int, Any]:
    with contextlib.closing(connect(url)) as connection:
        connection.request("POST", "/v1/score", body, {"authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def get(url: str, path: str) -> str:
    with contextlib.closing(connect(url)) as connection:
        connection.request("GET", path, headers={"authorization": "Bearer secret"})
        return connection.getresponse().read().decode()


ANSWERS = ['{"output": 9}', '{"input": {"n": -3}}', '{"input": {"n": 2}}', "no idea"]
TASKS = ["predict_output", "predict_input", "predict_input", "predict_output"]


def test_service_scores_like_the_library(client: ModuleType) -> None:
    truths = [json.dumps(truth(task)) for task in TASKS]
    rows = [{"style": "rule", "ground_truth": text} for text in truths]
    expected = codeio_reward([""] * 4, ANSWERS, ground_truth=truths)
    assert expected == [1.0, 1.0, 0.0, 0.0]
    assert client.codeio_reward([""] * 4, ANSWERS, reward_model=rows) == expected
    chats = [[{"role": "assistant", "content": text}] for text in ANSWERS]
    assert client.codeio_reward([""] * 4, chats, extra_info=rows) == expected
    for answer, text, value in zip(ANSWERS, truths, expected, strict=True):
        assert client.compute_score("annoy_store", answer, text, {}, more=1) == value
    [result] = client.score_all([{"answer": ANSWERS[3], "ground_truth": truths[3]}])
    assert result == vars(score(ANSWERS[3], truths[3]))


def test_service_says_what_cannot_be_scored(client: ModuleType) -> None:
    [wrong] = client.score_all([{"answer": "a", "ground_truth": "{"}])
    assert wrong["score"] is None
    assert "no JSON" in wrong["error"]
    with pytest.raises(client.NoScore, match="no JSON"):
        client.compute_score("annoy_store", "a", "{")
    assert client.codeio_reward([""], ["a"], ground_truth=["{"]) == [None]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"items": []}', 400),
        (b'{"items": {}}', 400),
        (b'{"items": [' + b"0," * 5000 + b"0]}", 413),
        (b" " * (33 << 20), 413),
    ],
)
def test_service_refuses_other_requests(url: str, body: bytes, status: int) -> None:
    got, answer = post(url, body)
    assert got == status
    assert answer["error"]


def test_service_needs_its_token(url: str, client: ModuleType, monkeypatch: Any) -> None:
    body = json.dumps({"items": [{"answer": "a", "ground_truth": {}}]}).encode()
    assert post(url, body, token="other")[0] == 401
    monkeypatch.setenv("ANNOY_REWARD_TOKEN", "other")
    with pytest.raises(client.NoScore, match="token"):
        client.compute_score("annoy_store", "a", "{}")


def test_service_scores_for_others_when_a_client_goes_away(url: str, client: ModuleType) -> None:
    slow = {"answer": '{"input": {"n": 4}}', "ground_truth": truth("predict_input", code=SPIN)}
    slow["ground_truth"]["policy"] = {"cpu_seconds": 1.0}
    connection = connect(url)
    body = json.dumps({"items": [slow] * 400})
    connection.request("POST", "/v1/score", body, {"authorization": "Bearer secret"})
    time.sleep(0.5)
    connection.close()
    start = time.monotonic()
    given = truth("predict_input")
    assert client.compute_score("annoy_store", '{"input": {"n": 3}}', given) == 1.0
    assert time.monotonic() - start < 60  # the 400 would take 200 s


def test_service_refuses_what_would_wait_too_long(url: str, client: ModuleType) -> None:
    slow = {"answer": '{"input": {"n": 4}}', "ground_truth": truth("predict_input", code=SPIN)}
    slow["ground_truth"]["policy"] = {"cpu_seconds": 0.5}
    first = connect(url)
    many = json.dumps({"items": [slow] * 1000})
    first.request("POST", "/v1/score", many, {"authorization": "Bearer secret"})
    time.sleep(0.5)
    status, answer = post(url, json.dumps({"items": [slow] * 1000}).encode())
    first.close()
    assert (status, "busy" in answer["error"]) == (503, True)
    given = truth("predict_input")
    with ThreadPoolExecutor(8) as threads:
        one = client.compute_score
        got = threads.map(lambda n: one("", f'{{"input": {{"n": {n}}}}}', given), range(8))
        assert list(got) == [0, 0, 0, 1, 0, 0, 0, 0]


def test_service_reports_health_and_metrics(url: str, client: ModuleType) -> None:
    client.compute_score("annoy_store", "no idea", truth("predict_output"))
    health = json.loads(get(url, "/healthz"))
    assert (health["status"], health["slots"]) == ("ok", 2)
    metrics = get(url, "/metrics")
    assert 'annoy_rewards_total{status="no_answer"}' in metrics
    assert 'annoy_reward_seconds_bucket{le="+Inf"}' in metrics


def test_client_waits_for_a_service_that_starts(
    client: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANNOY_REWARD_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(client, "SECONDS", 0.3)
    monkeypatch.setattr(client, "PAUSE", 0.1)
    with pytest.raises(client.NoScore, match=r"127\.0\.0\.1:9"):
        client.compute_score("annoy_store", "a", "{}")


def test_client_scores_by_itself_without_a_service(
    client: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANNOY_REWARD_URL")
    assert client.compute_score("annoy_store", '{"output": 9}', truth("predict_output")) == 1.0
