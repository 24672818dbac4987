"""The template environment, and the addresses of rows.

Decision: the environment escapes every value and replaces invisible characters, so no template has
to; only `Markup` that this package made is inserted unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup, escape

from annoy_store.analysis.hints import hint
from annoy_store.report.figure import Ref
from annoy_store.report.svg import visible
from annoy_store.web.highlight import highlight_code
from annoy_store.web.listings import LISTINGS
from annoy_store.web.markdown import render_markdown

MAX_CELL_CHARS = 2_000
LISTING_OF_KIND = {listing.kind: listing.name for listing in LISTINGS.values()}


def templates() -> jinja2.Environment:
    """Return the template environment."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("annoy_store.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda v: v if isinstance(v, Markup) else "" if v is None else visible(str(v)),
    )
    functions: dict[str, Callable[..., str]] = {
        "url": url,
        "link": lambda kind, key: link(Ref(kind, key)),
        "hint": _hint,
    }
    environment.globals |= functions
    environment.filters |= {
        "highlight": highlight_code,
        "plain": _cell_text,
        "markdown": render_markdown,
    }
    return environment


def url(path: str, query: Mapping[str, Any] | None = None) -> str:
    """Return an address with its query; parameters without a value are omitted."""
    parameters = {k: v for k, v in (query or {}).items() if v not in (None, "")}
    return f"{path}?{urlencode(parameters)}" if parameters else path


def link(ref: Ref) -> str:
    """Return the address of a row's page."""
    if ref.kind == "chain":
        return f"/chain/{ref.id}"
    name = LISTING_OF_KIND.get(ref.kind)
    return f"/{name}/{ref.id}" if name else f"/row/{ref.kind}/{ref.id}"


def _hint(reason: str, stage: str) -> Markup:
    """Return what to do about a failure, its commands as code."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(hint(reason, stage)))))


def _cell_text(value: Any) -> str:
    """Format a value of an SQL result."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else str(value)
    return text if len(text) <= MAX_CELL_CHARS else f"{text[: MAX_CELL_CHARS - 1]}\u2026"
