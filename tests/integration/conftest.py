"""A store that is served, for tests marked `browser`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from annoy_store.db.engine import Database
from annoy_store.records.annotations import Mark, set_mark
from tests.support import populated_store
from tests.support.populated_store import TRICKS


@pytest.fixture
def address(sqlite_store: Database, tmp_path: Path) -> Iterator[str]:
    """Where a store with hostile text and marks is served, by `ann`."""
    pytest.importorskip("starlette")
    uvicorn = pytest.importorskip("uvicorn")
    from annoy_store.web import application, listen

    populated_store.fill(sqlite_store, 3)
    with sqlite_store.write() as connection:
        for mark in (Mark("flag"), Mark("tag", populated_store.SCRIPT), Mark("note", TRICKS)):
            for kind in ("sample", "prompt", "chain", "response"):
                set_mark(connection, kind, 1 if kind != "chain" else 2, mark, "ann")
    app = application(sqlite_store, author="ann")
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    for one in app.state.background:
        one.wait(30)
    server.should_exit = True
    thread.join(10)
    listening.close()
