"""An accessibility check of the page that is open in a browser: what axe-core finds serious.

`findings(tab)` returns one line per fault. Closed parts of the page are opened first, so that
their text is checked too.

Decision: the rules are written here, since axe-core would be a JavaScript dependency of 550 kB for
a dozen rules. They are stricter than axe-core's in one point: text of any size needs a contrast of
4.5:1, and text of an SVG drawing is compared with the shapes that are drawn behind it.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.chromium import Tab

CONTRAST = 4.5
RULES = Path(__file__).with_suffix(".js")


def findings(tab: Tab, contrast: float = CONTRAST) -> list[str]:
    """Return the serious faults of the page, as `rule: element`; each once.

    Args:
        tab: The tab that shows the page.
        contrast: Lowest contrast of text with what is behind it.
    """
    found = tab.ask(f"({RULES.read_text('utf-8')})({contrast})")
    return list(dict.fromkeys(found))
