"""The server's socket."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from annoy_store.errors import UsageError
from annoy_store.web import listen


def test_listen_rejects_a_host_that_is_not_this_machine() -> None:
    with pytest.raises(UsageError, match="cannot listen"):
        listen("203.0.113.7", 0)
