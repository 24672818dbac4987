"""The README's commands for OpenAI and DeepSeek, against a provider that refuses as those do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from commands import annoy as front
from tests.support.provider import Provider

KEY = "sk-loopback-91c2"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(key=KEY).serving() as running:
        running.chat.keep_bodies = True
        yield running


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "DEEPSEEK_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    rows = [json.dumps({"content": f"x = {n}"}) for n in range(8)]
    Path("more.jsonl").write_text("\n".join(rows))
    assert annoy("ingest", "more.jsonl").exit_code == 0


def annoy(*args: str) -> Any:
    return CliRunner().invoke(front, args, prog_name="annoy")


def rows(query: str) -> Any:
    return json.loads(annoy("sql", query, "--json").stdout)


def test_the_command_for_openai(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    provider.behave(family="openai", models=["gpt-5-mini"])
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
    done = annoy("run", "transform", "complete", "--model", "gpt-5-mini")
    assert done.exit_code == 0, done.output
    assert caplog.text.count("left out from now on") == 2
    caplog.clear()
    assert len(rows("SELECT * FROM responses")) == 8
    assert [
        r["omitted"] for r in rows("SELECT omitted FROM teachers WHERE model = 'gpt-5-mini'")
    ] == ['["max_tokens","temperature"]']
    assert "temperature" in annoy("show", "teacher:1").stdout
    assert "left out, as it refuses them: max_tokens, temperature" in doctor("gpt-5-mini")
    provider.chat.bodies.clear()
    Path("next.jsonl").write_text('{"content": "y = 1"}')
    assert annoy("ingest", "next.jsonl").exit_code == 0
    again = annoy("run", "transform", "complete", "--model", "gpt-5-mini")
    assert (again.exit_code, caplog.text) == (0, "")
    (body,) = provider.chat.bodies
    assert {"temperature", "max_tokens"}.isdisjoint(body)


def doctor(model: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANNOY_MODEL", model)
        return str(annoy("doctor").stdout)


def test_the_preset_of_openai_is_refused_nothing(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.behave(family="openai")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint = ("--preset", "openai", "--base-url", provider.url, "--model", "gpt-5-mini")
    assert annoy("run", "transform", "complete", *endpoint).exit_code == 0
    assert rows("SELECT DISTINCT status FROM attempts") == [{"status": "ok"}]
    assert len(provider.chat.bodies) == 8


def test_the_command_for_deepseek(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    provider.behave(family="deepseek")
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)
    endpoint = ("--preset", "deepseek", "--base-url", provider.url, "--model", "deepseek-flash")
    assert annoy("run", "transform", "complete", *endpoint).exit_code == 0
    assert len(rows("SELECT * FROM responses")) == len(provider.chat.bodies) == 8


def test_a_missing_or_wrong_key_is_told(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("run", "transform", "complete", "--base-url", provider.url, "--model", "m")
    assert "no key was sent, for OPENAI_API_KEY is not set" in annoy(*options).output
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-7777")
    wrong = annoy(*options).output
    assert "the key in OPENAI_API_KEY was sent" in wrong
    assert "sk-another" not in wrong
    monkeypatch.setenv("MY_KEY", KEY)
    assert annoy(*options, "--api-key-env", "MY_KEY").exit_code == 0
