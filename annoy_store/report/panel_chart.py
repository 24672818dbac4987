"""Small charts in a grid as SVG: vertical bars, or lines of shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from annoy_store.report.svg import (
    NARROW,
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
)

PER_ROW, GAP, HEAD, FOOT = 3, 26.0, 42.0, 24.0
TALL_PLOTS = {1: 170.0, 2: 140.0}
PLOT = 96.0
LEFT = 34.0
BESIDE = 5.0  # between the points of two lines, whose intervals would cover each other


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
class Line:
    """One line of a panel.

    Attributes:
        name: Its name, for tooltips.
        dots: Its points, one per label of the panel; None for a gap.
        cls: Class that gives the colour.
    """

    name: str
    dots: Sequence[Dot | None]
    cls: str = "a"


@dataclass(frozen=True)
class Panel:
    """One of several small charts: vertical bars, or lines of shares.

    Attributes:
        title: Its title.
        labels: Labels of the horizontal axis.
        bars: Segments of the bars as (class, value), one sequence per label.
        lines: Lines of shares, on a scale from 0 to 100 %.
        note: Text below the title.
    """

    title: str
    labels: Sequence[str]
    bars: Sequence[Sequence[tuple[str, float]]] = ()
    lines: Sequence[Line] = ()
    note: str = ""


@dataclass(frozen=True)
class _Area:
    """Where a panel is drawn: its width, the height of its plot, the step between its labels."""

    width: float
    plot: float
    step: float

    def x(self, i: int, shift: float = 0.0) -> float:
        """Return the middle of a label's step, shifted to the right."""
        return LEFT + self.step * (i + 0.5) + shift

    def y(self, part: float) -> float:
        """Return the place of a share of the plot's height."""
        return HEAD + self.plot * (1 - part)


def panels(
    title: str,
    axis: str,
    shown: Sequence[Panel],
    key: Sequence[tuple[str, str]] = (),
    per_row: int = PER_ROW,
    *,
    width: float = WIDTH,
) -> str:
    """Draw small charts in a grid, each on its own scale (lines: from 0 to 100 %).

    Args:
        title: Title for screen readers.
        axis: Label of the horizontal axes.
        shown: The charts.
        key: Legend, as (class, name); none if empty.
        per_row: Most charts side by side; one if the drawing is `NARROW`.
        width: Width of the drawing.
    """
    per_row = 1 if width <= NARROW else max(1, min(per_row, len(shown)))
    wide = (width - GAP * (per_row - 1)) / per_row
    plot = TALL_PLOTS[2] if width <= NARROW else TALL_PLOTS.get(per_row, PLOT)
    tall = HEAD + plot + FOOT + 8
    entries, top = legend(key, LEFT, width)
    top += 8 if key else 0
    out = [
        element("g", _panel(panel, wide, plot), transform=f"translate({x:.1f} {y:.1f})")
        for i, panel in enumerate(shown)
        for x, y in [((i % per_row) * (wide + GAP), top + (i // per_row) * tall)]
    ]
    foot = top + -(-len(shown) // per_row) * tall
    return svg_document(width, foot + 18, title, entries, *out, text(LEFT, foot + 8, axis, "axis"))


def _panel(panel: Panel, width: float, plot: float) -> str:
    area = _Area(width, plot, (width - LEFT) / max(1, len(panel.labels)))
    sums = [sum(value for _, value in bar) for bar in panel.bars]
    marks = [0.0, 0.5, 1.0] if panel.lines else ticks([max([*sums, 0])], 3)
    out = [text(LEFT, 13, panel.title, "label strong"), text(LEFT, 28, panel.note, "soft")]
    for mark in marks:
        y = area.y(mark / marks[-1])
        shown = f"{mark:.0%}" if panel.lines else format_short(mark)
        out += [line(LEFT, y, width, y, "grid"), text(LEFT - 6, y + 4, shown, "tick", "end")]
    out += _axis_labels(panel.labels, area)
    if panel.lines:
        middle = (len(panel.lines) - 1) / 2
        shifts = [(i - middle) * min(BESIDE, area.step / 5) for i in range(len(panel.lines))]
        drawn = zip(panel.lines, shifts, strict=True)
        return "".join([*out, *(_line(one, panel.labels, area, shift) for one, shift in drawn)])
    return "".join([*out, *_bars(panel, area, marks[-1])])


def _axis_labels(labels: Sequence[str], area: _Area) -> list[str]:
    """Return as many labels of the axis as there is room for, the first among them."""
    if not labels:
        return []
    room = max(1, int(-(-(max_label_width(labels) + 10) // area.step)))
    return [
        text(area.x(i), HEAD + area.plot + 16, label, "tick", "middle")
        for i, label in enumerate(labels)
        if i % room == 0
    ]


def _bars(panel: Panel, area: _Area, top: float) -> list[str]:
    wide = min(area.step * 0.78, 26.0)
    out = []
    for i, (label, bar) in enumerate(zip(panel.labels, panel.bars, strict=True)):
        below = 0.0
        tooltip = f"{label}: {format_number(sum(value for _, value in bar))}"
        for cls, value in bar:
            below += value
            tall = area.plot * value / top
            left = area.x(i) - wide / 2
            out.append(rect(left, area.y(below / top), wide, tall, cls, tooltip, rx=1.5))
    return out


def _line(one: Line, labels: Sequence[str], area: _Area, shift: float) -> str:
    at = [(area.x(i, shift), dot, labels[i]) for i, dot in enumerate(one.dots) if dot]
    path = "M" + " L".join(f"{x:.1f} {area.y(dot.share):.1f}" for x, dot, _ in at)
    radius = 3.2 if len(at) < 20 else 1.8
    out = [element("path", d=path, cls=f"stroke {one.cls}")] if len(at) > 1 else []
    for x, dot, _ in at:
        if dot.low is not None and dot.high is not None:
            out.append(line(x, area.y(dot.high), x, area.y(dot.low), f"whisker {one.cls}"))
    for x, dot, label in at:
        name = f"{one.name}, {label}" if one.name else label
        tooltip = element("title", escape(f"{name}: {format_percent(dot.share)} of {dot.n:,}"))
        out.append(element("circle", tooltip, cx=x, cy=area.y(dot.share), r=radius, cls=one.cls))
    return "".join(out)
