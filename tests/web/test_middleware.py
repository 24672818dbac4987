"""Access control of the web pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from annoy_store.db.engine import Database
from tests.support import populated_store
from tests.support.web_client import Client

pytestmark = pytest.mark.slow_on("postgres")


@pytest.fixture
def reader(store: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Client]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    populated_store.fill(store)
    client = Client(store)
    yield client
    client.wait()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8765", 200),
        ("127.0.0.1", 200),
        ("[::1]:8765", 200),
        ("store.example:80", 200),
        ("10.1.2.3:8765", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8765", 421),
        ("localhost.evil.example", 421),
        ("", 421),
        ("127.0.0.1@evil.example", 421),
    ],
)
def test_middleware_accepts_only_names_of_this_machine(
    sqlite_store: Database, host: str, status: int
) -> None:
    assert Client(sqlite_store).get("/static/view.js", host=host).status == status


def test_middleware_accepts_only_reading_methods(reader: Client) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert reader.get("/sql", method).status == 405


OWN = {"host": "127.0.0.1:8765", "origin": "http://127.0.0.1:8765"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (OWN, 415),  # let through, and no form
        (OWN | {"sec_fetch_site": "same-origin"}, 415),
        ({"host": "localhost:80", "origin": "http://localhost:80"}, 415),
        ({"host": "127.0.0.1:8765"}, 403),  # no origin
        (OWN | {"origin": "null"}, 403),
        (OWN | {"origin": "http://evil.example"}, 403),
        (OWN | {"origin": "http://127.0.0.1:9000"}, 403),  # another program of this machine
        (OWN | {"origin": "http://127.0.0.1:8765.evil.example"}, 403),
        (OWN | {"origin": "http://localhost:8765"}, 403),
        (OWN | {"origin": "http://[bad"}, 403),
        (OWN | {"sec_fetch_site": "cross-site"}, 403),
        (OWN | {"sec_fetch_site": "same-site"}, 403),
        (OWN | {"sec_fetch_site": "none"}, 403),
        ({"host": "evil.example", "origin": "http://evil.example"}, 421),  # DNS rebinding
    ],
)
def test_middleware_lets_our_own_pages_write_only(
    sqlite_store: Database, headers: dict[str, str], status: int
) -> None:
    client = Client(sqlite_store, "ann")
    assert client.get("/marks", "POST", **headers).status == status
    assert Client(sqlite_store).get("/marks", "POST", **headers).status in (405, 421)


def test_middleware_lets_marks_be_written_only(sqlite_store: Database) -> None:
    client = Client(sqlite_store, "ann")
    for url, method in (("/sql", "POST"), ("/", "POST"), ("/marks", "PUT"), ("/marks", "DELETE")):
        assert client.get(url, method, **OWN).status == 405


def test_middleware_lets_other_sites_link_but_not_load(reader: Client) -> None:
    assert (
        reader.get("/sql?q=SELECT+1", sec_fetch_site="cross-site", sec_fetch_mode="no-cors").status
        == 403
    )
    assert reader.get("/", sec_fetch_site="cross-site", sec_fetch_mode="navigate").status == 200
    headers = reader.get("/").headers
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
