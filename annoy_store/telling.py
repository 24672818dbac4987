"""A lineage in words: Markdown that reads well on a terminal, from origin to export.

Decisions
- What is above and the row itself are told in full; what is below as a tree of one line each.
- Messages that a prompt repeats from an earlier one (as a second turn does) are not told twice.
- A fence is longer than any run of backticks in it, so no text can end its own block.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from annoy_store.showing import Key, Lineage, Node

LONG = {
    "source": ("content",), "response": ("reasoning", "text"), "teacher": (),
    "sample": ("problem_statement", "io_requirements", "refcode", "input_generator"),
    "io_pair": ("input", "output"), "verdict": ("predicted", "got", "feedback"),
    "execution": ("error_message",), "prompt": ("messages",),
}  # fmt: skip
LANGUAGE = {
    "refcode": "python", "input_generator": "python", "input": "json", "output": "json",
    "predicted": "json", "got": "json",
}  # fmt: skip
BARE = {"text", "feedback", "problem_statement", "io_requirements", "reasoning"}
UNTOLD = {"id", "messages", "template_digest"}
GIST = {
    "origin": ("repo", "path"), "source": ("language", "n_chars"), "turn": ("kind", "number"),
    "prompt": ("template", "n_chars"), "teacher": ("backend", "model"), "call": ("sample_no",),
    "response": ("finish_reason", "n_chars"), "sample": ("funcname",),
    "execution": ("purpose", "outcome", "error_type"), "io_pair": ("position", "input", "output"),
    "pair_check": ("status",), "verdict": ("status", "mismatch"), "export": ("format",),
    "export_row": ("export_id", "split"),
}  # fmt: skip
MAX_GIST = 60


def tell(lineage: Lineage) -> Iterator[str]:
    """Yield the lines of a lineage, the row's own heading marked."""
    told: list[Sequence[Any]] = []
    for node in lineage.above:
        yield from _tell_node(node, told)
    yield from _tell_node(lineage.subject, told, mark="  <==")
    if lineage.below:
        yield "# what came of it"
        yield ""
        yield from _tree(lineage)


def _tell_node(node: Node, told: list[Sequence[Any]], mark: str = "") -> Iterator[str]:
    yield f"# {node.kind} {node.id}{mark}"
    facts = [f"{key} {value}" for key, value in _facts(node)]
    if facts:
        yield "; ".join(facts)
    for job in node.jobs:
        yield _job(job)
    yield ""
    if node.kind == "prompt":
        yield from _messages(node.row["messages"], told)
        return
    for name in LONG.get(node.kind, ()):
        if node.row[name]:
            yield f"## {name.replace('_', ' ')}"
            yield from _block(str(node.row[name]), name, node.row)


def _facts(node: Node) -> Iterator[tuple[str, Any]]:
    untold = UNTOLD | set(LONG.get(node.kind, ()))
    for key, value in node.row.items():
        if key not in untold and value not in (None, "", "{}"):
            yield key, f"{value:.6g}" if isinstance(value, float) else value


def _job(job: Mapping[str, Any]) -> str:
    reason = f": {job['reason']}" if job["reason"] else ""
    detail = f" ({job['detail']})" if job["detail"] else ""
    return f"[{job['stage']} {job['state']}{reason}{detail}]"


def _block(text: str, name: str, row: Mapping[str, Any]) -> Iterator[str]:
    if name in BARE:
        yield _indented(text)
    else:
        longest = max((len(run) for run in re.findall("`+", text)), default=0)
        fence = "`" * max(3, longest + 1)
        yield f"{fence}{LANGUAGE.get(name) or row.get('language', '')}"
        yield text.strip("\n")
        yield fence
    yield ""


def _messages(text: str, told: list[Sequence[Any]]) -> Iterator[str]:
    messages = json.loads(text)
    known = max((_common(messages, earlier) for earlier in told), default=0)
    told.append(messages)
    if known:
        yield f"(the first {known} of {len(messages)} messages as above)"
        yield ""
    for message in messages[known:]:
        yield f"## {message.get('role', '?')}"
        yield _indented(str(message.get("content", "")))
        yield ""


def _indented(text: str) -> str:
    """Text that may have headings of its own, set off from ours."""
    return textwrap.indent(text.strip("\n"), "  ")


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
        gist = " ".join(_short(node.row.get(key)) for key in GIST.get(node.kind, ()))
        ended = " ".join(_job(job) for job in node.jobs)
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
    }


def _node_dict(node: Node) -> dict[str, Any]:
    told = {"kind": node.kind, "id": node.id, "row": dict(node.row), "jobs": list(node.jobs)}
    return told | ({"parent": "{}:{}".format(*node.parent)} if node.parent else {})
