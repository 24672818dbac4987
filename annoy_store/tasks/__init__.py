"""The tasks: one file per kind of question with a stored ground truth.

A task defines which subjects it asks about, how a question is rendered, how an answer is checked
and what feedback a wrong answer gets. Stages, queue, exports, report and pages name no task.
Other packages add tasks by entry points of the group `annoy_store.tasks`.

Decisions. A check decides on the host, from the text of the answer and from the results of the
sandbox. A failure of the sandbox itself is never a verdict: it raises SandboxError. A task's
`version` is part of its variants and is raised whenever its questions, verdicts or feedback
change; `parsing` and `compare`, which the tasks share, have versions of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from annoy_store import plugins
from annoy_store.errors import UsageError, unknown_name
from annoy_store.interfaces import Task, TaskOptions
from annoy_store.parsing import sections
from annoy_store.tasks import compare, predict_input, predict_output

GROUP = "annoy_store.tasks"
RESERVED = frozenset({"default", "transform"})  # a word of the policy, a kind of other turns
_NAME = re.compile(r"[a-z][a-z0-9_]*")
BUNDLED = (predict_output.TASK, predict_input.TASK)


def _load() -> dict[str, Task]:
    tasks = {task.name: task for task in BUNDLED}
    for name, found in plugins.load_group(GROUP).items():
        if not isinstance(found, Task):
            raise UsageError(f"{GROUP}: {name!r} is a {type(found).__name__}, not a Task")
        if not _NAME.fullmatch(name) or name in RESERVED:
            raise UsageError(
                f"{GROUP}: a task cannot be named {name!r}; a name is lower-case letters, digits "
                f"and underscores, and none of: {', '.join(sorted(RESERVED))}"
            )
        if not issubclass(found.options, TaskOptions):
            raise UsageError(
                f"{GROUP}: the options of {name!r}: it has to be a class of TaskOptions"
            )
        if found.name in tasks or found.name != name:
            raise UsageError(f"{GROUP}: {name!r} has to be a new task of that name")
        tasks[name] = found
    return tasks


TASKS: Mapping[str, Task] = _load()


def get_task(name: str) -> Task:
    """Return the task of this name.

    Raises:
        UsageError: If there is none; the message lists the known tasks.
    """
    if name not in TASKS:
        raise UsageError(unknown_name("task", name, TASKS))
    return TASKS[name]


def check_version(task: Task) -> str:
    """Return the version of a task's verdicts: of the task, the parser and the comparison."""
    return f"{task.version}, parsing {sections.VERSION}, matching {compare.VERSION}"
