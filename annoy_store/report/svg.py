"""SVG helpers: elements, labels, axes and number formats, as text.

Decision: colours are classes that the page's style sheet defines, so that one drawing serves the
light and the dark theme; nothing here sets a style, so a page may forbid inline styles.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence

WIDTH = 720.0  # of a drawing; the page scales it
NARROW = 340.0  # of a drawing for phones
CHAR_WIDTH = 7.2  # mean width of a character at the size of labels, in units of WIDTH
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def visible(text: str) -> str:
    """Replace invisible characters by U+FFFD.

    These are characters that markup may not contain, and those that change the writing direction.
    """
    return _INVISIBLE.sub("\ufffd", text.replace("\r\n", "\n"))


def escape(value: object) -> str:
    """Escape a value for HTML and XML, with invisible characters replaced."""
    return html.escape(visible(str(value)))


def element(name: str, *inside: str, **attributes: object) -> str:
    """Return an element.

    Args:
        name: Name of the element.
        *inside: Its content, as markup.
        **attributes: Its attributes; `cls` is its class and `_` stands for a dash. Those that are
            None or '' are omitted.
    """
    shown = "".join(
        f' {"class" if key == "cls" else key.replace("_", "-")}="{_attribute_value(value)}"'
        for key, value in attributes.items()
        if value not in (None, "")
    )
    return f"<{name}{shown}>{''.join(inside)}</{name}>" if inside else f"<{name}{shown}/>"


def _attribute_value(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else escape(value)


def text(
    x: float, y: float, content: object, cls: str = "", anchor: str = "start", **more: object
) -> str:
    """Return a text element at a position; `anchor` is `start`, `middle` or `end`."""
    return element("text", escape(content), x=x, y=y, cls=cls, text_anchor=anchor, **more)


def line(x1: float, y1: float, x2: float, y2: float, cls: str) -> str:
    """Return a line element."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, cls=cls)


def rect(
    x: float, y: float, width: float, height: float, cls: str, tooltip: str = "", **more: object
) -> str:
    """Return a rectangle, with a tooltip if there is one."""
    inside = [element("title", escape(tooltip))] if tooltip else []
    shape = {"x": x, "y": y, "width": max(0.0, width), "height": max(0.0, height), "cls": cls}
    return element("rect", *inside, **shape, **more)


def svg_document(width: float, height: float, title: str, *inside: str) -> str:
    """Return an SVG document.

    Args:
        width: Width of the drawing.
        height: Height of the drawing, in the same units.
        title: Title for screen readers.
        *inside: Its elements.
    """
    label = element("title", escape(title))
    return element(
        "svg",
        label,
        *inside,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        cls="figure",
    )


LEGEND_LINE = 18.0
MAX_LEGEND_CHARS = 34


def legend(entries: Sequence[tuple[str, str]], x: float, width: float) -> tuple[str, float]:
    """Return a legend and its height.

    Args:
        entries: Class and name of each entry.
        x: Left edge; the legend starts further left if there is too little room.
        width: Width of the drawing: entries beyond it start a new line.
    """
    if not entries:
        return "", 0.0
    most = min(MAX_LEGEND_CHARS, int((width - 15) / CHAR_WIDTH))
    entries = [(cls, truncate(name, most)) for cls, name in entries]
    steps = [15 + len(name) * CHAR_WIDTH + 14 for _, name in entries]
    left = max(0.0, min(x, width - sum(steps)))
    out, at, y = [], left, 12.0
    for (cls, name), step in zip(entries, steps, strict=True):
        if at > left and at + step - 14 > width:
            at, y = left, y + LEGEND_LINE
        out += [rect(at, y - 9, 10, 10, cls, rx=2), text(at + 15, y, name, "soft")]
        at += step
    return "".join(out), y + 12


# Scales --------------------------------------------------------------------------------------


def ticks(values: Sequence[float], most: int = 4) -> list[float]:
    """Return round numbers from 0 to at least the largest value; integers for integers.

    Args:
        values: The values to be shown.
        most: Largest number of steps.
    """
    top = max(values, default=0.0)
    if top < 1e-12:
        return [0.0, 1.0]
    raw = top / most
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw * 0.999)
    if all(value == int(value) for value in values):
        step = float(math.ceil(step))
    return [step * i for i in range(math.ceil(top / step * 0.999) + 1)]


def format_short(value: float) -> str:
    """Format a number for an axis: 950, 1.2k, 3.5M."""
    for unit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.3g}{sign}"
    return f"{value:.3g}"


def format_number(value: float) -> str:
    """Format a number for a label: 1,234 or 0.0123."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"


def format_percent(share: float) -> str:
    """Format a share from 0 to 1 as a percentage, with one digit near both ends."""
    return f"{share:.0%}" if share in (0, 1) or 0.1 <= share <= 0.9 else f"{share:.1%}"


def format_money(usd: float) -> str:
    """Format an amount of USD: $1,234 or $0.12."""
    return f"${usd:,.0f}" if usd >= 100 else f"${usd:,.2f}"


def truncate(text: str, most: int) -> str:
    """Return text on one line, cut to at most `most` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}\u2026"


def max_label_width(labels: Iterable[str]) -> float:
    """Return the width of the longest of some labels, in units of WIDTH."""
    return max((len(label) for label in labels), default=0) * CHAR_WIDTH
