"""Untrusted text on its way to a terminal."""

from __future__ import annotations

import os
import re
import sys

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_RAW_JSON = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def safe(text: str, *, one_line: bool = False) -> str:
    """Return `text` with control, escape and bidirectional characters replaced by visible ones.

    Args:
        text: Untrusted text.
        one_line: Also replace tabs and newlines, which stay otherwise; CRLF is one newline.
    """
    shown = _CONTROL.sub(_visible, text.replace("\r\n", "\n"))
    return shown.replace("\n", "\u2424").replace("\t", " ") if one_line else shown


def safe_json(text: str) -> str:
    """Return JSON text with the control characters that JSON leaves unescaped as escapes."""
    return _RAW_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"


def on_terminal() -> bool:
    """Return whether stdout is a terminal."""
    return sys.stdout.isatty()


def wants_colour() -> bool:
    """Return whether stdout is a terminal on which colours are wanted."""
    is_dumb = os.environ.get("TERM") in ("", "dumb")
    return on_terminal() and not is_dumb and not os.environ.get("NO_COLOR")
