"""Charts: horizontal and vertical bars, lines and heat maps, as pure functions that return SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from annoy_store.report.svg import (
    CHAR_WIDTH,
    WIDTH,
    element,
    escape,
    format_number,
    format_percent,
    format_short,
    legend,
    line,
    max_label_width,
    rect,
    svg_document,
    text,
    ticks,
    truncate,
)

MAX_LABEL_CHARS = 34
ROW, BAR = 27.0, 15.0


@dataclass(frozen=True)
class Bar:
    """One horizontal bar.

    Attributes:
        label: Its name.
        parts: Its segments, as (class, value).
        value_text: Text at its end; the total if empty.
        tooltip: Text when pointed at; label and value if empty.
    """

    label: str
    parts: tuple[tuple[str, float], ...]
    value_text: str = ""
    tooltip: str = ""

    @property
    def total(self) -> float:
        """Sum of the segments."""
        return sum(value for _, value in self.parts)


@dataclass(frozen=True)
class Dot:
    """One point of a line.

    Attributes:
        share: The value, from 0 to 1.
        n: Number of observations.
        low: Lower end of its confidence interval.
        high: Upper end.
    """

    share: float
    n: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Panel:
    """One of several small charts: vertical bars of `values`, or a line of `dots`.

    Attributes:
        title: Its title.
        labels: Labels of the horizontal axis.
        values: Heights of bars, one per label.
        dots: Points of a line, one per label; None for a gap.
        note: Text below the title.
        cls: Class that gives the colour.
    """

    title: str
    labels: Sequence[str]
    values: Sequence[float] = ()
    dots: Sequence[Dot | None] = ()
    note: str = ""
    cls: str = "a"


def horizontal_bars(
    title: str, axis: str, rows: Sequence[Bar], key: Sequence[tuple[str, str]] = ()
) -> str:
    """Draw horizontal bars on one scale.

    Args:
        title: Title for screen readers.
        axis: Label of the axis.
        rows: The bars, from top to bottom.
        key: Legend, as (class, name); none if empty.
    """
    labels = [truncate(row.label, MAX_LABEL_CHARS) for row in rows]
    left = max_label_width(labels) + 14
    right = WIDTH - max(64.0, max_label_width(row.value_text for row in rows) + 12)
    top = 24.0 if key else 6.0
    marks = ticks([row.total for row in rows])
    scale = (right - left) / marks[-1]
    foot = top + ROW * len(rows) + 4
    out = [legend(key, left)] if key else []
    for mark in marks:
        x = left + mark * scale
        out += [
            line(x, top, x, foot, "grid"),
            text(x, foot + 15, format_short(mark), "tick", "middle"),
        ]
    for i, (row, label) in enumerate(zip(rows, labels, strict=True)):
        out.append(_bar(row, label, left, top + ROW * i, scale))
    out.append(text(left, foot + 34, axis, "axis"))
    return svg_document(foot + 42, title, *out)


def _bar(row: Bar, label: str, left: float, y: float, scale: float) -> str:
    middle = y + ROW / 2
    out = [text(left - 10, middle + 4, label, "label", "end")]
    x = left
    for cls, value in row.parts:
        tooltip = row.tooltip or f"{row.label}: {format_number(value)}"
        out.append(rect(x, middle - BAR / 2, value * scale, BAR, cls, tooltip, rx=1.5))
        x += value * scale
    out.append(text(x + 7, middle + 4, row.value_text or format_number(row.total), "value"))
    return element("g", *out)


# Small panels --------------------------------------------------------------------------------

PER_ROW, GAP, HEAD, FOOT = 3, 26.0, 42.0, 24.0
TALL_PLOTS = {1: 170.0, 2: 140.0}
PLOT = 96.0
LEFT = 34.0


def panels(title: str, axis: str, shown: Sequence[Panel], per_row: int = PER_ROW) -> str:
    """Draw small charts in a grid, each on its own scale (lines: from 0 to 100 %).

    Args:
        title: Title for screen readers.
        axis: Label of the horizontal axes.
        shown: The charts.
        per_row: Most charts side by side.
    """
    per_row = max(1, min(per_row, len(shown)))
    width = (WIDTH - GAP * (per_row - 1)) / per_row
    plot = TALL_PLOTS.get(per_row, PLOT)
    tall = HEAD + plot + FOOT
    out = [
        element("g", _panel(panel, width, plot), transform=f"translate({x:.1f} {y:.1f})")
        for i, panel in enumerate(shown)
        for x, y in [((i % per_row) * (width + GAP), (i // per_row) * (tall + 8))]
    ]
    foot = -(-len(shown) // per_row) * (tall + 8)
    return svg_document(foot + 18, title, *out, text(LEFT, foot + 8, axis, "axis"))


def _panel(panel: Panel, width: float, plot: float) -> str:
    top = 1.0 if panel.dots else max([*panel.values, 0])
    marks = [0.0, 0.5, 1.0] if panel.dots else ticks([top], 3)
    inner = width - LEFT
    out = [text(LEFT, 13, panel.title, "label strong"), text(LEFT, 28, panel.note, "soft")]
    for mark in marks:
        y = HEAD + plot - plot * mark / marks[-1]
        shown = f"{mark:.0%}" if panel.dots else format_short(mark)
        out += [line(LEFT, y, width, y, "grid"), text(LEFT - 6, y + 4, shown, "tick", "end")]
    step = inner / max(1, len(panel.labels))
    out += _axis_labels(panel.labels, step, HEAD + plot + 16)
    draw = _line_chart if panel.dots else _vertical_bars
    return "".join([*out, *draw(panel, step, plot, marks[-1])])


def _axis_labels(labels: Sequence[str], step: float, y: float) -> list[str]:
    """Return as many labels of the axis as there is room for, the first among them."""
    if not labels:
        return []
    room = max(1, int(-(-(max_label_width(labels) + 10) // step)))
    return [
        text(LEFT + step * (i + 0.5), y, label, "tick", "middle")
        for i, label in enumerate(labels)
        if i % room == 0
    ]


def _vertical_bars(panel: Panel, step: float, plot: float, top: float) -> list[str]:
    wide = min(step * 0.78, 26.0)
    return [
        rect(
            LEFT + step * (i + 0.5) - wide / 2,
            HEAD + plot - tall,
            wide,
            tall,
            panel.cls,
            f"{label}: {format_number(value)}",
            rx=1.5,
        )
        for i, (label, value) in enumerate(zip(panel.labels, panel.values, strict=True))
        for tall in [plot * value / top]
    ]


def _line_chart(panel: Panel, step: float, plot: float, _: float) -> list[str]:
    at = [
        (LEFT + step * (i + 0.5), HEAD + plot * (1 - dot.share), dot, panel.labels[i])
        for i, dot in enumerate(panel.dots)
        if dot
    ]
    path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y, _dot, _label in at)
    radius = 3.2 if len(at) < 20 else 1.8
    out = [element("path", d=path, cls=f"stroke {panel.cls}")] if len(at) > 1 else []
    for x, _y, dot, _label in at:
        if dot.low is not None and dot.high is not None:
            ends = HEAD + plot * (1 - dot.high), HEAD + plot * (1 - dot.low)
            out.append(line(x, ends[0], x, ends[1], f"whisker {panel.cls}"))
    for x, y, dot, label in at:
        tooltip = element("title", escape(f"{label}: {format_percent(dot.share)} of {dot.n:,}"))
        out.append(element("circle", tooltip, cx=x, cy=y, r=radius, cls=panel.cls))
    return out


# Heat maps -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class HeatMap:
    """A matrix of counts.

    Attributes:
        title: Its title.
        rows: Names of the rows.
        columns: Names of the columns.
        cells: Counts by row and column.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[int]]


CELL, TALL = 84.0, 30.0


def heat_maps(title: str, down: str, across: str, maps: Sequence[HeatMap]) -> str:
    """Draw heat maps one below the other; the opacity of a cell is its share of its row.

    Args:
        title: Title for screen readers.
        down: Name of the rows.
        across: Name of the columns.
        maps: The heat maps.
    """
    names = [name for m in maps for name in m.rows]
    left = max_label_width([*names, f"{down} {across} >>>"]) + 16
    y, out = 0.0, []
    for one in maps:
        out.append(
            element("g", _heat_map(one, left, down, across), transform=f"translate(0 {y:.1f})")
        )
        y += 62 + TALL * len(one.rows)
    return svg_document(y + 2, title, *out)


def _heat_map(one: HeatMap, left: float, down: str, across: str) -> str:
    wide = min(
        max(CELL, max_label_width(one.columns) + 14), (WIDTH - left) / max(1, len(one.columns))
    )
    out = [
        text(0, 13, one.title, "label strong"),
        text(left - 10, 34, f"{down} \u2193  {across} \u2192", "axis", "end"),
    ]
    for j, name in enumerate(one.columns):
        shown = truncate(name, max(4, int(wide / CHAR_WIDTH)))
        out.append(text(left + wide * (j + 0.5), 34, shown, "tick", "middle"))
    for i, (name, cells) in enumerate(zip(one.rows, one.cells, strict=True)):
        y = 42 + TALL * i
        out.append(text(left - 10, y + TALL / 2 + 4, name, "label", "end"))
        total = sum(cells) or 1
        for j, n in enumerate(cells):
            tooltip = (
                f"{name} \u2192 {one.columns[j]}: {n:,} of {total:,} ({format_percent(n / total)})"
            )
            out.append(_cell(left + wide * j, y, wide, n, n / total, tooltip))
    return "".join(out)


def _cell(x: float, y: float, wide: float, n: int, share: float, tooltip: str) -> str:
    strength = round(0.1 + 0.85 * share, 3) if n else 0.0
    out = [rect(x + 1, y + 1, wide - 2, TALL - 2, "void", tooltip, rx=3)]
    if n:
        out.append(
            rect(x + 1, y + 1, wide - 2, TALL - 2, "a", tooltip, rx=3, fill_opacity=strength)
        )
        cls = "value onheat" if strength > 0.55 else "value"
        out.append(text(x + wide / 2, y + TALL / 2 + 4, f"{n:,}", cls, "middle"))
    return "".join(out)
