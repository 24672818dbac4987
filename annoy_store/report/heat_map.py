"""Heat maps of counts as SVG.

Decision: the colour of a cell is at most half opaque, so the ink of the page can be read on every
cell in the light and in the dark theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from annoy_store.report.svg import (
    NARROW,
    WIDTH,
    element,
    format_percent,
    max_label_width,
    rect,
    svg_document,
    text,
    truncate,
)

CELL, TALL = 84.0, 30.0
NARROW_HEAD, NARROW_RIGHT = 96.0, 36.0  # room for turned column names
FAINTEST, STRONGEST = 0.06, 0.48  # opacity of a cell with a share of 0 and of 1
MAX_NARROW_CHARS = 13


@dataclass(frozen=True)
class HeatMap:
    """A matrix of counts.

    Attributes:
        title: Its title.
        down: What the rows are.
        across: What the columns are.
        rows: Names of the rows.
        columns: Names of the columns.
        cells: Counts by row and column.
    """

    title: str
    down: str
    across: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[int]]


def heat_maps(title: str, maps: Sequence[HeatMap], *, width: float = WIDTH) -> str:
    """Draw heat maps one below the other; the colour of a cell is its share of its row.

    Args:
        title: Title for screen readers.
        maps: The heat maps.
        width: Width of the drawing; column names are turned by 60 degrees if it is `NARROW`.
    """
    is_narrow = width <= NARROW
    corners = [f"{m.down} {m.across} >>>" for m in maps]
    names = [name for m in maps for name in m.rows]
    if is_narrow:
        left = max_label_width(truncate(name, MAX_NARROW_CHARS) for name in names) + 12
    else:
        left = max_label_width([*names, *corners]) + 16
    head = NARROW_HEAD if is_narrow else 42.0
    y, out = 0.0, []
    for one in maps:
        drawn = _heat_map(one, left, head, width)
        out.append(element("g", drawn, transform=f"translate(0 {y:.1f})"))
        y += head + 20 + TALL * len(one.rows)
    return svg_document(width, y + 2, title, *out)


def _heat_map(one: HeatMap, left: float, head: float, width: float) -> str:
    is_narrow = head == NARROW_HEAD
    room = width - left - (NARROW_RIGHT if is_narrow else 0)
    wide = min(max(CELL, max_label_width(one.columns) + 14), room / max(1, len(one.columns)))
    out = [text(0, 13, one.title, "label strong")]
    if is_narrow:
        out.append(text(0, 30, f"{one.down} \u2193", "axis"))
        out.append(text(0, 46, f"{one.across} \u2192", "axis"))
    else:
        out.append(
            text(left - 10, head - 8, f"{one.down} \u2193  {one.across} \u2192", "axis", "end")
        )
    for j, name in enumerate(one.columns):
        x = left + wide * (j + 0.5)
        if is_narrow:
            shown = truncate(name, MAX_NARROW_CHARS)
            turned = f"rotate(-60 {x + 3:.1f} {head - 6:.1f})"
            out.append(text(x + 3, head - 6, shown, "tick", transform=turned))
        else:
            shown = truncate(name, max(4, int(wide / 6.4)))
            out.append(text(x, head - 8, shown, "tick", "middle"))
    for i, (name, cells) in enumerate(zip(one.rows, one.cells, strict=True)):
        y = head + TALL * i
        label = truncate(name, MAX_NARROW_CHARS) if is_narrow else name
        out.append(text(left - 10, y + TALL / 2 + 4, label, "label", "end"))
        total = sum(cells) or 1
        for j, n in enumerate(cells):
            share = n / total
            tooltip = (
                f"{name} \u2192 {one.columns[j]}: {n:,} of {total:,} ({format_percent(share)})"
            )
            out.append(_cell(left + wide * j, y, wide, n, share, tooltip))
    return "".join(out)


def _cell(x: float, y: float, wide: float, n: int, share: float, tooltip: str) -> str:
    box = (x + 1, y + 1, wide - 2, TALL - 2)
    if not n:
        return rect(*box, "void", tooltip, rx=3)
    strength = round(FAINTEST + (STRONGEST - FAINTEST) * share, 3)
    return "".join(
        (
            rect(*box, "void", tooltip, rx=3),
            rect(*box, "a", tooltip, rx=3, fill_opacity=strength),
            text(x + wide / 2, y + TALL / 2 + 4, f"{n:,}", "value", "middle"),
        )
    )
