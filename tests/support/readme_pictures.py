"""Take the README's screenshots: the report of the demo's store, and a page of `annoy view`.

Run from the top folder: `python -m tests.support.readme_pictures`. It runs the demo first, and
needs Chromium and the extra `web`.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from annoy_store.db.engine import Database
from annoy_store.db.migrate import open_store
from annoy_store.web import application, listen
from commands import annoy
from tests.support.chromium import Tab, browsing, installed

STORE = "sqlite:///annoy-demo/annoy.db"
IMAGES = Path(__file__).parents[2] / ".github" / "images"
REPORT = (1000, 640)
PAGE = (1000, 640)
CHAIN = "SELECT chain_id FROM v_chains WHERE status_1 = 'wrong' AND status_2 = 'correct' LIMIT 1"


def main() -> None:
    """Write `report-*.png` and `chain-*.png`, each light and dark."""
    binary = installed()
    assert binary is not None, "Chromium is not installed"
    with tempfile.TemporaryDirectory(prefix="annoy-") as folder, contextlib.chdir(folder):
        annoy.main(["demo"], standalone_mode=False)
        annoy.main(["--store", STORE, "report", "report.html"], standalone_mode=False)
        store = open_store(STORE)
        with browsing(binary) as tab, served(store) as address:
            report = Path("report.html").resolve().as_uri()
            take_all(tab, store, report, address)
        store.close()


def take_all(tab: Tab, store: Database, report: str, address: str) -> None:
    """Take the pictures of a report and of the chain that its second turn corrected."""
    with store.read() as connection:
        chain = connection.exec_driver_sql(CHAIN).scalar_one()
    for scheme in ("light", "dark"):
        take(tab, report, scheme, REPORT, IMAGES / f"report-{scheme}.png")
        page = f"{address}/chain/{chain}"
        take(tab, page, scheme, PAGE, IMAGES / f"chain-{scheme}.png", from_=".turns")


def take(
    tab: Tab, url: str, scheme: str, size: tuple[int, int], file: Path, from_: str = "body"
) -> None:
    """Take a picture of a page, from the first element that a CSS selector finds."""
    tab.prefer(scheme)
    tab.resize(*size)
    tab.open(url)
    tab.ask(f"document.querySelector('{from_}').scrollIntoView()")
    tab.ask("window.scrollBy(0, -100)")  # below the bar at the top
    tab.screenshot(file)
    assert tab.complaints == []


@contextmanager
def served(store: Database) -> Iterator[str]:
    """Serve the pages of a store on this machine."""
    app = application(store)
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    for cache in app.state.background:
        cache.wait(30)
    server.should_exit = True
    thread.join(10)
    listening.close()


if __name__ == "__main__":
    main()
