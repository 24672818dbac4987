"""Horizontal bar charts as SVG.

Decision: a narrow drawing, for phones, has each label above its bar instead of to its left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from annoy_store.report.svg import (
    CHAR_WIDTH,
    NARROW,
    WIDTH,
    element,
    format_number,
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
BAR = 15.0
ROW, NARROW_ROW, HEADING = 27.0, 40.0, 26.0
PERCENT_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Bar:
    """One horizontal bar.

    Attributes:
        label: Its name.
        parts: Its segments, as (class, value).
        value_text: Text at its end; the total if empty.
        tooltip: Text when pointed at; label and value if empty.
        interval: Ends of a confidence interval, in the unit of the axis; None for none.
    """

    label: str
    parts: tuple[tuple[str, float], ...]
    value_text: str = ""
    tooltip: str = ""
    interval: tuple[float, float] | None = None

    @property
    def total(self) -> float:
        """Sum of the segments."""
        return sum(value for _, value in self.parts)


@dataclass(frozen=True)
class BarGroup:
    """Bars under a heading; without one if `heading` is empty."""

    heading: str
    bars: Sequence[Bar]


def ungrouped(bars: Sequence[Bar]) -> list[BarGroup]:
    """Return bars without headings as one group."""
    return [BarGroup("", bars)]


@dataclass(frozen=True)
class _Scale:
    """Where bars stand: from `left`, with `unit` per value; the row's height; the axis' ticks."""

    left: float
    unit: float
    row: float
    ticks: Sequence[tuple[float, str]]
    width: float

    @property
    def is_narrow(self) -> bool:
        return self.row == NARROW_ROW


def horizontal_bars(
    title: str,
    axis: str,
    groups: Sequence[BarGroup],
    key: Sequence[tuple[str, str]] = (),
    *,
    width: float = WIDTH,
) -> str:
    """Draw horizontal bars on one scale.

    Args:
        title: Title for screen readers.
        axis: Label of the axis.
        groups: The bars by heading, from top to bottom.
        key: Legend, as (class, name); none if empty.
        width: Width of the drawing; labels are above the bars if it is `NARROW`.
    """
    totals = [bar.total for group in groups for bar in group.bars]
    marks = [(mark, format_short(mark)) for mark in ticks(totals)]
    return _draw(title, axis, groups, key, _scale(groups, marks, width))


def share_bars(
    title: str,
    axis: str,
    groups: Sequence[BarGroup],
    key: Sequence[tuple[str, str]] = (),
    *,
    width: float = WIDTH,
) -> str:
    """Draw horizontal bars of which each is 100 % of its own total.

    Args:
        title: Title for screen readers.
        axis: Label of the axis.
        groups: The bars by heading, from top to bottom.
        key: Legend, as (class, name); none if empty.
        width: Width of the drawing; labels are above the bars if it is `NARROW`.
    """
    marks = [(mark, f"{mark:.0%}") for mark in PERCENT_TICKS]
    scaled = [BarGroup(g.heading, [_as_shares(bar) for bar in g.bars]) for g in groups]
    return _draw(title, axis, scaled, key, _scale(scaled, marks, width))


def _as_shares(bar: Bar) -> Bar:
    total = bar.total or 1.0
    parts = tuple((cls, value / total) for cls, value in bar.parts)
    return replace(bar, parts=parts, value_text=bar.value_text or format_number(bar.total))


def _scale(groups: Sequence[BarGroup], marks: Sequence[tuple[float, str]], width: float) -> _Scale:
    rows = [bar for group in groups for bar in group.bars]
    if width <= NARROW:
        return _Scale(1.0, (width - 10) / marks[-1][0], NARROW_ROW, marks, width)
    labels = max_label_width(truncate(row.label, MAX_LABEL_CHARS) for row in rows)
    left = labels + 14
    right = width - max(64.0, max_label_width(row.value_text for row in rows) + 12)
    return _Scale(left, (right - left) / marks[-1][0], ROW, marks, width)


def _draw(
    title: str,
    axis: str,
    groups: Sequence[BarGroup],
    key: Sequence[tuple[str, str]],
    scale: _Scale,
) -> str:
    entries, top = legend(key, scale.left, scale.width)
    y = top = top or 6.0
    bars: list[str] = []
    for group in groups:
        if group.heading:
            bars.append(text(0, y + 17, group.heading, "label strong"))
            y += HEADING
        for bar in group.bars:
            bars.append(_bar(bar, y, scale))
            y += scale.row
    foot = y + 4
    grid: list[str] = []
    for mark, name in scale.ticks:
        x = scale.left + mark * scale.unit
        anchor = "end" if x > scale.width - 12 else "start" if x < 12 else "middle"
        grid += [line(x, top, x, foot, "grid"), text(x, foot + 15, name, "tick", anchor)]
    caption = text(scale.left, foot + 34, axis, "axis")
    return svg_document(scale.width, foot + 42, title, entries, *grid, *bars, caption)


def _bar(row: Bar, y: float, scale: _Scale) -> str:
    shown = row.value_text or format_number(row.total)
    middle = y + scale.row / 2 if not scale.is_narrow else y + 28
    end = scale.left + row.total * scale.unit
    if scale.is_narrow:
        room = int((scale.width - len(shown) * CHAR_WIDTH) / CHAR_WIDTH) - 1
        out = [
            text(0, y + 15, truncate(row.label, max(8, room)), "label"),
            text(scale.width, y + 15, shown, "value", "end"),
        ]
    else:
        label = truncate(row.label, MAX_LABEL_CHARS)
        out = [
            text(scale.left - 10, middle + 4, label, "label", "end"),
            text(end + 7, middle + 4, shown, "value"),
        ]
    x = scale.left
    for cls, value in row.parts:
        tooltip = row.tooltip or f"{row.label}: {shown}"
        width = value * scale.unit
        out.append(rect(x, middle - BAR / 2, width, BAR, cls, tooltip, rx=1.5))
        x += width
    if row.interval:
        low, high = (scale.left + end * scale.unit for end in row.interval)
        out += [line(low, middle, high, middle, "interval")]
        out += [line(at, middle - 3, at, middle + 3, "interval") for at in (low, high)]
    return element("g", *out)
