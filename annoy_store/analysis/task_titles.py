"""What the kinds of turns are called in reports and pages."""

from __future__ import annotations

from annoy_store.tasks import TASKS

TRANSFORM = "transform"


def task_titles() -> dict[str, str]:
    """Return the tasks by name with their titles, in the order in which they are shown."""
    return {name: task.title for name, task in TASKS.items()}


def kind_titles() -> dict[str, str]:
    """Return all kinds of turns with their titles: `transform`, then the tasks."""
    return {TRANSFORM: "rewrite a file", **task_titles()}
