"""A chain at a glance: the end of its question, and by turn the end of the answer and its verdict.

Decision: what decides stands at the end, of a question (the input) and of an answer; all of both
follows in the lineage.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from annoy_store.analysis.lineage import Lineage, Node
from annoy_store.analysis.lineage_edges import CHAIN
from annoy_store.analysis.lineage_section import Section

QUESTION_LINES, ANSWER_LINES = 12, 8
MAX_CHARS = 1_200  # of an end


def turn_sections(lineage: Lineage) -> Iterator[Section]:
    """Yield the turns of a chain; nothing for another row."""
    if lineage.subject.kind != CHAIN:
        return
    nodes = {node.key: node for node in lineage.above}
    calls = {n.row["prompt_id"]: n for n in nodes.values() if n.kind == "call"}
    answers = {n.row["call_id"]: n for n in nodes.values() if n.kind == "response"}
    asked = [n for n in nodes.values() if n.kind == "turn" and n.row["kind"] != "transform"]
    for turn in sorted(asked, key=lambda node: int(node.row["number"])):
        prompt = turn.row["prompt_id"]
        call = calls.get(prompt)
        answer = answers.get(call.id) if call else None
        yield Section("row", f"turn {turn.row['number']}: {turn.row['kind']}")
        if int(turn.row["number"]) == 1 and (found := nodes.get(("prompt", prompt))):
            question = str(json.loads(found.row["messages"])[-1].get("content", ""))
            yield Section("part", f"end of the question (all of it: annoy show prompt:{prompt})")
            yield Section("prose", _end(question, QUESTION_LINES), "markdown")
        if answer:
            yield Section("part", f"end of the answer (all of it: annoy show response:{answer.id})")
            yield Section("prose", _end(str(answer.row["text"]), ANSWER_LINES), "markdown")
            yield from _verdict_sections(_newest_verdict(lineage, answer))


def _end(text: str, n_lines: int) -> str:
    """Return the last lines of a text, with an ellipsis if there are more."""
    lines = text.strip().splitlines()
    end = "\n".join(lines[-n_lines:])[-MAX_CHARS:]
    return end if end == "\n".join(lines) else f"…\n{end}"


def _newest_verdict(lineage: Lineage, answer: Node) -> Mapping[str, Any] | None:
    rows = [n.row for n in lineage.above if n.kind == "verdict"]
    own = [row for row in rows if row["response_id"] == answer.id]
    return max(own, key=lambda row: int(row["variant_id"]), default=None)


def _verdict_sections(row: Mapping[str, Any] | None) -> Iterator[Section]:
    if row is None:
        yield Section("facts", "no verdict yet")
        return
    status = f"{row['status']}: {row['mismatch']}" if row["mismatch"] else str(row["status"])
    predicted = f", predicted {row['predicted']}" if row["predicted"] else ""
    got = f", which gives {row['got']}" if row["got"] else ""
    words = f"verdict: {' '.join(f'{status}{predicted}{got}'.split())}"
    yield Section("good" if row["status"] == "correct" else "bad", words)
    if row["feedback"]:
        yield Section("part", "feedback")
        yield Section("prose", str(row["feedback"]).strip("\n"), "markdown")
