"""A store to read in with a browser: pages over samples, prompts, answers and verdicts.

Decisions
- Pages are made here, by Starlette and Jinja2; the browser gets HTML, two style sheets and some
  forty lines of script for keys. Nothing is fetched from elsewhere, nothing is written.
- Text of the store is never markup: templates escape all that is not made by us, signs that
  cannot be seen are shown, and no page may run a script but ours.
- A list is cut by the id of its last row. A filter or search looks through windows of ids until
  the page is full or its time is up, so a page costs the same in a store of any size; what was
  not looked through yet is one more page away.
- Figures are drawn in the background and kept: a page never waits for them.
"""

from __future__ import annotations

from annoy_store.web.app import application
from annoy_store.web.server import listen, serve

__all__ = ["application", "listen", "serve"]
