"""What one check costs: a fork of a warm interpreter against a new interpreter per check.

Run: python tests/benchmarks/checks.py [--quick] [--data FILE] [--ground-truth]

Both sides run the same samples with the same three inputs, interleaved sample by sample. Ours is
counted over the whole tree: the child, the zygote's share and the host's share. The baseline
feeds a script (a long import prefix, the code, one comparison) to a new `python -` per check.
`--ground-truth` runs every recorded pair instead and lists each that does not verify, with why.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from annoy_store.interfaces import ExecutionResult, Limits, Program  # noqa: E402
from annoy_store.sandbox import LocalSandbox, open_sandbox  # noqa: E402
from annoy_store.sandbox.preload import imported_packages, preload_set  # noqa: E402

DATA = ROOT.parent / "shared" / "data" / "parsed.jsonl"
PREFIX = """
import sys, os, re, json, math, time, copy, random, string, bisect, heapq, operator, itertools
import functools, collections, datetime, decimal, fractions, statistics, typing, traceback, io
import numpy as np
import numpy
from math import *
from typing import *
from collections import *
from itertools import *
from functools import *
from heapq import *
sys.setrecursionlimit(100000)
"""
CHECK = """
_given = json.loads({given!r})
_wanted = json.loads({wanted!r})
assert json.loads(json.dumps(main_solution(**_given))) == _wanted
"""
CLOCKS = {"time", "time_ns", "perf_counter", "process_time", "now", "today", "utcnow"}
MUTATORS = {"append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse", "sort"}
MUTATORS |= {"update", "setdefault"}


@dataclass
class Sample:
    """One sample of the data with its first recorded pairs."""

    number: int
    program: Program
    pairs: list[tuple[str, Any]]


@dataclass
class Costs:
    """CPU milliseconds per check, of both sides, and of bare forks."""

    ours: list[float] = field(default_factory=list)
    child: list[float] = field(default_factory=list)
    host: list[float] = field(default_factory=list)
    baseline: list[float] = field(default_factory=list)
    forks: list[float] = field(default_factory=list)


def samples(path: Path, pairs: int | None) -> Iterator[Sample]:
    """Yield the samples of a file of parsed samples, with at most `pairs` pairs each."""
    with path.open() as lines:
        for number, line in enumerate(lines):
            row = json.loads(line)
            found = [(json.dumps(io["input"]), io["output"]) for io in row["ios"][:pairs]]
            yield Sample(number, Program(row["refcode"], row["funcname"]), found)


def callable_pairs(sample: Sample) -> list[tuple[str, Any]]:
    """The pairs whose input is JSON; an infinity is none."""
    return [pair for pair in sample.pairs if is_finite(json.loads(pair[0]))]


def is_finite(value: Any) -> bool:
    """Return whether a value can be written as JSON."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def same(mine: Any, wanted: Any) -> bool:
    """Return whether two JSON values agree, floats to nine digits."""
    if isinstance(mine, bool) or isinstance(wanted, bool):
        return mine is wanted
    if isinstance(mine, int | float) and isinstance(wanted, int | float):
        return mine == wanted or abs(mine - wanted) <= 1e-9 * max(abs(mine), abs(wanted))
    if isinstance(mine, list) and isinstance(wanted, list):
        return len(mine) == len(wanted) and all(map(same, mine, wanted))
    if isinstance(mine, dict) and isinstance(wanted, dict):
        return mine.keys() == wanted.keys() and all(same(mine[k], wanted[k]) for k in mine)
    return bool(mine == wanted) and type(mine) is type(wanted)


# The race ------------------------------------------------------------------------------------


def run_ours(sandbox: LocalSandbox, sample: Sample, costs: dict[str, Costs], kind: str) -> None:
    """Check a sample's pairs in the sandbox and enter what that cost."""
    sandbox.call(sample.program, [sample.pairs[0][0]], Limits())  # the zygote is warm from here on
    key = (kind, 0)
    if key not in (usage := sandbox.zygote_usage()):
        return  # its module could not be run, so no call was made
    before, host = usage[key]["cpu"], time.process_time()
    ran = sandbox.call(sample.program, [given for given, _ in sample.pairs], Limits())
    for one, (_, wanted) in zip(ran, sample.pairs, strict=True):
        if one.output is not None:
            same(json.loads(one.output), wanted)
    host = time.process_time() - host
    after = sandbox.zygote_usage(forks=len(ran))[key]
    tree = after["cpu"] - after["forks"] - before
    children = sum(one.cpu_ms for one in ran)
    shared = (host + tree) * 1e3 - children
    costs[kind].child += [one.cpu_ms for one in ran]
    costs[kind].ours += [one.cpu_ms + shared / len(ran) for one in ran]
    costs[kind].host += [host * 1e3 / len(ran)] * len(ran)
    costs[kind].forks.append(after["forks"] * 1e3 / len(ran))


def run_baseline(sample: Sample, costs: Costs) -> None:
    """Check a sample's pairs with a new interpreter each."""
    for given, wanted in sample.pairs:
        script = PREFIX + sample.program.code
        script += CHECK.format(given=given, wanted=json.dumps(wanted))
        start = time.process_time()
        process = subprocess.Popen(
            [sys.executable, "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdin is not None
        process.stdin.write(script.encode())
        process.stdin.close()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = status
        host = time.process_time() - start
        costs.baseline.append((used.ru_utime + used.ru_stime + host) * 1e3)


def race(chosen: list[Sample]) -> dict[str, Costs]:
    """Run both sides over the samples, a sample each in turn."""
    costs = {"plain": Costs(), "numpy": Costs()}
    with open_sandbox(slots=1) as sandbox:
        for sample in chosen:
            kind = preload_set(sample.program.code, ["numpy"])
            run_ours(sandbox, sample, costs, kind)
            run_baseline(sample, costs[kind])
    return {kind: cost for kind, cost in costs.items() if cost.ours}


def throughput(chosen: list[Sample]) -> float:
    """Return checks per second with every core."""
    with open_sandbox() as sandbox, ThreadPoolExecutor(sandbox.slots) as pool:

        def check(sample: Sample) -> list[ExecutionResult]:
            return sandbox.call(sample.program, [given for given, _ in sample.pairs], Limits())

        list(pool.map(check, chosen[: sandbox.slots]))
        start = time.perf_counter()
        ran = [one for batch in pool.map(check, chosen) for one in batch]
        return len(ran) / (time.perf_counter() - start)


def cost_of_counting(chosen: list[Sample]) -> float:
    """Return how many more CPU milliseconds a check takes, in the median, to count its lines."""
    more = []
    with open_sandbox(slots=1) as sandbox:
        for sample in chosen:
            given = [text for text, _ in sample.pairs]
            used = [
                sum(r.cpu_ms for r in sandbox.call(sample.program, given, Limits(lines=lines)))
                for lines in (0, 0, COUNTED, 0, COUNTED, 0, COUNTED)
            ]
            if used[0]:  # a sample may have no input that a call can be made with
                extra = used[2] + used[4] + used[6] - used[1] - used[3] - used[5]
                more.append(extra / 3 / len(given))
    return statistics.median(more)


def compare(path: Path, quick: bool) -> dict[str, float]:
    """Run the benchmark, print its table, and return its figures."""
    usable = [replace(s, pairs=pairs) for s in samples(path, 3) if (pairs := callable_pairs(s))]
    light = [s for s in usable if not imported_packages(s.program.code) & HEAVY]
    with_numpy = [s for s in light if "numpy" in imported_packages(s.program.code)]
    plain = [s for s in light if s not in with_numpy]
    many = 8 if quick else len(light)
    chosen = interleaved(plain[:many], with_numpy[:many])
    figures: dict[str, float] = {}
    print(
        f"{'flavour':8}{'checks':>8}{'ours':>9}{'child':>9}{'host':>8}{'fork':>8}{'baseline':>10}"
    )
    costs = race(chosen)
    if not costs:
        sys.exit(f"{path} holds no sample that can be run here")
    for kind, cost in costs.items():
        figures |= row(kind, cost)
    figures["checks_per_second"] = throughput(chosen)
    figures["lines_ms"] = cost_of_counting(chosen)
    figures["lines_cost"] = figures["lines_ms"] / figures[f"cpu_ms_{next(iter(costs))}"]
    print(f"all cores: {figures['checks_per_second']:.0f} checks/s")
    print(f"counting executed lines: {figures['lines_cost']:+.1%} CPU of a check in the median")
    return figures


def row(kind: str, cost: Costs) -> dict[str, float]:
    """Print one line of the table, CPU milliseconds per check, and return its figures."""
    middle = {name: statistics.median(values) for name, values in vars(cost).items()}
    words = [f"{middle[name]:.2f}" for name in ("ours", "child", "host", "forks", "baseline")]
    widths = (9, 9, 8, 8, 10)
    cells = "".join(f"{word:>{width}}" for word, width in zip(words, widths, strict=True))
    print(f"{kind:8}{len(cost.ours):8}{cells}")
    return {
        f"cpu_ms_{kind}": middle["ours"],
        f"child_ms_{kind}": middle["child"],
        f"host_ms_{kind}": middle["host"],
        f"fork_ms_{kind}": middle["forks"],
        f"baseline_ms_{kind}": middle["baseline"],
        f"ratio_{kind}": middle["baseline"] / middle["ours"],
        f"vs_fork_{kind}": middle["ours"] / middle["forks"],
    }


COUNTED = 100_000
HEAVY = {"scipy", "sympy", "nltk", "Crypto", "pandas", "matplotlib", "sklearn", "networkx"}


def interleaved(*groups: list[Sample]) -> list[Sample]:
    """Return the samples of all groups, spread evenly over the whole run."""
    placed = [((i + 0.5) / len(group), s) for group in groups for i, s in enumerate(group)]
    return [sample for _, sample in sorted(placed, key=lambda pair: pair[0])]


# Ground truth --------------------------------------------------------------------------------


def cause(sample: Sample, ran: ExecutionResult, again: ExecutionResult) -> str:
    """Say why a recorded pair does not verify, from what two worlds gave and what the code says."""
    if ran.outcome == "missing_module":
        return f"missing package {ran.missing_module}"
    if ran.outcome != "ok":
        return f"{ran.outcome} {ran.error_type or ''}: {ran.error_message}"
    if ran.output != again.output:
        called = calls(ast.parse(sample.program.code))
        suspects = {"random": "random" in called, "clock": bool(called & CLOCKS)}
        return " and ".join(k for k, v in suspects.items() if v) or "hash order"
    if ran.mutated:
        return "mutated input"
    tree = ast.parse(sample.program.code)
    if any(isinstance(node, ast.Global) for node in ast.walk(tree)):
        return "leaked state (a global is written)"
    if writes_arguments(tree):
        return "mutated input (the code writes into its arguments)"
    return "random (agrees by chance)" if "random" in sample.program.code else "leaked state"


def calls(tree: ast.AST) -> set[str]:
    """Return the names that occur in what the code calls: `random.random()` gives one name."""
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    inside = [part for function in called for part in ast.walk(function)]
    names = {part.id for part in inside if isinstance(part, ast.Name)}
    return names | {part.attr for part in inside if isinstance(part, ast.Attribute)}


def writes_arguments(tree: ast.AST) -> bool:
    """Return whether some function writes into one of its own parameters."""
    return any(
        writes({a.arg for a in node.args.args} - {"self"}, node)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    )


def writes(names: set[str], function: ast.AST) -> bool:
    """Return whether the body stores into, or calls a mutator of, one of `names` or of `self`."""
    for node in ast.walk(function):
        target: ast.expr | None = None
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            target = node.value
        if isinstance(node, ast.Attribute) and node.attr in MUTATORS:
            target = node.value
        while isinstance(target, ast.Subscript):
            target = target.value
        if isinstance(target, ast.Name) and target.id in names:
            return True
        if isinstance(target, ast.Attribute) and isinstance(node, ast.Subscript):
            return True  # what `self` keeps is most often an argument
    return False


def ground_truth(path: Path) -> dict[str, float]:
    """Run every recorded pair in two worlds; list those that do not verify, with why."""
    verified, total, causes, listed = 0, 0, Counter[str](), 0
    every = list(samples(path, None))
    with open_sandbox() as sandbox, ThreadPoolExecutor(sandbox.slots) as pool:

        def both(sample: Sample) -> tuple[list[ExecutionResult], list[ExecutionResult]]:
            given = [text for text, _ in sample.pairs]
            first = sandbox.call(sample.program, given, Limits())
            return first, sandbox.call(sample.program, given, Limits(), environment_seed=1)

        for sample, (first, second) in zip(every, pool.map(both, every), strict=True):
            for place, (one, other) in enumerate(zip(first, second, strict=True)):
                total += 1
                wanted = sample.pairs[place][1]
                if one.output is not None and same(json.loads(one.output), wanted):
                    verified += 1
                    continue
                why = cause(sample, one, other)
                causes[why] += 1
                listed += 1
                print(f"sample {sample.number} pair {place}: {why}")
    for why, count in causes.most_common():
        print(f"{count:5} {why}")
    print(f"{verified} of {total} pairs verify")
    return {"pairs": total, "verified": verified, "listed": listed}


def main() -> None:
    """Run what the command line asks for; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a few samples only")
    parser.add_argument("--data", type=Path, default=DATA, help="file of parsed samples")
    parser.add_argument("--ground-truth", action="store_true", help="list what does not verify")
    options = parser.parse_args()
    if not options.data.exists():
        sys.exit(f"{options.data} is not there; name a file of parsed samples with --data")
    figures = (
        ground_truth(options.data) if options.ground_truth else compare(options.data, options.quick)
    )
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
