"""Teachers: models behind endpoints, and programs that answer like one; one module per backend.

Decision: a backend is a module here whose name is the `--teacher` value. It is imported when it is
opened, because `openai` takes a second to import and most commands ask nobody.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import cast

from annoy_store.config import RunSettings
from annoy_store.errors import UsageError
from annoy_store.interfaces import Teacher


def backend_names() -> list[str]:
    """Return the names of the backends, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def backend_and_model(settings: RunSettings, kind: str) -> tuple[str, str | None]:
    """Return backend and model that `settings` name for turns of `kind`.

    Kinds with the same choice can share one teacher, and should: its limiter knows the endpoint.
    """
    if kind != "transform":
        return settings.teacher, settings.model
    return (
        settings.transform_teacher or settings.teacher,
        settings.transform_model or settings.model,
    )


def open_teacher(settings: RunSettings, kind: str) -> Teacher:
    """Open the teacher of turns of `kind`. Raises UsageError if it cannot be what was asked for."""
    backend, model = backend_and_model(settings, kind)
    return open_backend(backend, settings, model)


def open_backend(backend: str, settings: RunSettings, model: str | None) -> Teacher:
    """Open `backend` for `model`. Raises UsageError for an unknown name or unusable settings."""
    if backend not in backend_names():
        known = ", ".join(backend_names())
        raise UsageError(f"unknown teacher {backend!r}; known are: {known}")
    module = importlib.import_module(f"{__name__}.{backend}")
    return cast(Teacher, module.connect(settings, model))
