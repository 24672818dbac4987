"""Which warm interpreter a program gets: plain, numpy or scientific, by what it imports.

Decisions
- The scan reads import statements as text: it need not be right, because a module that was not
  imported beforehand is imported by the call itself, only later and dearer.
- Three flavours and not one, because a fork costs by the size of what was imported: about 1 ms
  plain, 2 ms with numpy, 10 ms and more with the scientific packages.
- Plain means pure: each compiled module costs every fork some mappings, so those that few
  programs import (decimal, hashlib, statistics) are left to the call.
- numpy imports some of its parts lazily, so they are named here; a part that is left out is
  imported by every single call that touches it.
"""

from __future__ import annotations

import re
from collections.abc import Collection


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PLAIN_MODULES = _words(
    "abc argparse bisect calendar collections collections.abc contextlib copy dataclasses "
    "datetime enum functools heapq inspect io itertools json keyword math numbers operator os "
    "pprint queue random re string textwrap threading time timeit traceback types typing "
    "unittest warnings"
)
NUMPY_MODULES = _words(
    "numpy numpy.random numpy.linalg numpy.fft numpy.polynomial numpy.ma numpy.testing"
)
SCIENTIFIC_MODULES = _words(
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
    """Return the top-level names that `code` seems to import."""
    found = set()
    for source, listed in _IMPORT.findall(code):
        names = [source] if source else listed.split(",")
        found |= {name.split()[0].partition(".")[0] for name in names if name.strip()}
    return frozenset(found)


def preload_set(code: str, installed: Collection[str]) -> str:
    """Return `plain`, `numpy` or `scientific` for a program, given which candidates exist."""
    wanted = imported_packages(code) & set(installed)
    if wanted & _HEAVY:
        return "scientific"
    return "numpy" if "numpy" in wanted else "plain"


def modules_to_preload(name: str, installed: Collection[str]) -> list[str]:
    """Return the modules that a zygote of this flavour imports before its first call."""
    numpy = NUMPY_MODULES if "numpy" in installed else ()
    more = {"plain": (), "numpy": numpy, "scientific": numpy + SCIENTIFIC_MODULES}[name]
    there = {*installed, *PLAIN_MODULES}
    return [*PLAIN_MODULES, *(module for module in more if module.partition(".")[0] in there)]
