"""Recorded answers: found by digest, messages or content, one for each sample."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from annoy_store.config import RunSettings
from annoy_store.errors import UsageError
from annoy_store.inference.backends import open_teacher
from annoy_store.interfaces import CallResult, Request
from annoy_store.records.digests import prompt_digest
from tests.support import provider

HELLO = [{"role": "user", "content": "hello \u2028 there"}]


def recorded(path: Path, *records: dict[str, Any]) -> Path:
    lines = (json.dumps(record, ensure_ascii=False) for record in records)
    path.write_text("\n".join([*lines, "", ""]), encoding="utf-8")
    return path


def ask(
    path: Path, sample_no: int = 0, messages: Any = HELLO, kind: str = "transform"
) -> CallResult:
    teacher = open_teacher(RunSettings(teacher="replay", replay=path), kind)
    return asyncio.run(teacher.ask(Request(1, kind, messages, 0, sample_no)))


@pytest.mark.parametrize(
    "key",
    [
        {"digest": prompt_digest(HELLO)},
        {"messages": HELLO},
        {"contains": "hello \u2028"},
        {"contains": ["there", "hello"]},
        {"contains": "hello", "kind": "transform"},
    ],
)
@pytest.mark.parametrize("field", ["response", "output"])
def test_replay_finds_a_recorded_answer(tmp_path: Path, key: dict[str, Any], field: str) -> None:
    asked = ask(recorded(tmp_path / "a.jsonl", {**key, field: "hi", "finish_reason": "length"}))
    assert asked.status == "answered"
    assert asked.completion is not None
    assert (asked.completion.text, asked.completion.finish_reason) == ("hi", "length")
    assert [a.status for a in asked.attempts] == ["ok"]


@pytest.mark.parametrize(
    "key",
    [
        {"digest": "0" * 32},
        {"messages": [{"role": "user", "content": "other"}]},
        {"contains": ["hello", "absent"]},
        {"contains": "hello", "kind": "predict_output"},
    ],
)
def test_replay_rejects_what_is_not_recorded(tmp_path: Path, key: dict[str, Any]) -> None:
    asked = ask(recorded(tmp_path / "a.jsonl", {**key, "response": "hi"}))
    assert (asked.status, asked.reason, asked.attempts) == ("rejected", "not_recorded", ())


def test_replay_returns_samples_in_file_order(tmp_path: Path) -> None:
    lines = [{"contains": "hello", "response": text} for text in "ab"]
    path = recorded(tmp_path / "a.jsonl", *lines, {"messages": HELLO, "response": "exact"})
    texts = [asked.completion.text for n in range(3) if (asked := ask(path, n)).completion]
    assert texts == ["exact", "a", "b"]
    assert ask(path, 3).reason == "not_recorded"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "line 1: not JSON"),
        ("[]", "line 1: no recorded"),
        ("{}", "response|output"),
        ('{"response": "x"}', "messages"),
        ('{"contains": "x", "response": 5}', "not a text"),
    ],
)
def test_replay_names_the_line_of_a_bad_file(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line)
    with pytest.raises(UsageError, match=words):
        ask(path)


def test_replay_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--replay"):
        open_teacher(RunSettings(teacher="replay"), "transform")
    with pytest.raises(UsageError, match="cannot read"):
        ask(tmp_path / "absent.jsonl")


def test_replay_reads_the_file_of_the_loopback_provider(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.jsonl", {"messages": HELLO, "response": "by messages"})
    assert provider.answers_from(str(path))(HELLO) == "by messages"
    assert provider.prompt_digest(HELLO) == prompt_digest(HELLO)
