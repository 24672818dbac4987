"""Names of backends, and which backend answers which kind of turn."""

from __future__ import annotations

import pytest

from annoy_store.config import RunSettings
from annoy_store.errors import UsageError
from annoy_store.inference.backends import (
    backend_and_model,
    backend_names,
    open_backend,
)


def test_backend_names_are_checked() -> None:
    assert {"openai", "replay"} <= set(backend_names())
    with pytest.raises(UsageError, match="known are: "):
        open_backend("oracle", RunSettings(), None)


def test_backend_and_model_may_differ_for_transform() -> None:
    both = RunSettings(teacher="replay", transform_teacher="openai", model="a", transform_model="b")
    assert backend_and_model(both, "transform") == ("openai", "b")
    assert backend_and_model(both, "predict_output") == ("replay", "a")
    assert backend_and_model(RunSettings(model="a"), "transform") == ("openai", "a")
