"""Local web pages for reading a store: samples, prompts, answers, verdicts, failures and SQL.

Decisions
- Pages are rendered on the server by Starlette and Jinja2; the browser gets HTML, style sheets and
  one short script for keys, copying and the SQL editor. Nothing is loaded from other sites, and
  nothing but the marks of a reader is written to the store (marks.py).
- Text of the store is never markup: templates escape every value, invisible characters are
  replaced, and the content security policy allows no script but the one in `static/`.
- Lists are paged by id. A filter or search scans windows of ids until the page is full or its time
  limit is reached, so a page costs the same in a store of any size; the scan goes on in the next
  page.
- Figures and counts are made in the background and cached: a page never waits for them. Counts and
  the order of a sorted list come from the snapshot, so they are as old as the page says.
"""

from __future__ import annotations

from annoy_store.web.app import application
from annoy_store.web.server import listen, serve

__all__ = ["application", "listen", "serve"]
