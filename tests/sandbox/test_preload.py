"""Flavours follow imports, and only packages that are there."""

from __future__ import annotations

import pytest

from annoy_store.sandbox.preload import CANDIDATES, flavour, imports, preload


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
def test_imports_are_found_in_the_text(code: str, names: set[str]) -> None:
    assert imports(code) == names


def test_the_heaviest_import_decides() -> None:
    assert flavour("import math\n", CANDIDATES) == "plain"
    assert flavour("import numpy\n", CANDIDATES) == "numpy"
    assert flavour("import numpy\nimport scipy\n", CANDIDATES) == "scientific"


def test_packages_that_are_missing_warm_nothing() -> None:
    assert flavour("import numpy\nimport scipy\n", ["numpy"]) == "numpy"
    assert flavour("import numpy\n", []) == "plain"
    assert "numpy.random" not in preload("scientific", ["sympy"])
    assert "sympy" in preload("scientific", ["sympy"])
    assert preload("plain", CANDIDATES) == preload("plain", [])
