"""A lineage in words: pieces that read well on a terminal, from origin to export, and as Markdown.

Decisions
- First a summary: where it came from, what asking cost, how it ended, which exports hold it.
- What is above and the row itself are told in full; what is below as a tree of one line each.
- A revised answer is followed by its difference from the answer that it revises.
- Messages that a prompt repeats from an earlier one (as a second turn does) are not told twice.
- A fence is longer than any run of backticks in it, so no text can end its own block.
"""

from __future__ import annotations

import difflib
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from annoy_store.analysis.lineage import Lineage, Node
from annoy_store.analysis.lineage_edges import Key
from annoy_store.analysis.lineage_summary import summary
from annoy_store.inference.spend import Usage

LONG = {
    "source": ("content",),
    "response": ("reasoning", "text"),
    "teacher": (),
    "sample": ("problem_statement", "io_requirements", "refcode", "input_generator"),
    "io_pair": ("input", "output"),
    "verdict": ("predicted", "got", "feedback"),
    "execution": ("error_message",),
    "prompt": ("messages",),
}
LANGUAGE = {
    "refcode": "python",
    "input_generator": "python",
    "input": "json",
    "output": "json",
    "predicted": "json",
    "got": "json",
}
BARE = {"text", "feedback", "problem_statement", "io_requirements", "reasoning"}
HIDDEN_COLUMNS = {"id", "messages", "template_digest"}
SUMMARY_COLUMNS = {
    "origin": ("repo", "path"),
    "source": ("language", "n_chars"),
    "turn": ("kind", "number"),
    "prompt": ("template", "n_chars"),
    "teacher": ("backend", "model"),
    "call": ("sample_no",),
    "response": ("finish_reason", "n_chars"),
    "sample": ("funcname",),
    "execution": ("purpose", "outcome", "error_type"),
    "io_pair": ("position", "input", "output"),
    "pair_check": ("status",),
    "verdict": ("status", "mismatch"),
    "export": ("format",),
    "export_row": ("export_id", "split"),
}
MAX_GIST = 60
MAX_DIFF = 2_000  # lines that are compared
CONTEXT = 2  # lines around a difference


@dataclass(frozen=True)
class Section:
    """A part of what is told: a heading, facts, or a text, as prose or as code in a language."""

    role: Literal["row", "part", "facts", "job", "prose", "code", "leaf"]
    text: str
    language: str = ""


def render_markdown(lineage: Lineage) -> Iterator[str]:
    """Yield the lines of a lineage as Markdown, the row's own heading marked."""
    return as_markdown(pieces(lineage))


def pieces(lineage: Lineage) -> Iterator[Section]:
    """Yield what there is to tell of a lineage, a summary first."""
    yield Section("row", f"{lineage.subject.kind}:{lineage.subject.id}")
    for words in summary(lineage):
        yield Section("facts", f"- {words}")
    told: list[Sequence[Any]] = []
    revised = _revised(lineage)
    for node in (*lineage.above, lineage.subject):
        mark = "  <==" if node is lineage.subject else ""
        yield from _tell_node(node, told, mark)
        if node.key in revised:
            yield from _difference(node, *revised[node.key])
    if lineage.below:
        yield Section("row", "what came of it")
        for line in _tree(lineage):
            yield Section("leaf", line)


def as_markdown(told: Iterable[Section]) -> Iterator[str]:
    """Yield lines of Markdown."""
    before = ""
    for piece in told:
        if piece.role not in ("facts", "job", "leaf") or before not in (piece.role, "row", "facts"):
            yield from [""] if before and before != "part" else []
        before = piece.role
        yield from _lines(piece)


def _lines(piece: Section) -> Iterator[str]:
    if piece.role == "code":
        longest = max((len(run) for run in re.findall("`+", piece.text)), default=0)
        fence = "`" * max(3, longest + 1)
        yield from (f"{fence}{piece.language}", piece.text, fence)
    elif piece.role == "prose":
        yield textwrap.indent(piece.text, "  ")  # it may have headings of its own
    else:
        yield {"row": "# ", "part": "## ", "job": ""}.get(piece.role, "") + piece.text


# Two turns -----------------------------------------------------------------------------------


def _revised(lineage: Lineage) -> dict[Key, tuple[int, Node]]:
    """Per answer to a revising turn: the number of that turn, and the answer that it revises."""
    nodes = {node.key: node for node in (*lineage.above, lineage.subject)}
    asked = {n.row["prompt_id"]: n.row for n in nodes.values() if n.kind == "turn"}
    found = {}
    for node in nodes.values():
        call = nodes.get(("call", node.row.get("call_id", 0))) if node.kind == "response" else None
        turn = asked.get(call.row["prompt_id"], {}) if call else {}
        before = nodes.get(("response", turn.get("revises_response_id") or 0))
        if before:
            found[node.key] = int(turn["number"]), before
    return found


def _difference(node: Node, number: int, before: Node) -> Iterator[Section]:
    """What changed from one answer to the next, as a diff."""
    old, new = (str(n.row["text"]).splitlines() for n in (before, node))
    if max(len(old), len(new)) > MAX_DIFF:
        return
    names = f"turn {number - 1}, response:{before.id}", f"turn {number}, response:{node.id}"
    lines = [*difflib.unified_diff(old, new, *names, n=CONTEXT, lineterm="")]
    yield Section("part", f"difference between turn {number - 1} and turn {number}")
    yield (
        Section("code", "\n".join(lines), "diff")
        if lines
        else Section("prose", "none: the same text")
    )


# Rows ----------------------------------------------------------------------------------------


def _tell_node(node: Node, told: list[Sequence[Any]], mark: str = "") -> Iterator[Section]:
    yield Section("row", f"{node.kind} {node.id}{mark}")
    if facts := [f"{key} {value}" for key, value in _facts(node)]:
        yield Section("facts", "; ".join(facts))
    for words in (*map(tried, node.tries), *map(_job, node.jobs)):
        yield Section("job", words)
    if node.kind == "prompt":
        yield from _messages(node.row["messages"], told)
        return
    for name in LONG.get(node.kind, ()):
        if node.row[name]:
            yield Section("part", name.replace("_", " "))
            yield _block(str(node.row[name]).strip("\n"), name, node.row)


def _facts(node: Node) -> Iterator[tuple[str, Any]]:
    untold = HIDDEN_COLUMNS | set(LONG.get(node.kind, ()))
    for key, value in node.row.items():
        if key not in untold and value not in (None, "", "{}"):
            yield key, f"{value:.6g}" if isinstance(value, float) else value


def _job(job: Mapping[str, Any]) -> str:
    reason = f": {job['reason']}" if job["reason"] else ""
    detail = f" ({job['detail']})" if job["detail"] else ""
    return f"[{job['stage']} {job['state']}{reason}{detail}]"


def tried(row: Mapping[str, Any]) -> str:
    """One try of a call: how it ended, how long it took, what it used."""
    ended = " ".join(str(row[k]) for k in ("status", "error_class", "http_status") if row[k])
    names = ("prompt", "cached", "completion", "reasoning")
    used = [f"{row[f'{name}_tokens']:,} {name}" for name in names if row[f"{name}_tokens"]]
    said = f": {_short(row['error_message'])}" if row["error_message"] else ""
    words = [ended, f"{row['latency_ms'] / 1000:.3g} s", *used]
    return f"[try {', '.join(words)}{said}]"


def _block(text: str, name: str, row: Mapping[str, Any]) -> Section:
    if name in BARE:
        return Section("prose", text, "markdown")
    return Section("code", text, LANGUAGE.get(name) or str(row.get("language", "")))


def _messages(text: str, told: list[Sequence[Any]]) -> Iterator[Section]:
    messages = json.loads(text)
    known = max((_common(messages, earlier) for earlier in told), default=0)
    told.append(messages)
    if known:
        yield Section("facts", f"(the first {known} of {len(messages)} messages as above)")
    for message in messages[known:]:
        yield Section("part", str(message.get("role", "?")))
        yield Section("prose", str(message.get("content", "")).strip("\n"), "markdown")


def _common(one: Sequence[Any], other: Sequence[Any]) -> int:
    n = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        n += 1
    return n


def _tree(lineage: Lineage) -> Iterator[str]:
    depth: dict[Key, int] = {lineage.subject.key: -1}
    for node in lineage.below:
        depth[node.key] = level = depth[node.parent or lineage.subject.key] + 1
        gist = " ".join(_short(node.row.get(key)) for key in SUMMARY_COLUMNS.get(node.kind, ()))
        ended = " ".join((*map(tried, node.tries), *map(_job, node.jobs)))
        yield f"{'  ' * level}{node.kind}:{node.id}  {gist}  {ended}".rstrip()
    for kind, n in lineage.left_out.items():
        yield f"and {n} more of {kind} (--most shows more)"


def _short(value: Any) -> str:
    text = " ".join(str("" if value is None else value).split())
    return text if len(text) <= MAX_GIST else f"{text[: MAX_GIST - 1]}\u2026"


def as_dict(lineage: Lineage) -> dict[str, Any]:
    """A lineage as JSON would say it."""
    return {
        **_node_dict(lineage.subject),
        "above": [_node_dict(node) for node in lineage.above],
        "below": [_node_dict(node) for node in lineage.below],
        "left_out": dict(lineage.left_out),
        "cost": _usage_dict(lineage.cost),
        "cost_below": _usage_dict(lineage.cost_below),
        "exports": [dict(row) for row in lineage.exports],
        "taken_down": lineage.taken_down,
    }


def _usage_dict(usage: Usage) -> dict[str, Any]:
    return {"tries": usage.attempts, "tokens": dict(usage.tokens), "cost_usd": usage.cost_usd}


def _node_dict(node: Node) -> dict[str, Any]:
    told = {"kind": node.kind, "id": node.id, "row": dict(node.row), "jobs": list(node.jobs)}
    if node.kind == "call":
        told["tries"] = list(node.tries)
    return told | ({"parent": "{}:{}".format(*node.parent)} if node.parent else {})
