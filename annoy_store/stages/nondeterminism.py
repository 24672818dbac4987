"""Detects calls whose result no seed controls: clock, entropy, unseeded generators.

Decision: pairs of such code are unstable even if two runs agreed, because they may agree by chance.
Only calls count, not imports. `random` and `numpy.random` themselves are seeded, so two runs with
different seeds show whether they matter.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from annoy_store.parsing.python_code import parse_module

CLOCK_CALLS = {
    "time": {
        "time",
        "time_ns",
        "perf_counter",
        "perf_counter_ns",
        "monotonic",
        "monotonic_ns",
        "process_time",
        "localtime",
        "gmtime",
        "ctime",
        "strftime",
    },
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
ENTROPY_CALLS = {
    "uuid": {"uuid1", "uuid4", "uuid6", "uuid7"},
    "os": {"urandom", "getrandom", "getpid", "times"},
    "random": {"SystemRandom"},
}


def nondeterministic_call(code: str) -> str | None:
    """Return the kind of the first call in `code` that no seed controls.

    Args:
        code: Python source; it need not be valid.

    Returns:
        `clock`, `entropy` or `unseeded`; None if there is no such call.
    """
    try:
        tree = parse_module(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    imported = dict(_imported(tree))
    uses = (_use(node, imported) for node in ast.walk(tree) if isinstance(node, ast.Call))
    return next((use for use in uses if use), None)


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield each local name with the dotted name that it was imported from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield (
                    name.asname or name.name.split(".")[0],
                    (name.asname and name.name) or name.name.split(".")[0],
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                yield name.asname or name.name, f"{node.module}.{name.name}"


def _use(call: ast.Call, imported: dict[str, str]) -> str | None:
    parts = _dotted(call.func)
    if not parts or parts[0] not in imported:
        return None
    path = imported[parts[0]].split(".") + parts[1:]
    if path[0] == "secrets":
        return "entropy"
    owner, name = (path[-2] if len(path) > 1 else ""), path[-1]
    if name in ENTROPY_CALLS.get(owner, ()):
        return "entropy"
    if name in CLOCK_CALLS.get(owner, ()) and not (
        name in {"localtime", "gmtime", "ctime"} and call.args
    ):
        return "clock" if name != "strftime" or len(call.args) < 2 else None
    unseeded = name in {"default_rng", "RandomState", "Random"} and not call.args + call.keywords
    return "unseeded" if unseeded else None


def _dotted(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return [*owner, node.attr] if owner else []
    return []
