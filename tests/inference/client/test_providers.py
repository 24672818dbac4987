"""Endpoints that settings describe: presets, keys, local servers, and normalised URLs."""

from __future__ import annotations

from typing import Any

import pytest

from annoy_store.config import RunSettings
from annoy_store.errors import UsageError
from annoy_store.inference.client.providers import (
    Endpoint,
    resolve_endpoint,
)
from annoy_store.interfaces import Request

REQUEST = Request(1, "transform", [{"role": "user", "content": "hello"}], seed=2**32 - 1)


def endpoint(model: str | None = "m", **values: Any) -> Endpoint:
    return resolve_endpoint(RunSettings(**values), model)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai-secret")
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-deepseek-secret")
    monkeypatch.setenv("MISTRAL_API_KEY", "sk-mistral-secret")
    monkeypatch.setenv("GEMINI_API_KEY", "gemini-secret")


@pytest.mark.parametrize(
    ("values", "url", "key"),
    [
        ({}, "https://api.openai.com/v1", "sk-openai-secret"),
        ({"preset": "openai"}, "https://api.openai.com/v1", "sk-openai-secret"),
        ({"preset": "deepseek"}, "https://api.deepseek.com", "sk-deepseek-secret"),
        (
            {"base_url": "https://api.deepseek.com/v1/"},
            "https://api.deepseek.com/v1",
            "sk-deepseek-secret",
        ),
        ({"preset": "vllm"}, "http://127.0.0.1:8000/v1", "EMPTY"),
        ({"preset": "sglang"}, "http://127.0.0.1:30000/v1", "EMPTY"),
        ({"preset": "ollama"}, "http://127.0.0.1:11434/v1", "EMPTY"),
        (
            {"preset": "vllm", "base_url": "https://gpu.example.org/v1"},
            "https://gpu.example.org/v1",
            "EMPTY",
        ),
        ({"base_url": "http://10.0.0.7:8000/v1"}, "http://10.0.0.7:8000/v1", "sk-openai-secret"),
        (
            {"preset": "deepseek", "base_url": "http://127.0.0.1:9/v1"},
            "http://127.0.0.1:9/v1",
            "sk-deepseek-secret",
        ),
        ({"preset": "mistral"}, "https://api.mistral.ai/v1", "sk-mistral-secret"),
        (
            {"base_url": "https://generativelanguage.googleapis.com/v1beta/openai/"},
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "gemini-secret",
        ),
        (
            {"base_url": "https://other.example.org/v1"},
            "https://other.example.org/v1",
            "sk-openai-secret",
        ),
    ],
)
def test_resolve_endpoint_finds_url_and_key(values: dict[str, Any], url: str, key: str) -> None:
    found = endpoint(**values)
    assert (found.base_url, found.key) == (url, key)


def test_resolve_endpoint_prefers_settings_to_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9999/v1/")
    assert endpoint().base_url == "http://127.0.0.1:9999/v1"
    assert endpoint(base_url="http://127.0.0.1:8/v1").base_url == "http://127.0.0.1:8/v1"
    assert endpoint(preset="deepseek").base_url == "https://api.deepseek.com"


def test_resolve_endpoint_sends_a_local_server_the_key_of_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VLLM_KEY", "token-7")
    assert endpoint(preset="vllm", api_key_env="VLLM_KEY").key == "token-7"
    assert endpoint(preset="vllm").key == "EMPTY"
    monkeypatch.setenv("VLLM_API_KEY", "token-8")
    assert endpoint(preset="vllm").key == "token-8"
    assert endpoint(preset="vllm").sent_key == "the key in VLLM_API_KEY was sent"


def test_resolve_endpoint_sends_empty_where_no_key_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    found = endpoint(base_url="http://127.0.0.1:9/v1")
    assert (found.key, found.key_env) == ("EMPTY", "OPENAI_API_KEY")
    assert found.sent_key == "no key was sent, for OPENAI_API_KEY is not set"


@pytest.mark.parametrize(
    ("preset", "model", "refused"),
    [
        ("openai", "gpt-5-mini", ("temperature", "top_p")),
        ("openai", "gpt-5.4", ("temperature", "top_p")),
        ("openai", "o3-mini-2025-01-31", ("temperature", "top_p")),
        ("openai", "ft:o4-mini:me", ("temperature", "top_p")),
        ("openai", "gpt-5-chat-latest", ()),
        ("openai", "gpt-4o", ()),
        ("openai", "omni", ()),
        ("gemini", "gemini-3-flash", ("seed",)),
        ("mistral", "magistral-small", ()),
        ("vllm", "gpt-5-mini", ()),
    ],
)
def test_resolve_endpoint_knows_what_model_families_refuse(
    preset: str, model: str, refused: tuple[str, ...]
) -> None:
    assert endpoint(model, preset=preset).refused == refused


def test_resolve_endpoint_leaves_a_temperature_to_a_model_that_does_not_reason() -> None:
    off = {"reasoning_effort": "none"}
    assert endpoint("gpt-5.1", extra_body=off).refused == ()
    assert endpoint("gemini-2.5-flash", preset="gemini", extra_body=off).refused == ("seed",)


@pytest.mark.parametrize(
    ("values", "model", "words"),
    [
        ({"preset": "nobody"}, "m", "unknown preset"),
        ({}, None, "--model"),
        ({"base_url": "127.0.0.1:8000"}, "m", "no base URL"),
        ({"base_url": "ftp://host/v1"}, "m", "no base URL"),
        ({"base_url": "https://me:secret@host.example/v1"}, "m", "holds a key"),
        ({"base_url": "https://host.example/v1?api-key=secret"}, "m", "holds a key"),
        ({"api_key_env": "MISSING_KEY"}, "m", "MISSING_KEY"),
        ({"preset": "vllm", "api_key_env": "MISSING_KEY"}, "m", "MISSING_KEY"),
        ({"preset": "deepseek"}, "deepseek-chat", "deepseek-flash"),
        ({"base_url": "https://api.deepseek.com"}, "deepseek-reasoner", "deepseek-v4-pro"),
    ],
)
def test_resolve_endpoint_explains_unusable_settings(
    values: dict[str, Any], model: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        endpoint(model, **values)
    assert "secret" not in str(caught.value)


def test_resolve_endpoint_names_a_missing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UsageError, match="set OPENAI_API_KEY"):
        endpoint()


def test_endpoint_repr_holds_no_key() -> None:
    assert "secret" not in repr(endpoint())


def test_resolve_endpoint_fixes_concurrency_of_queueing_servers() -> None:
    assert endpoint(preset="vllm").fixed_concurrency
    assert not endpoint().fixed_concurrency
    assert endpoint(fixed_connections=True).fixed_concurrency
