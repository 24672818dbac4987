"""Figures as PNG files, rendered from the SVG of the page.

Decision: resvg renders SVG in 1.4 MB without system libraries, and the font comes with a package
too, so a picture is equal on every machine. A plotting library would draw different figures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from annoy_store.errors import UsageError
from annoy_store.report.figure import RenderedFigure
from annoy_store.report.html_page import style_sheet

FONT = "Source Sans Pro"
WEIGHTS = ("Regular", "Semibold")
ZOOM = 2
MARGIN = 20
MISSING_PACKAGES = "PNG files need two packages: pip install 'annoy-store[report]'"


def write_png_files(
    folder: Path, figures: Sequence[RenderedFigure], theme: str = "light"
) -> list[Path]:
    """Write every figure that has data as `<key>.png`.

    Args:
        folder: Where to write; it is created if needed.
        figures: The figures.
        theme: `light` or `dark`.

    Returns:
        The files.

    Raises:
        UsageError: The packages for it are not installed.
    """
    out = []
    for one in figures:
        if one.svg:
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{one.key}.png"
            file.write_bytes(render_png(one.svg, theme))
            out.append(file)
    return out


def render_png(svg: str, theme: str = "light") -> bytes:
    """Render an SVG drawing as PNG, at twice its size.

    Args:
        svg: The drawing.
        theme: `light` or `dark`.

    Raises:
        UsageError: The packages for it are not installed.
    """
    try:
        import resvg_py

        fonts = [
            str(resources.files("font_source_sans_pro") / "files" / f"SourceSansPro-{w}.ttf")
            for w in WEIGHTS
        ]
    except ImportError:
        raise UsageError(MISSING_PACKAGES) from None
    colours = _colours(theme)
    return resvg_py.svg_to_bytes(
        svg_string=_framed(svg),
        style_sheet=_plain_style(colours),
        background=colours["paper"],
        skip_system_fonts=True,
        font_files=fonts,
        font_family=FONT,
        sans_serif_family=FONT,
        zoom=ZOOM,
    )


def _framed(svg: str) -> str:
    """Add a margin to a drawing."""
    width, height = map(float, re.findall(r'viewBox="0 0 (\S+) (\S+)"', svg)[0])
    wide, tall = width + 2 * MARGIN, height + 2 * MARGIN
    frame = f'viewBox="{-MARGIN} {-MARGIN} {wide:g} {tall:g}" width="{wide:g}" height="{tall:g}"'
    return re.sub(r'viewBox="[^"]*"', frame, svg, count=1)


def _colours(theme: str) -> dict[str, str]:
    """Return the colours of a theme: the first block of the style sheet, and for dark the second."""
    blocks = re.findall(r":root \{(.*?)\}", style_sheet(), re.DOTALL)
    chosen = blocks if theme == "dark" else blocks[:1]
    return {n: v for block in chosen for n, v in re.findall(r"--(\w+): (#\w+);", block)}


def _plain_style(colours: dict[str, str]) -> str:
    """Return the style rules for drawings, with colours and the font filled in."""
    rules = "\n".join(re.findall(r"^svg .*\}$", style_sheet(), re.MULTILINE)).replace("svg ", "")
    rules = re.sub(r"var\(--(\w+)\)", lambda m: colours[m[1]], rules)
    return re.sub(r"font-family: [^;]*;", f"font-family: '{FONT}';", rules)
