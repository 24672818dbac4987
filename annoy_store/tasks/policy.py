"""The policy of a store together with the options of the tasks, which are policies named `TASK.KEY`.

Decisions
- The policy rows of a task are kept as stored and parsed by the task's own model, so the general
  policy names no task, and a store keeps the options of a task whose package is not installed.
- An option may have an older name (`legacy_options` of the task): both names are valid, and its row
  keeps the older one, so that no store has to be changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from sqlalchemy import Connection

from annoy_store.config import Policy
from annoy_store.errors import UsageError, unknown_name
from annoy_store.interfaces import Task, TaskOptions
from annoy_store.prompts.template import OPTIONAL_VALUES, load_template
from annoy_store.records.policy import (
    check_policy,
    first_error,
    load_policy,
    read_text,
    store_policy_value,
)
from annoy_store.tasks import TASKS, get_task

# The general policies that the verdicts of every task depend on.
CHECK_POLICIES = ("tolerance", "same_integer_part", "cpu_seconds", "wall_seconds", "memory_mb")
TEMPLATE = "template"  # an option whose value names a template: variants depend on its text


@dataclass(frozen=True)
class TaskOption:
    """One option of a task: its key, the key of its row, and its field."""

    task: Task
    name: str

    @property
    def key(self) -> str:
        """The key as users type it: `TASK.NAME`."""
        return f"{self.task.name}.{self.name}"

    @property
    def row_key(self) -> str:
        """The key of its row in `policies`: the older name, if it has one."""
        return self.task.legacy_options.get(self.name, self.key)

    @property
    def field(self) -> FieldInfo:
        """The field of the task's options model."""
        return self.task.options.model_fields[self.name]

    @property
    def meaning(self) -> str:
        """What is set: the description of the field, or that of the field it overrides."""
        inherited = TaskOptions.model_fields.get(self.name)
        return self.field.description or (inherited.description if inherited else None) or ""


def task_options() -> dict[str, TaskOption]:
    """Return the options of all known tasks by their key `TASK.NAME`."""
    options = (
        TaskOption(task, name) for task in TASKS.values() for name in task.options.model_fields
    )
    return {option.key: option for option in options}


def find_option(key: str) -> TaskOption | None:
    """Return the option of a key, its older name included; None for a general policy.

    Raises:
        UsageError: If the key is neither; the message lists the known tasks or keys.
    """
    if key in _general_keys():
        return None
    options = task_options()
    for option in options.values():
        if key in (option.key, option.row_key):
            return option
    task, dot, _ = key.partition(".")
    if dot:
        get_task(task)
    known = [name for name in options if name.startswith(f"{task}.")] if dot else []
    raise UsageError(unknown_name("policy", key, known or policy_keys()))


def policy_keys() -> list[str]:
    """Return the keys of the general policy, then those of the tasks."""
    return [*_general_keys(), *task_options()]


def _general_keys() -> list[str]:
    return [name for name in Policy.model_fields if name != "task_options"]


def read_options(task: Task, policy: Policy) -> TaskOptions:
    """Return the options of a task under a policy: its rows over the defaults.

    Args:
        task: The task.
        policy: The policy of the store.

    Raises:
        UsageError: If a stored value does not fit the task's model.
    """
    rows = dict(policy.task_options)
    stored = {
        name: rows[key]
        for name in task.options.model_fields
        if (key := TaskOption(task, name).row_key) in rows
    }
    try:
        return task.options.model_validate(stored)
    except ValidationError as error:
        raise UsageError(first_error(error, f"{task.name}.")) from error


def option_values(task: Task, policy: Policy, *, template: bool = True) -> dict[str, Any]:
    """Return the part of a variant that a task's options are; a template is the digest of its text.

    Args:
        task: The task.
        policy: The policy of the store.
        template: Whether to include the template; verdicts do not depend on it.
    """
    values = read_options(task, policy).model_dump()
    name = values.pop(TEMPLATE)
    return {TEMPLATE: load_template(name).digest, **values} if template else values


def changed_check_policies(task: Task, policy: Policy) -> dict[str, Any]:
    """Return the policies that a task's verdicts depend on, where they are not the defaults.

    Args:
        task: The task.
        policy: The policy of the store.

    Returns:
        Values by key; an option of the task by the key of its row.
    """
    changed = {
        key: getattr(policy, key)
        for key in CHECK_POLICIES
        if getattr(policy, key) != Policy.model_fields[key].default
    }
    options = option_values(task, policy, template=False)
    for name, value in options.items():
        option = TaskOption(task, name)
        if value != option.field.default:
            changed[option.row_key] = value
    return changed


def policy_value(policy: Policy, key: str) -> Any:
    """Return the value of a general policy or of a task's option, by its key.

    Args:
        policy: The policy of the store.
        key: Key of a general policy, or `TASK.NAME` or the older name of an option.
    """
    option = find_option(key)
    return (
        getattr(read_options(option.task, policy), option.name) if option else getattr(policy, key)
    )


def default_text(key: str) -> str:
    """Return the default of a key as it would be typed. Raises UsageError for an unknown key."""
    option = find_option(key)
    return str((option.field if option else Policy.model_fields[key]).default)


def changed_policy(old: Policy, changes: Mapping[str, str]) -> Policy:
    """Return a policy with values given as text, as `set_policy` would store it.

    Args:
        old: The policy to change.
        changes: New values as text by key; `@FILE` stands for the text of a file.

    Raises:
        UsageError: For an unknown key or task, or an invalid value.
    """
    general: dict[str, Any] = {}
    rows = dict(old.task_options)
    for key, text in changes.items():
        option, value = find_option(key), read_text(text)
        if option is None:
            general[key] = value
        else:
            rows[option.row_key] = value
    new = check_policy(old.model_dump() | general | {"task_options": tuple(sorted(rows.items()))})
    before = {use.key: use.name for use in _templates(old)}
    for use in _templates(new):
        if use.name != before[use.key]:
            _check_template(use)
    enabled_names(new)
    return new


class _TemplateUse(NamedTuple):
    key: str
    name: str
    default: str
    more_values: frozenset[str]  # that the default may leave out


def _templates(policy: Policy) -> Iterator[_TemplateUse]:
    for key in ("template_transform", "template_revise"):
        default = Policy.model_fields[key].default
        yield _TemplateUse(key, getattr(policy, key), default, frozenset())
    for task in TASKS.values():
        default = task.options.model_fields[TEMPLATE].default
        name = read_options(task, policy).template
        default = default if isinstance(default, str) else name
        yield _TemplateUse(f"{task.name}.{TEMPLATE}", name, default, OPTIONAL_VALUES)


def _check_template(use: _TemplateUse) -> None:
    """Check that a template has the placeholders that the default has, and no others."""
    values = load_template(use.default).placeholders | use.more_values
    try:
        load_template(use.name).check(values)
    except UsageError as error:
        raise UsageError(f"policy {use.key}: {error}") from None


def enabled_names(policy: Policy) -> list[str]:
    """Return the names of the tasks that a policy enables, in the order of `TASKS`.

    Raises:
        UsageError: If the policy names a task that no installed package provides.
    """
    wanted = policy.tasks.replace(",", " ").split()
    if wanted == ["default"]:
        return [task.name for task in TASKS.values() if task.by_default]
    if not wanted:
        raise UsageError(f"policy tasks: names no task; known are: {', '.join(TASKS)}")
    for name in wanted:
        if name not in TASKS:
            raise UsageError(
                f"policy tasks: {unknown_name('task', name, TASKS)}; install the package that "
                "provides it, or name others: annoy policy tasks=NAME,..."
            )
    return [name for name in TASKS if name in wanted]


def set_policy(connection: Connection, changes: Mapping[str, str]) -> Policy:
    """Change policy values given as text; `@FILE` stands for the file's text.

    Args:
        connection: A write transaction.
        changes: New values as text by key; `@FILE` stands for the text of a file.

    Raises:
        UsageError: For an unknown key or an invalid value; then nothing is changed.
    """
    new = changed_policy(load_policy(connection), changes)
    for key in changes:
        option = find_option(key)
        if option is None:
            default: Any = Policy.model_fields[key].default
            store_policy_value(connection, key, getattr(new, key), default)
        else:
            value = getattr(read_options(option.task, new), option.name)
            store_policy_value(connection, option.row_key, value, option.field.default)
    return new
