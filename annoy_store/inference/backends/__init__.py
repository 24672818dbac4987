"""Backends: models behind endpoints, and programs that answer like one; one module per backend.

Decision: a backend is a module here whose name is the `--teacher` value. It is imported when it is
opened, because `openai` takes a second to import and most commands call no model.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import cast

from annoy_store.config import RunSettings
from annoy_store.errors import UsageError, unknown_name
from annoy_store.interfaces import Teacher


def backend_names() -> list[str]:
    """Return the names of the backends, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


ROLES = ("transform", "task")  # what a teacher may be chosen for


def role_of(kind: str) -> str:
    """Return the role that answers turns of a kind: `transform`, or `task` for every task."""
    return "transform" if kind == "transform" else "task"


def backend_and_model(settings: RunSettings, kind: str) -> tuple[str, str | None]:
    """Return the backend and the model that `settings` name for turns of `kind`.

    Kinds with the same backend and model can share one teacher, and should: its request limiter
    adapts to the endpoint.

    Args:
        settings: The settings of this machine.
        kind: Kind of turn (`transform` or a task's name), or a role of `ROLES`.
    """
    if role_of(kind) != "transform":
        return settings.teacher, settings.model
    return (
        settings.transform_teacher or settings.teacher,
        settings.transform_model or settings.model,
    )


def open_teacher(settings: RunSettings, kind: str) -> Teacher:
    """Open the teacher of turns of `kind`, as `open_backend` does."""
    backend, model = backend_and_model(settings, kind)
    return open_backend(backend, settings, model)


def open_backend(backend: str, settings: RunSettings, model: str | None) -> Teacher:
    """Open a backend.

    Args:
        backend: Its name, one of `backend_names`.
        settings: What it needs to know: the endpoint, limits, the file of recorded answers.
        model: The model's name, if the settings name one.

    Returns:
        The teacher, to be closed by the caller.

    Raises:
        UsageError: The name is unknown, or the settings lack something.
    """
    if backend not in backend_names():
        raise UsageError(unknown_name("teacher", backend, backend_names()))
    module = importlib.import_module(f"{__name__}.{backend}")
    return cast(Teacher, module.connect(settings, model))
