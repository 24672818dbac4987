"""The marks that a reader sets on the pages: the only thing that the pages write.

Decisions
- A form of another site must not write here. The browser has to name our own address as the origin
  of the request (middleware.py); the form has a token that only our pages know; and a cookie that
  browsers send with no request from another site (SameSite) has to come with it. Token and cookie
  are new in every process.
- Without an author there are no forms, and every request to write is rejected: so it is for a store
  that cannot be written, and with `annoy view --read-only`.
- After writing, the browser is sent back to the page by its path, never to another site.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from annoy_store.analysis.row_names import resolve_row
from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.records.annotations import (
    MARKED_KINDS,
    Mark,
    marked_rows,
    remove_mark,
    set_mark,
)

PATH = "/marks"
MAX_BODY_BYTES = 65_536
MAX_ROWS = 200
_FORM = "application/x-www-form-urlencoded"
_CHANGES = {"set": set_mark, "remove": remove_mark}


@dataclass(frozen=True)
class MarkForm:
    """What the forms of a page need.

    Attributes:
        token: The token of this process.
        back: Address of the page.
        kinds: Kinds of rows that can be marked.
    """

    token: str
    back: str
    kinds: tuple[str, ...] = MARKED_KINDS


class MarkWriter:
    """Writes the marks that are sent from forms.

    Attributes:
        store: The store.
        author: Name that is stored with a mark.
    """

    def __init__(self, store: Database, author: str) -> None:
        self.store, self.author = store, author
        self._token, self._cookie = secrets.token_urlsafe(), secrets.token_urlsafe()
        self._cookie_name = f"annoy-{secrets.token_hex(4)}"

    def form(self, request: Request) -> MarkForm:
        """Return what the forms of a page need."""
        query = f"?{request.url.query}" if request.url.query else ""
        return MarkForm(self._token, request.url.path + query)

    def add_cookie(self, response: Response) -> None:
        """Let the browser send the cookie with the forms of a page."""
        response.set_cookie(self._cookie_name, self._cookie, httponly=True, samesite="strict")

    async def write(self, request: Request) -> Response:
        """Set or remove the mark of a form, and send the browser back to its page.

        Raises:
            HTTPException: The form is not ours, or the mark cannot be set.
        """
        given = await _read_form(request)
        cookie = request.cookies.get(self._cookie_name, "")
        if not (_equal(given.get("token", ""), self._token) and _equal(cookie, self._cookie)):
            raise HTTPException(403, "This form is out of date: load the page again.")
        try:
            await run_in_threadpool(self.store.transact, lambda c: self._change(c, given))
        except UsageError as error:
            raise HTTPException(400, str(error)) from None
        return RedirectResponse(_local(given.get("back", "")), 303)

    def _change(self, connection: Connection, given: Mapping[str, str]) -> None:
        what, _, kind = given.get("do", "").partition(" ")
        if what not in _CHANGES:
            raise UsageError("the form does not say what to do")
        mark = Mark(kind, given.get("value") or given.get(kind, ""))
        row = resolve_row(connection, given.get("row", ""))
        _CHANGES[what](connection, *row, mark, self.author)


async def _read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        HTTPException: It is another type of content, or too long.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != _FORM:
        raise HTTPException(415, "Only forms of these pages are accepted.")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, "The form is too long.")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _equal(given: str, wanted: str) -> bool:
    return secrets.compare_digest(given.encode(), wanted.encode())


def _local(back: str) -> str:
    """Return an address of ours; the list of marked rows for any other."""
    is_ours = back.startswith("/") and not back.startswith(("//", "/\\")) and back.isprintable()
    return back if is_ours else PATH


def list_marks(connection: Connection, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of the page of marked rows.

    Args:
        connection: A connection to the store.
        given: Parameters of the address: `tag`, a tag that the rows have; or `flag`.
    """
    tag = given.get("tag", "")
    mark = Mark("tag", tag) if tag else Mark("flag") if given.get("flag") else None
    found = marked_rows(connection, MAX_ROWS + 1, mark)
    return {"rows": found[:MAX_ROWS], "more": len(found) > MAX_ROWS, "tag": tag, "mark": mark}
