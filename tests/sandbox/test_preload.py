"""Preload sets follow imports, and only of packages that are installed."""

from __future__ import annotations

import pytest

from annoy_store.sandbox.preload import (
    HEAVY_PACKAGES,
    imported_packages,
    modules_to_preload,
    preload_set,
)


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import numpy as np, os.path\n", {"numpy", "os"}),
        ("from scipy.stats import norm\n", {"scipy"}),
        ("def f():\n    import pandas as pd  # late\n", {"pandas"}),
        ("x = 'import numpy'\n", set()),
        ("import a; import b\n", {"a"}),
        ("from . import x\n", {""}),
        ("import\n", set()),
        ("", set()),
    ],
)
def test_imported_packages_are_found_in_the_text(code: str, names: set[str]) -> None:
    assert imported_packages(code) == names


def test_preload_set_follows_the_heaviest_import() -> None:
    assert preload_set("import math\n", HEAVY_PACKAGES) == "plain"
    assert preload_set("import numpy\n", HEAVY_PACKAGES) == "numpy"
    assert preload_set("import numpy\nimport scipy\n", HEAVY_PACKAGES) == "scientific"


def test_preload_set_ignores_missing_packages() -> None:
    assert preload_set("import numpy\nimport scipy\n", ["numpy"]) == "numpy"
    assert preload_set("import numpy\n", []) == "plain"
    assert "numpy.random" not in modules_to_preload("scientific", ["sympy"])
    assert "sympy" in modules_to_preload("scientific", ["sympy"])
    assert modules_to_preload("plain", HEAVY_PACKAGES) == modules_to_preload("plain", [])
