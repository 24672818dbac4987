"""Text from strangers on its way to a terminal."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_RAW_JSON = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def safe(text: str, *, one_line: bool = False) -> str:
    """Return `text` with every control, escape and bidirectional sign made visible.

    Tabs and newlines stay unless the text must fit on one line; CRLF counts as a newline.
    """
    shown = _CONTROL.sub(_picture, text.replace("\r\n", "\n"))
    return shown.replace("\n", "\u2424").replace("\t", " ") if one_line else shown


def safe_json(text: str) -> str:
    """Return JSON text with the signs that JSON leaves raw, but a terminal obeys, as escapes."""
    return _RAW_JSON.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text)


def _picture(sign: re.Match[str]) -> str:
    code = ord(sign[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"
