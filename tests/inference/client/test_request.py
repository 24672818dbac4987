"""Request bodies, and the parameters that identify a teacher."""

from __future__ import annotations

from typing import Any

import pytest

from annoy_store.config import RunSettings
from annoy_store.inference.client.providers import resolve_endpoint
from annoy_store.inference.client.request import generation_parameters, request_builder
from annoy_store.interfaces import Request

REQUEST = Request(1, "transform", [{"role": "user", "content": "hello"}], seed=2**32 - 1)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai-secret")
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-deepseek-secret")


def sent(model: str = "m", **values: Any) -> dict[str, Any]:
    settings = RunSettings(**values)
    return request_builder(settings, resolve_endpoint(settings, model)).body(REQUEST)


def test_request_builder_names_max_tokens_as_the_endpoint_does() -> None:
    assert sent()["max_completion_tokens"] == 4096
    assert "max_tokens" not in sent()
    assert sent(preset="deepseek")["max_tokens"] == 4096
    assert sent(preset="vllm", max_tokens_field="max_new")["max_new"] == 4096
    assert "max_tokens" not in sent(preset="vllm", max_tokens=None)


def test_request_builder_sets_thinking_explicitly() -> None:
    assert sent(preset="deepseek")["thinking"] == {"type": "disabled"}
    on = {"thinking": {"type": "enabled"}}
    assert sent(preset="deepseek", extra_body=on)["thinking"] == {"type": "enabled"}


def test_request_builder_leaves_out_none() -> None:
    body = sent(temperature=None, extra_body={"seed": None, "top_k": 5})
    assert "temperature" not in body
    assert "seed" not in body
    assert body["top_k"] == 5
    assert "n" not in body


def test_request_builder_keeps_seeds_in_32_signed_bits() -> None:
    assert 0 <= sent(seed=3)["seed"] < 2**31
    assert sent(seed=3)["seed"] != sent(seed=4)["seed"]


def test_generation_parameters_hold_what_affects_an_answer() -> None:
    values: dict[str, Any] = {"preset": "deepseek", "temperature": 0.2, "top_p": 0.9}
    settings = RunSettings(**values, extra_body={"stop": ["x"]})
    assert generation_parameters(settings, resolve_endpoint(settings, "m")) == {
        "temperature": 0.2,
        "top_p": 0.9,
        "max_tokens": 4096,
        "thinking": {"type": "disabled"},
        "stop": ["x"],
    }


def test_request_builder_leaves_out_what_the_model_family_refuses() -> None:
    body = sent("gpt-5-mini")
    assert (body["max_completion_tokens"], body["seed"] >= 0) == (4096, True)
    assert not {"temperature", "top_p", "max_tokens"} & body.keys()
    assert sent("gpt-5-mini", temperature=1, top_p=1)["temperature"] == 1
    assert sent("gpt-4o")["temperature"] == 0.7
    assert "seed" not in sent(preset="gemini", api_key_env="OPENAI_API_KEY")
    mistral = sent(preset="mistral", api_key_env="OPENAI_API_KEY")
    assert "seed" not in mistral
    assert mistral["random_seed"] >= 0


def test_generation_parameters_hold_no_parameter_that_the_family_refuses() -> None:
    settings = RunSettings(seed=3, top_p=0.5)
    found = generation_parameters(settings, resolve_endpoint(settings, "gpt-5-mini"))
    assert found == {"max_tokens": 4096, "seed": 3}


def test_request_builder_omits_what_was_refused_and_never_what_defines_the_call() -> None:
    settings = RunSettings(preset="vllm", extra_body={"top_k": 3})
    builder = request_builder(settings, resolve_endpoint(settings, "m"))
    whole = builder.body(REQUEST)
    left = builder.body(REQUEST, {"temperature", "seed", "top_k", "stream", "model", "messages"})
    assert left == {name: whole[name] for name in ("model", "messages", "max_tokens")}
    assert builder.body(REQUEST, {"max_tokens"})["max_completion_tokens"] == 4096
    both = {"max_tokens", "max_completion_tokens"}
    assert builder.body(REQUEST, both)["max_tokens"] == 4096
    assert builder.can_omit("temperature", ())
    assert builder.can_omit("max_tokens", ())
    assert not builder.can_omit("max_completion_tokens", {"max_tokens"})
    assert not any(builder.can_omit(name, ()) for name in ("model", "messages"))
