"""The loopback provider: batches as the openai package sees them, and its program."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, OpenAI
from openai.types import Batch

from tests.support.provider import Provider, default_answer

ENDPOINT = "/v1/chat/completions"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def client(provider: Provider) -> Iterator[OpenAI]:
    with OpenAI(base_url=provider.url, api_key="EMPTY", max_retries=0) as client:
        yield client


def messages(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"prompt {number}"}]


def upload(client: OpenAI, n: int, **more: Any) -> str:
    lines = [
        {
            "custom_id": f"c{i}",
            "method": "POST",
            "url": ENDPOINT,
            "body": {"model": "sim", "messages": messages(i), **more},
        }
        for i in range(n)
    ]
    content = "\n".join(map(json.dumps, lines)).encode()
    return client.files.create(file=("in.jsonl", content), purpose="batch").id


def run_batch(client: OpenAI, n: int, metadata: dict[str, str] | None = None) -> Batch:
    batch = client.batches.create(
        input_file_id=upload(client, n),
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata=metadata,
    )
    assert batch.status == "validating"
    for _ in range(10):
        batch = client.batches.retrieve(batch.id)
        if batch.status in ("completed", "failed", "expired", "cancelled"):
            break
    return batch


def lines(client: OpenAI, name: str | None) -> list[dict[str, Any]]:
    text = client.files.content(name).text if name else ""
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("plan", "status", "answered", "errors"),
    [
        ({}, "completed", 40, {}),
        ({"errors": 0.15}, "completed", 34, {"400": 2, "429": 2, "500": 2}),
        ({"errors": 1.0}, "completed", 0, {"400": 14, "429": 13, "500": 13}),
        ({"end": "expired", "done": 0.6}, "expired", 24, {"batch_expired": 16}),
        ({"end": "cancelled", "done": 0.3}, "cancelled", 12, {"batch_cancelled": 28}),
        ({"end": "failed"}, "failed", 0, {}),
    ],
)
def test_provider_ends_batches_as_planned(
    provider: Provider,
    client: OpenAI,
    plan: dict[str, Any],
    status: str,
    answered: int,
    errors: dict[str, int],
) -> None:
    provider.behave(batch_ends=[plan])
    batch = run_batch(client, 40)
    assert batch.status == status
    good, bad = lines(client, batch.output_file_id), lines(client, batch.error_file_id)
    assert len(good) == answered
    for line in good:
        text = line["response"]["body"]["choices"][0]["message"]["content"]
        assert text == default_answer(messages(int(line["custom_id"][1:])), 200)
    codes = (
        line["error"]["code"] if line["error"] else line["response"]["status_code"] for line in bad
    )
    assert Counter(map(str, codes)) == errors
    if status == "failed":
        assert batch.errors is not None
        assert batch.errors.data
        assert batch.errors.data[0].code == "token_limit_exceeded"


def test_provider_shuffles_the_results_of_a_batch(client: OpenAI) -> None:
    batch = run_batch(client, 40)
    names = [line["custom_id"] for line in lines(client, batch.output_file_id)]
    assert names != sorted(names, key=lambda name: int(name[1:]))


def test_provider_lists_batches_with_their_metadata(client: OpenAI) -> None:
    for number in range(5):
        run_batch(client, 1, {"annoy_batch": str(number)})
    found = [b.metadata["annoy_batch"] for b in client.batches.list(limit=2) if b.metadata]
    assert found == ["4", "3", "2", "1", "0"]


def test_provider_cancels_a_batch(provider: Provider, client: OpenAI) -> None:
    provider.behave(batch_ends=[{"polls": 100, "done": 0.5}])
    batch = client.batches.create(
        input_file_id=upload(client, 10), endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert client.batches.retrieve(batch.id).status == "cancelled"
    with pytest.raises(APIStatusError, match="409"):
        client.batches.cancel(batch.id)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"nonsense\n", "invalid_json_line"),
        (
            b'{"custom_id": "a", "url": "/v1/chat/completions", "body": {"model": "m"}}\n' * 2,
            "duplicate_custom_id",
        ),
        (
            b'{"custom_id": "a", "url": "/v1/embeddings", "body": {"model": "m"}}\n',
            "mismatched_endpoint",
        ),
    ],
)
def test_provider_refuses_a_bad_file(client: OpenAI, content: bytes, code: str) -> None:
    name = client.files.create(file=("in.jsonl", content), purpose="batch").id
    batch = client.batches.create(
        input_file_id=name, endpoint="/v1/chat/completions", completion_window="24h"
    )
    batch = client.batches.retrieve(batch.id)
    assert batch.status == "failed"
    assert batch.errors is not None
    assert batch.errors.data
    assert batch.errors.data[0].code == code


def test_provider_limits_enqueued_lines(provider: Provider, client: OpenAI) -> None:
    provider.behave(enqueued_limit=15, batch_ends=[{"polls": 100}])
    assert run_batch(client, 10).status == "in_progress"
    assert run_batch(client, 10).status == "failed"
    assert run_batch(client, 5).status == "completed"


def test_provider_lists_and_deletes_files(client: OpenAI) -> None:
    name = upload(client, 1)
    assert [file.id for file in client.files.list()] == [name]
    assert client.files.delete(name).deleted
    with pytest.raises(APIStatusError, match="404"):
        client.files.content(name)


def test_provider_counts_cached_tokens(client: OpenAI) -> None:
    long = [{"role": "user", "content": "x" * 1000}]
    cached = []
    for _ in range(2):
        usage = client.chat.completions.create(model="sim", messages=long).usage  # type: ignore[arg-type]
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        cached.append(usage.prompt_tokens_details.cached_tokens)
    assert cached == [0, 192]


def test_provider_lets_calls_above_the_capacity_wait(provider: Provider) -> None:
    provider.behave(latency=0.1, capacity=1)
    body = json.dumps({"model": "sim", "messages": messages(1)}).encode()
    command = [sys.executable, "-c", POST, provider.url, body.decode()]
    runs = [subprocess.Popen(command) for _ in range(3)]
    assert [run.wait(30) for run in runs] == [0, 0, 0]
    assert provider.stats()["paid"] == 3
    assert provider.chat.running == 0


POST = """
import sys, urllib.request
url, body = sys.argv[1:]
urllib.request.urlopen(urllib.request.Request(url + "/chat/completions", body.encode())).read()
"""


def test_provider_starts_as_a_program(tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps({"contains": "prompt 7", "response": "seven"}))
    command = [sys.executable, "-m", "tests.support.provider", "--answers", str(answers)]
    command += ["--fault", "429=0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout is not None
            url = run.stdout.readline().strip()
            body = json.dumps({"model": "sim", "messages": messages(7)}).encode()
            with urllib.request.urlopen(f"{url}/chat/completions", body, timeout=10) as response:
                answer = json.load(response)
            assert answer["choices"][0]["message"]["content"] == "seven"
            with urllib.request.urlopen(url.replace("/v1", "/_sim/stats"), timeout=10) as response:
                assert json.load(response)["paid"] == 1
        finally:
            run.terminate()
