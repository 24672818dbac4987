"""A program, and the ground truths of questions about it."""

from __future__ import annotations

from typing import Any

CODE = "def main_solution(n):\n    return n * n\n"


def truth(task: str, **changes: Any) -> dict[str, Any]:
    """Return the ground truth of a question of `task` about `CODE`."""
    values = {
        "task": task,
        "code": CODE,
        "funcname": "main_solution",
        "input": '{"n":3}',
        "output": "9",
    }
    return values | changes
