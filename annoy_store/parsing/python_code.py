"""Parses Python source without the warnings that it would cause."""

from __future__ import annotations

import ast
import threading
import warnings

_WARNINGS_LOCK = threading.Lock()  # catch_warnings changes what all threads see


def parse_module(code: str) -> ast.Module:
    """Parse the source of a module, whatever the warning filters say.

    Raises:
        SyntaxError: It is not valid for the running Python.
        ValueError: It has null bytes or lone surrogates.
        RecursionError: It is nested too deeply.
        MemoryError: It is nested too deeply for the parser.
    """
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)


def parse_expression(code: str) -> ast.expr:
    """Parse the source of one expression; raises what `parse_module` raises."""
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code, mode="eval").body
