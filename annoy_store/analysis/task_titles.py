"""The kinds of question and their titles, for forecasts, the report and the web pages.

Report and web do not import tasks and know no kind of question by name: they use this module.
"""

from __future__ import annotations

from annoy_store.tasks import TASKS

TRANSFORM = "transform"


def task_titles() -> dict[str, str]:
    """Return the title of each task by its name, in display order.

    A task's name is the `kind` of its turns and the `checker` of its verdicts.
    """
    return {name: task.title for name, task in TASKS.items()}


def question_titles() -> dict[str, str]:
    """Return the title of each kind of turn: rewriting a file, then the tasks."""
    return {TRANSFORM: "rewrite a file", **task_titles()}
