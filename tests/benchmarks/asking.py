"""What an answer costs: ours with ledger and store, against three other ways to ask.

Run: python tests/benchmarks/asking.py [--quick] [--runs N]

  ours       the `complete` stage of a run: claims, asks, settles, stores in SQLite
  raw        aiohttp and orjson alone, nothing stored: the limit of what Python can do
  default    the openai package as it comes: AsyncOpenAI, `chat.completions.create`
  per_call   a new client for every call, in threads, one submission every 0.1 s

Every measurement is a process of its own, against the provider of the tests in another; the ways
take turns, and medians are reported. CPU is that of the asking process after imports and
preparation, user and system, per 1,000 answers. Prompts have 4,000 characters, answers 2,000.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

WAYS = ("ours", "raw", "default", "per_call")
PROMPT_CHARS, ANSWER_CHARS = 4_000, 2_000
SUBMISSION_SECONDS = 0.1


def messages(number: int) -> list[dict[str, str]]:
    start = f"{number}: rewrite this as one function. "
    return [{"role": "user", "content": start + "x" * (PROMPT_CHARS - len(start))}]


def body(number: int) -> dict[str, Any]:
    return {
        "model": "sim",
        "messages": messages(number),
        "temperature": 0.7,
        "max_tokens": 4096,
        "seed": number,
    }


# The ways ------------------------------------------------------------------------------------


def measured(work: Callable[[], int]) -> dict[str, float]:
    """Run `work`, which returns how many answers it got, and say what it took."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    answers = work()
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "answers": answers,
        "cpu_per_1000": 1000 * cpu / answers,
        "answers_per_second": answers / seconds,
        "rss_mb": after.ru_maxrss / 1024,
    }


def prepare(path: str, n: int) -> None:
    """Make a store with `n` planned calls."""
    from annoy_store.db.insert import insert_rows
    from annoy_store.db.migrate import open_store
    from annoy_store.prompts.template import load_template
    from annoy_store.records.prompts import prompt_rows

    template = load_template("transform")
    store = open_store(f"sqlite:///{path}", create=True)
    for first in range(0, n, 500):
        with store.write() as connection:
            for i in range(first, min(n, first + 500)):
                insert_rows(connection, prompt_rows(messages(i), template, "transform", 1, str(i)))
    store.close()


def ours(url: str, n: int, in_flight: int) -> dict[str, float]:
    import annoy_store.inference.backends.openai  # noqa: F401  imported before the clock starts
    from annoy_store.config import RunSettings
    from annoy_store.db.migrate import open_store
    from annoy_store.stages import stages_named
    from annoy_store.worker.worker import Worker

    settings = RunSettings(
        model="sim", base_url=url, max_connections=in_flight, fixed_connections=True
    )

    def work() -> int:
        progress = Worker(store, settings, [stages_named("complete")[0]]).run()
        return progress.ended["complete", "done"]

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/store.db"
        subprocess.run([sys.executable, __file__, "--prepare", path, str(n)], check=True)
        store = open_store(f"sqlite:///{path}")
        figures = measured(work)
        store.close()
    return figures


async def in_parallel(n: int, in_flight: int, ask: Callable[[int], Awaitable[str]]) -> int:
    """Ask `n` calls, `in_flight` at a time, and return how many gave a text."""
    numbers, got = iter(range(n)), 0

    async def asker() -> None:
        nonlocal got
        for number in numbers:
            text = await ask(number)
            got += bool(text)

    await asyncio.gather(*(asyncio.create_task(asker()) for _ in range(in_flight)))
    return got


def raw(url: str, n: int, in_flight: int) -> dict[str, float]:
    import aiohttp
    import orjson

    async def run() -> int:
        connector = aiohttp.TCPConnector(limit=in_flight)
        headers = {"Authorization": "Bearer EMPTY", "Content-Type": "application/json"}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

            async def ask(number: int) -> str:
                data = orjson.dumps(body(number))
                async with session.post(f"{url}/chat/completions", data=data) as response:
                    answer = orjson.loads(await response.read())
                return str(answer["choices"][0]["message"]["content"])

            return await in_parallel(n, in_flight, ask)

    return measured(lambda: asyncio.run(run()))


def default(url: str, n: int, in_flight: int) -> dict[str, float]:
    from openai import AsyncOpenAI

    async def run() -> int:
        async with AsyncOpenAI(base_url=url, api_key="EMPTY") as client:

            async def ask(number: int) -> str:
                answer = await client.chat.completions.create(**body(number))
                return str(answer.choices[0].message.content)

            return await in_parallel(n, in_flight, ask)

    return measured(lambda: asyncio.run(run()))


def per_call(url: str, n: int, in_flight: int) -> dict[str, float]:
    from openai import OpenAI

    def ask(number: int) -> str:
        client = OpenAI(base_url=url, api_key="EMPTY")
        answer = client.chat.completions.create(**body(number))
        return str(answer.choices[0].message.content)

    def work() -> int:
        with ThreadPoolExecutor(in_flight) as pool:
            asked = []
            for number in range(n):
                asked.append(pool.submit(ask, number))
                time.sleep(SUBMISSION_SECONDS)
            return sum(bool(one.result()) for one in asked)

    return measured(work)


# Taking turns --------------------------------------------------------------------------------


@contextmanager
def provider(latency: float) -> Iterator[str]:
    """Serve from a process of its own."""
    command = [
        sys.executable,
        "-m",
        "tests.support.provider",
        "--latency",
        str(latency),
        "--answer-chars",
        str(ANSWER_CHARS),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def once(way: str, latency: float, in_flight: int, n: int) -> dict[str, float]:
    """Measure one way in a process of its own."""
    with provider(latency) as url:
        command = [sys.executable, __file__, "--one", way, url, str(n), str(in_flight)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(printed.splitlines()[-1])
    if figures["answers"] != n:
        raise SystemExit(f"{way}: {figures['answers']} answers to {n} calls")
    return figures


def compare(
    latency: float, in_flight: int, calls: dict[str, int], runs: int
) -> dict[str, dict[str, float]]:
    """Measure all ways in turn, `runs` times, and return the medians."""
    seen: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(runs):
        for way in WAYS:
            seen[way].append(once(way, latency, in_flight, calls[way]))
    medians = {
        way: {key: statistics.median(f[key] for f in figures) for key in figures[0]}
        for way, figures in seen.items()
    }
    show(f"{in_flight} in flight, latency {latency:g} s, median of {runs}", medians)
    return medians


def show(title: str, medians: dict[str, dict[str, float]]) -> None:
    print(f"\n{title}\n{'':10}{'CPU s/1000':>12}{'answers/s':>12}{'peak MB':>10}{'calls':>8}")
    for way, f in medians.items():
        print(
            f"{way:10}{f['cpu_per_1000']:12.3f}{f['answers_per_second']:12.1f}"
            f"{f['rss_mb']:10.0f}{f['answers']:8.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer calls, for a first look")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--prepare", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare:
        prepare(options.prepare[0], int(options.prepare[1]))
        return
    if options.one:
        way, url, n, in_flight = options.one
        print(json.dumps(globals()[way](url, int(n), int(in_flight))))
        return
    some, slow, many, few = (600, 320, 1500, 20) if options.quick else (2000, 960, 3000, 60)
    settings = {
        "64_0": (0.0, 64, some),
        "1000_0": (0.0, 1000, some),
        "64_2": (2.0, 64, slow),
        "1000_2": (2.0, 1000, many),
    }
    figures: dict[str, Any] = {}
    for name, (latency, in_flight, n) in settings.items():
        calls = {way: few if way == "per_call" else n for way in WAYS}
        figures[name] = compare(latency, in_flight, calls, options.runs)
    crowd = once("ours", 2.0, 2500, 3000 if options.quick else 6000)
    show("2500 in flight, latency 2 s", {"ours": crowd})
    cpu = {
        name: {w: f["cpu_per_1000"] for w, f in found.items()} for name, found in figures.items()
    }
    ratios = {
        "ratio_reference": min(c["per_call"] / c["ours"] for c in cpu.values()),
        "ratio_default_client": min(c["default"] / c["ours"] for c in cpu.values()),
        "vs_limit": cpu["64_0"]["ours"] / cpu["64_0"]["raw"],
        "rss_mb_2500": crowd["rss_mb"],
    }
    print(json.dumps({**ratios, "figures": figures, "crowd": crowd}))


if __name__ == "__main__":
    main()
