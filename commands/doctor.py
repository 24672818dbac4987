"""Check what works on this machine, and how to fix the rest.

Checks the interpreter, the packages, SQLite, the store, the disk, the sandbox and the endpoint of
the settings. Keys are never printed. `--exec` also runs a program in the sandbox and prints which
interpreter and packages the samples get. The exit code is 1 if something essential is broken.

\b
Examples:
  annoy doctor
  annoy doctor --exec --json
"""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from annoy_store.config import RunSettings
from annoy_store.db import engine, migrate
from annoy_store.db.sqlite_file import sqlite_library
from annoy_store.errors import AnnoyError, UsageError
from annoy_store.interfaces import Limits, Program
from annoy_store.records.teachers import omitted_parameters

from ._screen import show, text, toned
from ._shared import json_option, load_settings, print_json

PACKAGES = ("sqlalchemy", "alembic", "openai", "duckdb", "pyarrow", "pydantic", "orjson")
LOW_DISK = 1_000_000_000
ASKED = ("openai", "batch")
REACH_SECONDS = 5.0
OK, WARNING, BROKEN = "ok", "warning", "broken"
TONES = {OK: "good", WARNING: "warning", BROKEN: "bad"}
INDENT = 21  # columns of state and name


@dataclass(frozen=True)
class Finding:
    """Result of one check: its state, what was found, and what to do about it."""

    name: str
    state: str
    found: str
    advice: str = ""

    def lines(self) -> Iterator[str]:
        """Yield the result as it is printed, with the advice under it."""
        first = f"{toned(f'{self.state:8}', TONES[self.state])} {self.name:12}"
        start, *rest = text(self.found, indent=INDENT)
        yield first + start[INDENT:]
        yield from rest
        if self.advice:
            yield from text(self.advice, indent=INDENT + 3, first=f"{'':{INDENT}}->")


@click.command(help=__doc__)
@click.option("--exec", "execute", is_flag=True, help="Also run a program in the sandbox.")
@json_option
@click.pass_context
def command(ctx: click.Context, execute: bool, as_json: bool) -> None:
    findings = list(_examine(ctx, execute))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            show(finding.lines())
        show(_conclusion(findings))
    ctx.exit(1 if any(f.state == BROKEN for f in findings) else 0)


def _conclusion(findings: Sequence[Finding]) -> Iterator[str]:
    counts = Counter(finding.state for finding in findings)
    words = {BROKEN: "broken", WARNING: f"warning{'s' * (counts[WARNING] > 1)}", OK: "ok"}
    yield ""
    yield ", ".join(toned(f"{counts[s]} {words[s]}", TONES[s]) for s in words if counts[s])


def _examine(ctx: click.Context, execute: bool) -> Iterator[Finding]:
    yield _interpreter()
    yield _packages()
    yield _library()
    try:
        settings = load_settings(ctx)
    except UsageError as error:
        yield Finding("settings", BROKEN, str(error), "correct this, then: `annoy doctor`")
        return
    yield _guarded("store", lambda: _store(settings.store))
    yield _guarded("disk", lambda: _disk(settings.store))
    yield from _sandbox(settings, execute)
    yield _guarded("endpoint", lambda: _endpoint(settings))


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except AnnoyError as error:
        return Finding(name, BROKEN, str(error))


def _interpreter() -> Finding:
    words = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    good = sys.version_info >= (3, 11)
    return Finding("interpreter", OK if good else BROKEN, words, "" if good else "use Python 3.11")


def _packages() -> Finding:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    advice = f"`pip install {' '.join(missing)}`" if missing else ""
    return Finding("packages", BROKEN if missing else OK, ", ".join(found), advice)


def _library() -> Finding:
    words = sqlite_library()
    old = "older" in words
    return Finding(
        "sqlite", WARNING if old else OK, words, "`pip install pysqlite3`" if old else ""
    )


def _store(url: str) -> Finding:
    store = engine.connect(url)
    try:
        if store.path is not None and not store.path.exists():
            return Finding(
                "store", WARNING, f"no store at {store} yet", "`annoy ingest PATH` creates it"
            )
        migrate.open_store(url).close()
        return Finding("store", OK, f"{store}, schema {migrate.newest_revision()}")
    finally:
        store.close()


def _disk(url: str) -> Finding:
    path = engine.connect(url).path
    here = path.resolve().parent if path else Path.cwd()
    if not here.is_dir():
        return Finding(
            "disk", BROKEN, f"{here} does not exist", "create the folder, or use --store"
        )
    free = shutil.disk_usage(here).free
    low = free < LOW_DISK
    return Finding(
        "disk",
        WARNING if low else OK,
        f"{free / 1e9:,.1f} GB free in {here}",
        "a store grows by about 10 kB per source: free some space" if low else "",
    )


def _sandbox(settings: RunSettings, execute: bool) -> Iterator[Finding]:
    from annoy_store.sandbox import open_sandbox

    try:
        sandbox = open_sandbox(
            slots=settings.slots,
            python=settings.python,
            unsafe=settings.unsafe_no_sandbox,
            allow_subprocess=settings.allow_subprocess,
        )
    except AnnoyError as error:
        yield Finding("sandbox", BROKEN, str(error))
        return
    try:
        about = sandbox.describe()
        why = "; ".join(f"{level}: {reason}" for level, reason in about["refused"].items())
        strong = about["isolation"] == "strong"
        yield Finding(
            "sandbox",
            OK if strong else WARNING,
            f"{about['isolation']}, {about['slots']} slots",
            f"{why}; install bubblewrap (the system's package, or 'annoy-store[sandbox]')"
            if why and not strong
            else why,
        )
        if execute:
            yield _executed(sandbox, about)
    finally:
        sandbox.close()


def _executed(sandbox: Any, about: dict[str, Any]) -> Finding:
    """Run a small program and compare its output."""
    program = Program("def main_solution(x):\n    return sum(range(x))\n")
    (ran,) = sandbox.call(program, ['{"x": 5}'], Limits())
    interpreter = sandbox.info
    where = (
        f"Python {interpreter.python} at {about['python']}, {len(interpreter.packages)} packages"
    )
    good = ran.outcome == "ok" and ran.output == "10"
    words = f"{ran.outcome} in {ran.wall_ms:.1f} ms; {where}"
    return Finding("execution", OK if good else BROKEN, words, ran.error_message or "")


def _endpoint(settings: RunSettings) -> Finding:
    if settings.teacher not in ASKED:
        return Finding("endpoint", OK, f"teacher {settings.teacher} needs none")
    from annoy_store.inference.client.providers import resolve_endpoint

    try:
        endpoint = resolve_endpoint(settings, settings.model or "any")
    except UsageError as error:
        return Finding(
            "endpoint", WARNING, str(error), "works without a key: `annoy run --teacher tracer`"
        )
    try:
        models = _models(endpoint.base_url, endpoint.key, endpoint.query)
    except urllib.error.HTTPError as error:
        refused = error.code in (401, 403)
        advice = f"{endpoint.sent_key}; another name: --api-key-env" if refused else ""
        words = f"{endpoint.base_url} answers with HTTP {error.code}"
        return Finding("endpoint", WARNING, words, advice)
    except (OSError, ValueError) as error:
        words = f"{endpoint.base_url} cannot be reached: {error}"
        advice = "set SSL_CERT_FILE to the certificates to trust"
        if "CERTIFICATE_VERIFY_FAILED" not in words:
            advice = "is the server running? set --base-url"
        return Finding("endpoint", WARNING, words, advice)
    if settings.model and models and settings.model not in models:
        known = ", ".join(models[:8])
        return Finding("endpoint", WARNING, f"{endpoint.base_url} has no {settings.model}", known)
    left_out = ", ".join(_left_out(settings, endpoint))
    words = f"; left out, as it refuses them: {left_out}" if left_out else ""
    return Finding("endpoint", OK, f"{endpoint.base_url}, {len(models)} models{words}")


def _left_out(settings: RunSettings, endpoint: Any) -> list[str]:
    """Return the parameters that the endpoint refuses for the model, known before or learned."""
    from annoy_store.inference.client.base_url import normalised_url

    found = set(endpoint.refused)
    store = engine.connect(settings.store)
    try:
        if store.path is None or store.path.exists():
            url = normalised_url(endpoint.base_url)
            with (
                contextlib.closing(migrate.open_store(settings.store)) as opened,
                opened.read() as connection,
            ):
                found |= omitted_parameters(connection, endpoint.model, url)
    except AnnoyError:
        pass  # told as the state of the store
    finally:
        store.close()
    return sorted(found)


def _models(base_url: str, key: str, query: Mapping[str, str]) -> list[str]:
    """Return the models that an endpoint lists."""
    from annoy_store.inference.client.base_url import is_loopback

    if not base_url.startswith(("http://", "https://")):
        raise ValueError("the URL begins with neither http:// nor https://")
    parameters = f"?{urllib.parse.urlencode(query)}" if query else ""
    request = urllib.request.Request(f"{base_url.rstrip('/')}/models{parameters}")
    request.add_unredirected_header("Authorization", f"Bearer {key}")
    proxies = urllib.request.ProxyHandler({} if is_loopback(base_url) else None)
    with urllib.request.build_opener(proxies).open(request, timeout=REACH_SECONDS) as answer:
        body = json.loads(answer.read(10_000_000))
    listed = body.get("data", []) if isinstance(body, dict) else []
    return [str(model.get("id")) for model in listed if isinstance(model, dict)]
