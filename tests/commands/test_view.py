"""`annoy view` and `annoy show random` as a person meets them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.commands.conftest import CHECKOUT, Annoy


def test_it_answers_until_interrupted_and_writes_nothing(worked: Path, tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    before = worked.read_bytes()
    command = [sys.executable, "-m", "annoy_store", "view", "--port", "0", "--no-open"]
    env = {"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}answers", timeout=20) as answer:
            assert "predict_output" in answer.read().decode()
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode in (0, 130)
    assert "Traceback" not in errors
    assert worked.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "forms"),
    [((), 1), (("--read-only",), 0), (("--host", "0.0.0.0"), 0), (("--host", "::1", "--marks"), 1)],
)
def test_rows_can_be_marked_where_only_this_machine_connects(
    annoy: Annoy,
    worked: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    forms: int,
) -> None:
    pytest.importorskip("starlette")
    served = []
    monkeypatch.setattr("annoy_store.web.serve", lambda app, _: served.append(app))
    assert annoy("view", "--port", "0", "--no-open", *options).exit_code == 0
    (app,) = served
    assert sum("POST" in (route.methods or ()) for route in app.routes) == forms


def test_a_port_that_is_taken(annoy: Annoy, worked: Path, one_line) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("starlette")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = annoy("view", "--port", taken.getsockname()[1], "--no-open")
    assert "--port 0" in one_line(result)


def test_without_its_packages(
    annoy: Annoy,
    worked: Path,
    one_line,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    for name in [n for n in sys.modules if n.startswith("annoy_store.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette", None)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    assert "pip install 'annoy-store[web]'" in one_line(annoy("view", "--no-open"))


def test_a_row_by_chance(annoy: Annoy, worked: Path) -> None:
    assert "<==" in annoy("show", "random", "correct").stdout
    assert annoy("show", "random").exit_code == 0
    assert annoy("show", "sample:1", "wrong").exit_code == 2
    assert "no row matches" in annoy("show", "random", "memory").stderr
