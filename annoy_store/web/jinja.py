"""Templates, and the addresses of rows.

Decision: every value is escaped and every sign in it can be seen, by the way templates are set up
and not by who writes one; only what this package made as markup goes through as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup

from annoy_store.analysis.hints import hint
from annoy_store.report.figure import Ref
from annoy_store.report.svg import visible
from annoy_store.web.highlight import coloured
from annoy_store.web.listings import LISTINGS

MOST_CELL = 2_000
LIST_OF = {listing.kind: listing.name for listing in LISTINGS.values()}


def templates() -> jinja2.Environment:
    """Templates that escape every value, and show signs that cannot be seen."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("annoy_store.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda v: v if isinstance(v, Markup) else "" if v is None else visible(str(v)),
    )
    made.globals |= {"url": url, "link": lambda kind, key: link(Ref(kind, key)), "hint": hint}
    made.filters |= {"coloured": coloured, "plain": _plain}
    return made


def url(path: str, query: Mapping[str, Any] | None = None) -> str:
    said = {k: v for k, v in (query or {}).items() if v not in (None, "")}
    return f"{path}?{urlencode(said)}" if said else path


def link(ref: Ref) -> str:
    """Where a row is read."""
    if ref.kind == "chain":
        return f"/chain/{ref.id}"
    name = LIST_OF.get(ref.kind)
    return f"/{name}/{ref.id}" if name else f"/row/{ref.kind}/{ref.id}"


def _plain(value: Any) -> str:
    """A cell of an answer to SQL."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else str(value)
    return text if len(text) <= MOST_CELL else f"{text[: MOST_CELL - 1]}\u2026"
