"""A lineage as text: sections for a terminal or for Markdown, and as JSON.

Decisions
- First a summary: origin, verdicts, cost of the calls, exports. Then a chain at a glance.
- Ancestors and the row itself are shown in full, descendants as a tree with one line each.
- A revised answer is followed by its difference from the answer that it revises.
- Messages that a prompt repeats from an earlier one (as a second turn does) are shown once.
- A fence is longer than any run of backticks in it, so no text can end its own block.
"""

from __future__ import annotations

import difflib
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from annoy_store.analysis.lineage import Lineage, Node
from annoy_store.analysis.lineage_edges import Key
from annoy_store.analysis.lineage_section import Section
from annoy_store.analysis.lineage_summary import summary
from annoy_store.analysis.lineage_turns import turn_sections
from annoy_store.analysis.row_columns import (
    PROSE_COLUMNS,
    SUMMARY_COLUMNS,
    TEXT_COLUMNS,
    language_of,
    visible_facts,
)
from annoy_store.inference.spend import Usage
from annoy_store.records.annotations import as_dict as marks_as_dict

MAX_SUMMARY_CHARS = 60
MAX_DIFF_LINES = 2_000  # lines that are compared
CONTEXT_LINES = 2  # lines around a difference


def render_markdown(lineage: Lineage) -> Iterator[str]:
    """Yield the lines of a lineage as Markdown, with the row's own heading marked."""
    return as_markdown(sections(lineage))


def sections(lineage: Lineage) -> Iterator[Section]:
    """Yield the sections: a summary, the turns of a chain, ancestors, the row, descendants."""
    yield Section("row", f"{lineage.subject.kind}:{lineage.subject.id}")
    for fact in summary(lineage):
        yield Section("facts", f"- {fact}")
    yield from turn_sections(lineage)
    shown: list[Sequence[Any]] = []
    revised = _revised_answers(lineage)
    for node in (*lineage.above, lineage.subject):
        mark = "  <==" if node is lineage.subject else ""
        yield from _node_sections(node, shown, mark)
        if node.key in revised:
            yield from _diff_sections(node, *revised[node.key])
    if lineage.below:
        yield Section("row", "descendants")
        for line in _tree(lineage):
            yield Section("leaf", line)


def as_markdown(shown: Iterable[Section]) -> Iterator[str]:
    """Yield sections as lines of Markdown."""
    before = ""
    for section in shown:
        role = section.role
        if role not in ("facts", "job", "good", "bad", "leaf") or before not in (
            role,
            "row",
            "facts",
        ):
            yield from [""] if before and before != "part" else []
        before = role
        yield from _section_lines(section)


def _section_lines(section: Section) -> Iterator[str]:
    if section.role == "code":
        longest = max((len(run) for run in re.findall("`+", section.text)), default=0)
        fence = "`" * max(3, longest + 1)
        yield from (f"{fence}{section.language}", section.text, fence)
    elif section.role == "prose":
        yield textwrap.indent(section.text, "  ")  # the text may contain headings
    else:
        yield {"row": "# ", "part": "## ", "job": ""}.get(section.role, "") + section.text


# Two turns -----------------------------------------------------------------------------------


def _revised_answers(lineage: Lineage) -> dict[Key, tuple[int, Node]]:
    """Return, per revised answer, the number of its turn and the answer that it revises."""
    nodes = {node.key: node for node in (*lineage.above, lineage.subject)}
    turn_of = {n.row["prompt_id"]: n.row for n in nodes.values() if n.kind == "turn"}
    found = {}
    for node in nodes.values():
        call = nodes.get(("call", node.row.get("call_id", 0))) if node.kind == "response" else None
        turn = turn_of.get(call.row["prompt_id"], {}) if call else {}
        before = nodes.get(("response", turn.get("revises_response_id") or 0))
        if before:
            found[node.key] = int(turn["number"]), before
    return found


def _diff_sections(node: Node, number: int, before: Node) -> Iterator[Section]:
    """Yield the difference between two answers as a unified diff."""
    old, new = (str(n.row["text"]).splitlines() for n in (before, node))
    if max(len(old), len(new)) > MAX_DIFF_LINES:
        return
    names = f"turn {number - 1}, response:{before.id}", f"turn {number}, response:{node.id}"
    lines = [*difflib.unified_diff(old, new, *names, n=CONTEXT_LINES, lineterm="")]
    yield Section("part", f"difference between turn {number - 1} and turn {number}")
    yield (
        Section("code", "\n".join(lines), "diff")
        if lines
        else Section("prose", "none: both texts are equal")
    )


# Rows ----------------------------------------------------------------------------------------


def _node_sections(node: Node, shown: list[Sequence[Any]], mark: str = "") -> Iterator[Section]:
    yield Section("row", f"{node.kind} {node.id}{mark}")
    if facts := [f"{key} {value}" for key, value in _format_facts(node)]:
        yield Section("facts", "; ".join(facts))
    for line in (*map(format_attempt, node.attempts), *map(_format_job, node.jobs)):
        yield Section("job", line)
    yield from _mark_sections(node)
    if node.kind == "prompt":
        yield from _message_sections(node.row["messages"], shown)
        return
    for name in TEXT_COLUMNS.get(node.kind, ()):
        if node.row[name]:
            yield Section("part", name.replace("_", " "))
            yield _text_section(str(node.row[name]).strip("\n"), name, node.row)


def _mark_sections(node: Node) -> Iterator[Section]:
    for one in node.marks:
        by = f"by {one.author}, {one.created_at}"
        if one.mark.kind == "note":
            yield Section("part", f"note {by}")
            yield Section("prose", one.mark.value)
        else:
            yield Section("job", f"[{' '.join((one.mark.kind, one.mark.value)).strip()}, {by}]")


def _format_facts(node: Node) -> Iterator[tuple[str, Any]]:
    for name, value in visible_facts(node.kind, node.row):
        yield name, f"{value:.6g}" if isinstance(value, float) else value


def _format_job(job: Mapping[str, Any]) -> str:
    reason = f": {job['reason']}" if job["reason"] else ""
    detail = f" ({job['detail']})" if job["detail"] else ""
    return f"[{job['stage']} {job['state']}{reason}{detail}]"


def format_attempt(row: Mapping[str, Any]) -> str:
    """Return one line on an attempt of a call: status, latency, tokens, error.

    Args:
        row: A row of `attempts`, by column name.
    """
    ended = " ".join(str(row[k]) for k in ("status", "error_class", "http_status") if row[k])
    names = ("prompt", "cached", "completion", "reasoning")
    used = [f"{row[f'{name}_tokens']:,} {name}" for name in names if row[f"{name}_tokens"]]
    error = f": {_shorten(row['error_message'])}" if row["error_message"] else ""
    kept = len(row["text"] or "") + len(row["reasoning"] or "")
    used += [f"{kept:,} characters kept"] if kept else []
    parts = [ended, f"{row['latency_ms'] / 1000:.3g} s", *used]
    return f"[attempt {', '.join(parts)}{error}]"


def _text_section(text: str, name: str, row: Mapping[str, Any]) -> Section:
    if name in PROSE_COLUMNS:
        return Section("prose", text, "markdown")
    return Section("code", text, language_of(name, row))


def _message_sections(text: str, shown: list[Sequence[Any]]) -> Iterator[Section]:
    messages = json.loads(text)
    known = max((_common_prefix(messages, earlier) for earlier in shown), default=0)
    shown.append(messages)
    if known:
        yield Section("facts", f"(the first {known} of {len(messages)} messages as above)")
    for message in messages[known:]:
        yield Section("part", str(message.get("role", "?")))
        yield Section("prose", str(message.get("content", "")).strip("\n"), "markdown")


def _common_prefix(one: Sequence[Any], other: Sequence[Any]) -> int:
    n = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        n += 1
    return n


def _tree(lineage: Lineage) -> Iterator[str]:
    for level, node in lineage.tree():
        facts = " ".join(_shorten(node.row.get(key)) for key in SUMMARY_COLUMNS.get(node.kind, ()))
        marks = (f"[{one.mark.kind} {_shorten(one.mark.value)}]" for one in node.marks)
        ended = " ".join(
            (*map(format_attempt, node.attempts), *map(_format_job, node.jobs), *marks)
        )
        yield f"{'  ' * level}{node.kind}:{node.id}  {facts}  {ended}".rstrip()
    for kind, n in lineage.omitted.items():
        yield f"and {n} more of {kind} (show more with --most)"


def _shorten(value: Any) -> str:
    text = " ".join(str("" if value is None else value).split())
    return text if len(text) <= MAX_SUMMARY_CHARS else f"{text[: MAX_SUMMARY_CHARS - 1]}\u2026"


def as_dict(lineage: Lineage) -> dict[str, Any]:
    """Return a lineage as `annoy show --json` prints it."""
    return {
        **_node_dict(lineage.subject),
        "above": [_node_dict(node) for node in lineage.above],
        "below": [_node_dict(node) for node in lineage.below],
        "left_out": dict(lineage.omitted),
        "cost": _usage_dict(lineage.cost),
        "cost_below": _usage_dict(lineage.cost_below),
        "exports": [dict(row) for row in lineage.exports],
        "taken_down": lineage.taken_down,
    }


def _usage_dict(usage: Usage) -> dict[str, Any]:
    return {"tries": usage.attempts, "tokens": dict(usage.tokens), "cost_usd": usage.cost_usd}


def _node_dict(node: Node) -> dict[str, Any]:
    values = {"kind": node.kind, "id": node.id, "row": dict(node.row), "jobs": list(node.jobs)}
    values |= marks_as_dict(node.marks)
    if node.kind == "call":
        values["tries"] = list(node.attempts)
    return values | ({"parent": "{}:{}".format(*node.parent)} if node.parent else {})
