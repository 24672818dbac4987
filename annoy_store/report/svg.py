"""The pen: elements, words and scales of an SVG drawing, as text.

Decision: colours are classes that the page's style sheet fills in, so that one drawing serves
light and dark; nothing here sets a style, so a page may forbid inline styles.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence

WIDTH = 720.0
CHAR = 7.2  # the mean width of a sign at the size of labels
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def visible(text: str) -> str:
    """Return text in which every sign can be seen: what no markup may hold, and what turns the
    direction of writing, becomes U+FFFD."""
    return _UNSEEN.sub("\ufffd", text.replace("\r\n", "\n"))


def escape(value: object) -> str:
    """Return text as markup that says it and does nothing else, in HTML and in XML."""
    return html.escape(visible(str(value)))


def element(name: str, *inside: str, **attributes: object) -> str:
    """Return an element around markup; `x1=..` is an attribute, `cls` its class, `_` a dash."""
    said = "".join(
        f' {"class" if key == "cls" else key.replace("_", "-")}="{_said(value)}"'
        for key, value in attributes.items()
        if value not in (None, "")
    )
    return f"<{name}{said}>{''.join(inside)}</{name}>" if inside else f"<{name}{said}/>"


def _said(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else escape(value)


def text(
    x: float, y: float, text: object, cls: str = "", anchor: str = "start", **more: object
) -> str:
    """Return text at a place."""
    return element("text", escape(text), x=x, y=y, cls=cls, text_anchor=anchor, **more)


def line(x1: float, y1: float, x2: float, y2: float, cls: str) -> str:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, cls=cls)


def rect(
    x: float, y: float, width: float, height: float, cls: str, tip: str = "", **more: object
) -> str:
    """Return a rectangle that tells `tip` when pointed at."""
    inside = [element("title", escape(tip))] if tip else []
    shape = {"x": x, "y": y, "width": max(0.0, width), "height": max(0.0, height), "cls": cls}
    return element("rect", *inside, **shape, **more)


def drawing(height: float, title: str, *inside: str) -> str:
    """Return a whole drawing, as wide as the page lets it be."""
    label = element("title", escape(title))
    return element(
        "svg",
        label,
        *inside,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img",
        cls="figure",
    )


def legend(entries: Sequence[tuple[str, str]], x: float, y: float = 12.0) -> str:
    """Return a row of small boxes with their names, (class, name), from `x` on if there is room."""
    steps = [15 + len(name) * CHAR + 14 for _, name in entries]
    x = max(0.0, min(x, WIDTH - sum(steps)))
    out = []
    for (cls, name), step in zip(entries, steps, strict=True):
        out += [rect(x, y - 9, 10, 10, cls, rx=2), text(x + 15, y, name, "soft")]
        x += step
    return "".join(out)


# Scales --------------------------------------------------------------------------------------


def ticks(values: Sequence[float], most: int = 4) -> list[float]:
    """Return round numbers from 0 to at least the largest value; whole ones for whole values."""
    top = max(values, default=0.0)
    if top < 1e-12:
        return [0.0, 1.0]
    raw = top / most
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw * 0.999)
    if all(value == int(value) for value in values):
        step = float(math.ceil(step))
    return [step * i for i in range(math.ceil(top / step * 0.999) + 1)]


def short(value: float) -> str:
    """Return a number as an axis shows it: 950, 1.2k, 3.5M."""
    for unit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.3g}{sign}"
    return f"{value:.3g}"


def whole(value: float) -> str:
    """Return a number as a label tells it: 1,234 or 0.0123."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"


def percent(share: float) -> str:
    return f"{share:.0%}" if share in (0, 1) or 0.1 <= share <= 0.9 else f"{share:.1%}"


def cut(text: str, most: int) -> str:
    """Return text on one line of at most so many signs."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}\u2026"


def longest(labels: Iterable[str]) -> float:
    """Return the width that the longest of some labels takes."""
    return max((len(label) for label in labels), default=0) * CHAR
