"""The teacher behind a Batch API: which requests it builds, and that no call waits for it."""

from __future__ import annotations

import asyncio
import json

import pytest

from annoy_store.config import RunSettings
from annoy_store.errors import UsageError
from annoy_store.inference.backends import open_backend
from annoy_store.inference.backends.batch import BatchTeacher
from annoy_store.interfaces import Request

REQUEST = Request(1, "transform", [{"role": "user", "content": "hello"}], 7)
SETTINGS = RunSettings(base_url="https://host.example/v1/", temperature=0.2, max_tokens=50)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_batch_teacher_needs_a_model_and_no_key() -> None:
    teacher = open_backend("batch", SETTINGS, "m")
    assert isinstance(teacher, BatchTeacher)
    assert (teacher.identity.backend, teacher.identity.model) == ("batch", "m")
    assert teacher.identity.base_url == "https://host.example/v1"
    with pytest.raises(UsageError, match="no model named"):
        open_backend("batch", SETTINGS, None)


def test_batch_teacher_has_the_parameters_of_the_online_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback-4f9c1e77a2")
    online = open_backend("openai", SETTINGS, "m").identity
    batch = open_backend("batch", SETTINGS, "m").identity
    assert (batch.parameters, batch.base_url) == (online.parameters, online.base_url)


def test_encode_returns_the_request_body() -> None:
    body = json.loads(BatchTeacher(SETTINGS, "m").encode(REQUEST))
    assert (body["model"], body["messages"]) == ("m", list(REQUEST.messages))
    assert (body["temperature"], body["seed"]) == (0.2, 7)


def test_ask_is_no_use_of_a_batch_teacher() -> None:
    teacher = BatchTeacher(SETTINGS, "m")
    assert teacher.capacity == 0
    with pytest.raises(UsageError, match="use --teacher openai"):
        asyncio.run(teacher.ask(REQUEST))
