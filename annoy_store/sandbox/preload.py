"""Chooses which modules an interpreter imports in advance: plain, numpy or scientific.

Decisions
- Imports are found by a regular expression. It need not be exact: a module that was not preloaded
  is imported by the call itself, only later and at a higher cost.
- There are three sets, because the cost of a fork depends on what was imported: about 1 ms plain,
  2 ms with numpy, 10 ms and more with the scientific packages.
- The plain set is pure Python: each compiled module adds memory mappings to every fork, so those
  that few programs import (decimal, hashlib, statistics) are left to the call.
- numpy imports some of its parts lazily, so they are named here; a part that is left out is
  imported by every single call that uses it.
"""

from __future__ import annotations

import re
from collections.abc import Collection


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PLAIN_MODULES = _split(
    "abc argparse bisect calendar collections collections.abc contextlib copy dataclasses "
    "datetime enum functools heapq inspect io itertools json keyword math numbers operator os "
    "pprint queue random re string textwrap threading time timeit traceback types typing "
    "unittest warnings"
)
NUMPY_MODULES = _split(
    "numpy numpy.random numpy.linalg numpy.fft numpy.polynomial numpy.ma numpy.testing"
)
SCIENTIFIC_MODULES = _split(
    "scipy scipy.cluster.hierarchy scipy.fft scipy.integrate scipy.interpolate scipy.linalg "
    "scipy.ndimage scipy.optimize scipy.signal scipy.sparse scipy.spatial scipy.special "
    "scipy.stats pandas sklearn sklearn.cluster sklearn.datasets sklearn.decomposition "
    "sklearn.ensemble sklearn.linear_model sklearn.metrics sklearn.model_selection "
    "sklearn.preprocessing sklearn.tree sympy nltk networkx matplotlib matplotlib.pyplot "
    "Crypto.Cipher Crypto.Util.number statsmodels.api torch"
)
_HEAVY = frozenset(name.partition(".")[0] for name in SCIENTIFIC_MODULES)
HEAVY_PACKAGES = tuple(sorted({"numpy", *_HEAVY}))

_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([^\n#;]+))", re.M)


def imported_packages(code: str) -> frozenset[str]:
    """Return the top-level names that a program seems to import.

    Args:
        code: Python source; it need not be valid.

    Returns:
        Names such as `numpy`; "" stands for a relative import.
    """
    found = set()
    for source, listed in _IMPORT.findall(code):
        names = [source] if source else listed.split(",")
        found |= {name.split()[0].partition(".")[0] for name in names if name.strip()}
    return frozenset(found)


def preload_set(code: str, installed: Collection[str]) -> str:
    """Choose the preload set for a program.

    Args:
        code: Python source of the program and its generator.
        installed: The members of `HEAVY_PACKAGES` that the interpreter has.

    Returns:
        `plain`, `numpy` or `scientific`.
    """
    wanted = imported_packages(code) & set(installed)
    if wanted & _HEAVY:
        return "scientific"
    return "numpy" if "numpy" in wanted else "plain"


def modules_to_preload(name: str, installed: Collection[str]) -> list[str]:
    """Return the modules that a zygote imports before its first call.

    Args:
        name: The preload set: `plain`, `numpy` or `scientific`.
        installed: The members of `HEAVY_PACKAGES` that the interpreter has.
    """
    numpy = NUMPY_MODULES if "numpy" in installed else ()
    more = {"plain": (), "numpy": numpy, "scientific": numpy + SCIENTIFIC_MODULES}[name]
    available = {*installed, *PLAIN_MODULES}
    return [*PLAIN_MODULES, *(module for module in more if module.partition(".")[0] in available)]
