"""The progress of a run as a frame, a line and JSON: the same facts in each."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from annoy_store.inference.spend import TOKENS, Usage
from annoy_store.worker.frame import as_dict, elapsed_text, frame, line
from annoy_store.worker.outlook import Outlook, StageOutlook
from annoy_store.worker.progress import Progress


def progress(**values: object) -> Progress:
    """A run in its midst."""
    found = Progress(in_flight=40)
    for reason in ("exception", "exit", "exception"):
        found.record("generate", "rejected", reason)
    found.connections = {"sim at 127.0.0.1": (24, 32)}
    found.outlook = Outlook(
        {
            "complete": StageOutlook({"done": 4_000, "rejected": 90, "failed": 10}, 5_900, 12.34),
            "verify": StageOutlook({"done": 7}),
        },
        Usage(5, 4_200, dict.fromkeys(TOKENS, 1_000), 0.5),
        usd=1.25,
        requests_per_minute=720,
        tokens_per_minute=1_200_000,
        seconds_left=3_700,
    )
    for name, value in values.items():
        setattr(found, name, value)
    return found


def screen(shown: Progress, width: int, **options: bool) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, **options)  # type: ignore[arg-type]
    console.print(frame(shown, 75, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 200])
def test_frame_shows_every_fact_and_cuts_none(width: int) -> None:
    text = " ".join(screen(progress(), width, no_color=True, color_system=None).split())
    for words in (
        "4,100 / 10,000 90 10 12",
        "sim at 127.0.0.1: 24 of 32 connections",
        "720 requests/min",
        "1,200,000 tokens/min",
        "12 answers/s",
        "0.5000 USD so far, 1.25 USD expected",
        "latest reasons: generate exception 2 · generate exit 1",
        "1 min 15 s elapsed · about 1 h 1 min left · 40 in progress",
    ):
        assert words in text
    assert "…" not in text


def test_frame_colours_by_meaning() -> None:
    text = screen(progress(), 80)
    assert re.search(r"\x1b\[1;33m *90\b", text)
    assert re.search(r"\x1b\[1;31m *10\b", text)


def test_frame_without_colour_has_no_colours() -> None:
    assert "\x1b[3" not in screen(progress(), 80, no_color=True)


def test_line_and_json_have_the_facts_of_the_frame() -> None:
    shown = progress(notice="limited by the endpoint for 120 s: \x1b[2Jslow down")
    words = line(shown, 75)
    assert words.startswith("1 min 15 s: complete 4,100/10,000 (90 rejected, 10 failed), verify 7;")
    assert words.endswith("; limited by the endpoint for 120 s: [2Jslow down")
    assert "about 1 h 1 min left" in words
    facts = json.loads(json.dumps(as_dict(shown, 75)))
    assert facts["stages"]["complete"] == {
        "done": 4_000, "rejected": 90, "failed": 10, "total": 10_000, "per_second": 12.34
    }  # fmt: skip
    assert facts["latest_reasons"][0] == {"stage": "generate", "reason": "exception", "n": 2}
    assert (facts["left_s"], facts["cost_usd"], facts["expected_usd"]) == (3_700, 0.5, 1.25)
    assert facts["notice"] == "limited by the endpoint for 120 s: [2Jslow down"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"stopping": True}, "stopping: 40 calls in flight finish"),
        ({"in_flight": 0, "waiting_for": {("claimed", 7): 2}}, "waiting for worker 7"),
        ({"in_flight": 0, "waiting_for": {("deferred", None): 2}}, "waiting for deferred jobs"),
    ],
)
def test_line_says_why_a_run_waits(values: dict[str, object], words: str) -> None:
    assert words in line(progress(**values), 1)


def test_frame_says_that_a_time_is_rough_or_unknown() -> None:
    shown = progress(outlook=Outlook({}, seconds_left=30.0, is_rough=True))
    assert "roughly 30 s left" in line(shown, 1)
    assert "time left unknown yet" in line(progress(outlook=None), 1)


def test_elapsed_text_has_two_units_at_most() -> None:
    assert [elapsed_text(s) for s in (0.4, 59, 61, 7_260)] == [
        "0 s",
        "59 s",
        "1 min 1 s",
        "2 h 1 min",
    ]
