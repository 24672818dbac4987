"""A store that is served, for tests marked `browser`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from annoy_store.db.engine import Database
from tests.support import populated_store


@pytest.fixture
def address(sqlite_store: Database, tmp_path: Path) -> Iterator[str]:
    """Where a store with hostile text is served."""
    pytest.importorskip("starlette")
    uvicorn = pytest.importorskip("uvicorn")
    from annoy_store.web import application, listen

    populated_store.fill(sqlite_store, 3)
    app = application(sqlite_store)
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
