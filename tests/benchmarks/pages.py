"""What each page of `annoy view` costs in a store of a million answers.

Run: python tests/benchmarks/pages.py [--quick] [--data STORE.db] [--rounds N]

A made-up store is filled (see tests/support/store_filler.py), or the one given by `--data` is used
and grown by the benchmark, so give a copy. Every page is requested without a socket, when the counts
are there: told are the seconds of the first request, the least of the later ones, and those of the
processor. Then answers are added, and the refresh of the snapshot and of the counts is timed, with
its peak memory. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from annoy_store.db.engine import Database  # noqa: E402
from annoy_store.db.migrate import open_store  # noqa: E402
from annoy_store.db.views import VIEWS  # noqa: E402
from annoy_store.web.counts import count_rows  # noqa: E402
from annoy_store.web.listings import LISTINGS  # noqa: E402
from tests.support.store_filler import MODELS, Filler  # noqa: E402
from tests.support.web_client import Client, Response  # noqa: E402

LIMIT = 0.5  # seconds of a page
ROWS = {
    "chain": "SELECT MIN(chain_response_id) FROM turns WHERE chain_response_id > {half}",
    "prompt": "SELECT MIN(prompt_id) FROM turns WHERE id > {half}",
    "sample": "SELECT MIN(sample_id) FROM turns WHERE id > {half}",
    "source": "SELECT MAX(id) / 2 FROM sources",
    "io_pair": "SELECT MIN(io_pair_id) FROM turns WHERE id > {half}",
}


def row_pages(store: Database) -> dict[str, str]:
    """Return the addresses of one row of each kind, from the middle of the store."""
    with store.read() as connection:
        half = int(connection.exec_driver_sql("SELECT MAX(id) / 2 FROM responses").scalar_one())
        ids = {
            kind: connection.exec_driver_sql(query.format(half=half)).scalar_one()
            for kind, query in ROWS.items()
        }
    found = {f"{kind} page": f"/row/{kind}/{key}" for kind, key in ids.items()}
    return found | {
        "chain page": f"/chain/{ids['chain']}",
        "answer of a list": f"/answers/{half}?status=correct&sort=-tokens",
        "verdict page": f"/row/verdict/{half // 2}",
    }


def list_pages(client: Client) -> Iterator[tuple[str, str]]:
    """Yield the addresses of every list: by id, by each column, first, later and last pages."""
    for name, listing in LISTINGS.items():
        yield name, f"/{name}"
        for rel in ("next", "last"):
            if href := linked(client.get(f"/{name}"), rel):
                yield f"{name}, {rel}", href
        for facet in listing.filters:
            for value in chosen_values(client.get(f"/{name}"), facet)[:2]:
                yield f"{name}, {facet}={value}", f"/{name}?{facet}={quote(value)}"
        for column in listing.sortable:
            for sort in (column, f"-{column}"):
                first = f"/{name}?sort={sort}"
                yield f"{name} by {sort}", first
                if last := linked(client.get(first), "last"):
                    pages = int(last.rpartition("=")[2])
                    yield f"{name} by {sort}, last", last
                    yield f"{name} by {sort}, middle", f"{first}&page={pages // 2}"
        facet = next(iter(listing.filters))
        for value in chosen_values(client.get(f"/{name}"), facet)[:1]:
            address = f"/{name}?{facet}={quote(value)}&sort=-{listing.sortable[-1]}"
            yield f"{name}, {facet}={value} by -{listing.sortable[-1]}", address


def linked(answer: Response, rel: str) -> str:
    """Return the address of a page's link `first`, `prev`, `next` or `last`; '' without one."""
    found = re.search(rf'rel="{rel}" href="([^"]+)"', answer.text)
    return html.unescape(found[1]) if found else ""


def chosen_values(answer: Response, facet: str) -> list[str]:
    """Return the values of a facet that a page links to."""
    addresses = map(html.unescape, re.findall(r'class="choice" href="([^"]+)"', answer.text))
    queries = [dict(parse_qsl(urlsplit(one).query)) for one in addresses]
    return [one[facet] for one in queries if facet in one]


def other_pages(client: Client) -> Iterator[tuple[str, str]]:
    """Yield the addresses of the pages that are not of one list."""
    a, b = MODELS
    yield "overview", "/"
    yield "failures", "/failures"
    yield "failures of one reason", "/failures?stage=parse&reason=syntax_error"
    yield "figures", "/figures"
    yield "models", "/models"
    for cell in ("11", "10", "01", "00"):
        yield f"models, cell {cell}", f"/models?a={a}&b={b}&cell={cell}"
    for what in ("wrong", "correct", "rejected", "sample"):
        yield f"random {what}", f"/random/{what}"
    yield "SQL page", "/sql"
    (token,) = re.findall(r'name="typed" value="([^"]+)"', client.get("/sql").text)
    for view in VIEWS:
        for engine in ("store", "snapshot"):
            query = urlencode({"typed": token, "of": engine, "q": view.example})
            yield f"SQL on the {engine}: {view.example}", f"/sql?{query}"


def measured(client: Client, address: str, rounds: int) -> dict[str, float]:
    """Return the seconds of the first request, the least of all, and the least of the processor."""
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        answer = client.get(address)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
        assert answer.status in (200, 303), (address, answer.status, answer.text[:500])
    return {"first": walls[0], "s": min(walls), "cpu": min(cpus)}


def refreshed(store: Database) -> dict[str, float]:
    """Return the seconds of a refresh of the snapshot with the counts, and the peak MB so far."""
    wall, cpu = time.perf_counter(), time.process_time()
    count_rows(store)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"s": wall, "cpu": cpu, "peak_mb": peak}


def grow(path: Path, answers: int, seed: int) -> None:
    """Add the histories of so many answers."""
    filler = Filler(path, seed)
    filler.fill(answers)
    filler.close()


def measure(path: Path, answers: int, new: int, rounds: int) -> dict[str, Any]:
    """Fill a store if it is not there, and measure refreshes and pages."""
    if not path.exists():
        grow(path, answers, 1)
    store = open_store(f"sqlite:///{path}")
    refreshes = {"first": refreshed(store)}
    grow(path, new, 2)
    refreshes |= {"grown": refreshed(store), "idle": refreshed(store)}
    for name, one in refreshes.items():
        print(
            f"refresh, {name:6} {one['s']:7.2f} s, CPU {one['cpu']:7.2f} s, {one['peak_mb']:.0f} MB"
        )
    client = Client(store)
    client.get("/")
    client.get("/figures")
    client.wait()
    pages = {}
    for name, address in (*other_pages(client), *row_pages(store).items(), *list_pages(client)):
        pages[name] = one = measured(client, address, rounds)
        slow = "  slow" if one["s"] > LIMIT else ""
        print(f"{one['first']:6.3f} {one['s']:6.3f} {one['cpu']:6.3f}  {name}{slow}", flush=True)
    client.wait()
    store.close()
    return {
        "answers": answers + new,
        "load": os.getloadavg()[0],
        "pages": len(pages),
        "slow": sorted(name for name, one in pages.items() if one["s"] > LIMIT),
        "slowest_s": max(one["s"] for one in pages.values()),
        "slowest_cpu_s": max(one["cpu"] for one in pages.values()),
        **{
            f"refresh_{name}_{what}": n
            for name, one in refreshes.items()
            for what, n in one.items()
        },
    }


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20,000 answers, 2,000 new")
    parser.add_argument("--data", type=Path, help="a store to use; it is grown")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    answers, new = (20_000, 2_000) if options.quick else (1_000_000, 30_000)
    folder = Path(tempfile.mkdtemp(prefix="annoy-pages-"))
    try:
        print(" first  least    CPU  page, seconds")
        print(
            json.dumps(measure(options.data or folder / "store.db", answers, new, options.rounds))
        )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
