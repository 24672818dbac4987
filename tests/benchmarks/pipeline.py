"""The whole pipeline, ours against scripts: the same raw files, the same answers, two cores.

Run: python tests/benchmarks/pipeline.py [--quick] [--data FOLDER] [--latency 0.2] [--files N]
Needs pympler (in the extra `test`), which the scripts' size rule is made of.

A provider on loopback answers both sides alike, whatever their wording: what a question asks is
read out of it, and the answer follows from that alone. Transform answers are recorded ones, or
made of recorded functions with a generator that draws from their inputs and others near; predictions are right or
wrong by a hash. Wall time; CPU of the whole process tree (what is waited for, orphans included);
peak memory as the proportional set size of the tree, sampled. What the functions themselves need
for the calls that either side made of them is timed afterwards, in a bare interpreter: no pipeline
can do with less, and the rest is what the pipeline costs. The bound is the ratio of a pipeline that
costs nothing else. CPU of the run's processes by role is sampled: the worker, the interpreters that
fork (zygotes); what is left is that of their children, which run the functions.

Each verdict of either side is held against an oracle: the code on the stored or predicted input in
new interpreters with two different hash seeds and random states. A verdict is wrong if it
contradicts them, or if they contradict each other (then nobody could judge: `unstable`). Each
call of the oracle is a process of its own, for functions may keep state.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from annoy_store.hashing import canonical_json, derive_seed  # noqa: E402
from annoy_store.ingest.codeio.questions import given_value, read_question  # noqa: E402
from annoy_store.parsing.final_answer import find_final_answer  # noqa: E402
from annoy_store.parsing.json_values import parse_value as read_value  # noqa: E402
from annoy_store.parsing.sections import ParseFailure, parse_sections  # noqa: E402
from annoy_store.tasks.compare import same  # noqa: E402
from tests.support.provider import Provider  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
SCRIPTS = ROOT / "tests" / "support" / "published_scripts.py"
WRONG_FIRST, WRONG_AGAIN = 0.35, 0.5
POOL = 40
ORACLE = """
import io, json, os, random, sys
sys.setrecursionlimit(20000)
task = json.loads(sys.stdin.read())
random.seed(task["seed"])
space = {"__name__": "sample"}
real, sys.stdout = sys.stdout, io.StringIO()
try:
    exec(compile(task["code"], "sample", "exec"), space)
except BaseException:
    pass
results = []
for given in task["inputs"]:
    ours, its = os.pipe()
    if os.fork() == 0:
        try:
            os.write(its, json.dumps([space["main_solution"](**given)]).encode())
        finally:
            os._exit(0)
    os.close(its)
    text = b"".join(iter(lambda: os.read(ours, 65536), b""))
    os.close(ours)
    os.wait()
    results.append(json.loads(text) if text else None)
real.write(json.dumps(results))
"""
BARE = """
import io, json, signal, sys, time
def late(*_):
    raise TimeoutError
sys.setrecursionlimit(20000)
task = json.loads(sys.stdin.read())
signal.signal(signal.SIGALRM, late)
real, sys.stdout = sys.stdout, io.StringIO()
space, spent = {"__name__": "sample"}, 0.0
try:
    exec(compile(task["code"], "sample", "exec"), space)
    for text in task["inputs"]:
        given = json.loads(text)
        start = time.process_time()
        signal.alarm(10)
        try:
            space["main_solution"](**given)
        except BaseException:
            pass
        signal.alarm(0)
        spent += time.process_time() - start
except BaseException:
    pass
real.write(json.dumps(spent))
"""


# Answers -------------------------------------------------------------------------------------


@dataclass
class Book:
    """What the provider knows: an answer per raw file, pairs per function."""

    transforms: dict[str, str] = field(default_factory=dict)
    pairs: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def answer(self, messages: list[dict[str, Any]]) -> str:
        question = read_question(messages)
        if question is None:
            return "I do not understand."
        if question.kind == "transform":
            return self.transforms.get(question.code, "No suitable function\nnothing to compute")
        given = given_value(question)
        turn = sum(m["role"] == "assistant" for m in messages)
        wanted = "output" if question.kind == "predict_output" else "input"
        shown = "input" if wanted == "output" else "output"
        known = self.pairs[question.code.strip()]
        fitting = [
            p for p in known if given and canonical_json(p[shown]) == canonical_json(given.value)
        ]
        chance = derive_seed(
            question.code, question.kind, question.value if not given else given.value, turn
        )
        is_wrong = chance / 2**32 < (WRONG_AGAIN if turn else WRONG_FIRST)
        others = [p for p in known if p not in fitting]
        chosen = (others if is_wrong and others else fitting or known)[:1]
        if not chosen:
            return "Let me think. I cannot tell."
        told = json.dumps({wanted: chosen[0][wanted]})
        return f"Step by step I come to this.\n\n```json\n{told}\n```"


def learn(data: Path, files: int) -> tuple[Book, list[dict[str, Any]]]:
    """The provider's knowledge and the raw rows, those with recorded functions first."""
    book = Book()
    recorded = {r["blob_id"]: r["response"] for r in _lines(data / "recorded_transform.jsonl")}
    functions = {r["meta"]["blob_id"]: r for r in _lines(data / "parsed.jsonl")}
    raw = sorted(
        _lines(data / "rawcode.jsonl"),
        key=lambda r: (r["blob_id"] not in recorded, r["blob_id"] not in functions),
    )
    raw = [*raw[: files * 3 // 4], *raw[len(raw) - files // 4 :]] if files < len(raw) else raw
    plain = [f for r in raw if (f := functions.get(r["blob_id"])) and _is_plain(f)]
    with ThreadPoolExecutor(2) as pool:
        widened = {f["meta"]["blob_id"]: f for f in pool.map(_widened, plain)}
    for row in raw:
        blob, code = row["blob_id"], row["content"]
        if blob in widened:
            function = widened[blob]
            book.transforms[code] = _transform(function)
            book.pairs[function["refcode"].strip()] += function["ios"]
        elif blob in recorded:
            book.transforms[code] = recorded[blob]
            book.pairs.update(_drawn(recorded[blob]))
    return book, raw


def _is_plain(function: dict[str, Any]) -> bool:
    text = json.dumps(function["ios"])
    return "NaN" not in text and "Infinity" not in text


def _widened(function: dict[str, Any]) -> dict[str, Any]:
    """The function with up to POOL pairs, others near the recorded ones: generators seldom repeat."""
    dice = random.Random(function["meta"]["blob_id"])
    recorded = [pair["input"] for pair in function["ios"]]
    near = [_near(dice.choice(recorded), dice) for _ in range(POOL)]
    inputs = list({canonical_json(value): value for value in [*recorded, *near]}.values())[:POOL]
    results = _oracle(function["refcode"], inputs, 1, seconds=20)
    ios = [
        {"input": given, "output": result[0]}
        for given, result in zip(inputs, results, strict=True)
        if result is not None and result[0] is not None and _is_plain({"ios": result})
    ]
    return {**function, "ios": ios if len(ios) > 1 else function["ios"]}


def _near(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict):
        return {key: _near(part, dice) for key, part in value.items()}
    if isinstance(value, list):
        return [_near(part, dice) for part in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return max(min(value, 1), value + dice.randint(-2, 2)) if value >= 0 else value
    if isinstance(value, float):
        return round(value * dice.uniform(0.8, 1.2), 2)
    return "".join(dice.sample(value, len(value))) if isinstance(value, str) else value


def _transform(function: dict[str, Any]) -> str:
    inputs = json.dumps([pair["input"] for pair in function["ios"]])
    generator = (
        f"import json, random\n\nINPUTS = json.loads({inputs!r})\n\n\n"
        "def input_generator():\n    return json.loads(json.dumps(random.choice(INPUTS)))"
    )
    return (
        f"## Main Function\n```python\n{function['refcode'].strip()}\n```\n"
        f"## Input Output Description\n{function['io_requirements']}\n"
        f"## Input Generator\n```python\n{generator}\n```\n"
        f"## Problem Statement\n{function['problem_description']}"
    )


def _drawn(answer: str) -> dict[str, list[dict[str, Any]]]:
    """Pairs of a recorded function by its own generator; recorded code is trusted here."""
    found = parse_sections(answer)
    if isinstance(found, ParseFailure):
        return {}
    space: dict[str, Any] = {"__name__": "sample"}
    pairs: list[dict[str, Any]] = []
    try:
        exec(found.refcode, space)
        exec(found.input_generator, space)
        for _ in range(60):
            given = space["input_generator"]()
            text = json.dumps(given)
            got = json.loads(json.dumps(space["main_solution"](**copy.deepcopy(given))))
            pairs.append({"input": json.loads(text), "output": got})
    except Exception:
        pass
    return {found.refcode.strip(): pairs}


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


# Measuring -----------------------------------------------------------------------------------


@dataclass
class Cost:
    wall: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0  # MB at the peak
    first: float = 0.0  # CPU of the command's own process
    zygotes: float = 0.0  # CPU of the processes under it, without what they forked

    def add(self, other: Cost) -> None:
        self.wall, self.cpu = self.wall + other.wall, self.cpu + other.cpu
        self.first, self.zygotes = self.first + other.first, self.zygotes + other.zygotes
        self.memory = max(self.memory, other.memory)


def measured(command: list[str], folder: Path, environment: dict[str, str]) -> Cost:
    """Run a command and everything it starts to their ends; what they cost."""
    before, started = _children_cpu(), time.perf_counter()
    with open(folder / "log.txt", "ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        with _watching(process.pid) as seen:
            code = process.wait()
    wall = time.perf_counter() - started
    if code not in (0, 3):
        sys.exit(f"{' '.join(command)} ended with {code}: see {folder / 'log.txt'}")
    _reap()
    by_process = dict(seen.cpu)
    first = by_process.pop(process.pid, 0.0)
    cpu = _children_cpu() - before
    return Cost(wall, cpu, seen.memory, first, sum(by_process.values()))


@dataclass
class Seen:
    """What was seen of a process tree: its peak memory, and CPU by process, without forks."""

    memory: float = 0.0
    cpu: dict[int, float] = field(default_factory=dict)

    def look(self, pid: int) -> None:
        with suppress(psutil.Error):
            root = psutil.Process(pid)
            tree = [root, *root.children(recursive=True)]
            self.memory = max(self.memory, _memory(tree))
            commands: dict[int, list[str]] = {}
            for process in tree:
                with suppress(psutil.Error):
                    commands[process.pid] = process.cmdline()
                    if commands.get(process.ppid()) != commands[process.pid]:
                        times = process.cpu_times()
                        self.cpu[process.pid] = times.user + times.system


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _reap() -> None:
    """Orphans of a step come to us, for we are their subreaper."""
    until = time.monotonic() + 2
    while time.monotonic() < until:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.05)
        except ChildProcessError:
            return


@contextmanager
def _watching(pid: int) -> Iterator[Seen]:
    seen, done = Seen(), threading.Event()

    def watch() -> None:
        while not done.wait(0.25):
            seen.look(pid)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def _memory(tree: list[psutil.Process]) -> float:
    """The proportional set size of a process tree in MB."""
    total = 0
    for process in tree:
        try:
            for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            continue
    return total / 1024


# The two sides -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """Processes and threads of the scripts, as their published commands set them."""

    callers: tuple[int, int] = (10, 10)
    makers: int = 64
    checkers: tuple[int, ...] = (24, 24, 16, 8, 8, 8, 8, 8, 4, 4, 4)


def run_scripts(folder: Path, raw: Path, url: str, scale: Scale) -> dict[str, Cost]:
    callers, threads = scale.callers
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    plan: list[tuple[str, list[Any]]] = [
        ("questions", ["ask_transform", raw, "msg.jsonl"]),
        ("transform calls", ["call", "msg.jsonl", "unified.jsonl", url, callers, threads]),
        ("pairs", ["parse", "unified.jsonl", "parsed.jsonl", folder / "temp", scale.makers]),
        ("questions", ["ask_predict", "parsed.jsonl", "io_msg.jsonl"]),
        ("prediction calls", ["call", "io_msg.jsonl", "gens.jsonl", url, callers, threads]),
        *_verification("gens.jsonl", "verified.jsonl", scale),
        ("questions", ["ask_again", "verified.jsonl", "rev_msg.jsonl"]),
        ("revision calls", ["call", "rev_msg.jsonl", "rev_gens.jsonl", url, callers, threads]),
        *_verification("rev_gens.jsonl", "rev_verified.jsonl", scale),
        ("assembly", ["assemble", "verified.jsonl", "rev_verified.jsonl", "final.jsonl"]),
    ]
    costs: dict[str, Cost] = defaultdict(Cost)
    for step, arguments in plan:
        command = [sys.executable, str(SCRIPTS), *map(str, arguments)]
        costs[step].add(measured(command, folder, environment))
    return costs


def _verification(answers: str, verdicts: str, scale: Scale) -> list[tuple[str, list[Any]]]:
    first, *again = scale.checkers
    steps = [["check", "parsed.jsonl", answers, verdicts, first]]
    steps += [["recheck", "parsed.jsonl", verdicts, processes] for processes in again]
    return [("verification", step) for step in steps]


def run_ours(folder: Path, raw: Path, url: str) -> dict[str, Cost]:
    environment = {
        "PYTHONPATH": str(ROOT),
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "OPENAI_API_KEY": "none",
        "ANNOY_STORE_URL": f"sqlite:///{folder}/annoy.db",
    }
    annoy = [sys.executable, "-m", "annoy_store", "-q"]
    plan = [
        ("ingest", ["ingest", str(raw)]),
        ("run", ["run", "--base-url", url, "--model", "m", "--slots", "2"]),
        ("export", ["export", "codeio", str(folder / "out")]),
    ]
    return {step: measured([*annoy, *rest], folder, environment) for step, rest in plan}


# Verdicts and rows ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """One verdict: the question, the answer, and whether the side called it right."""

    code: str
    direction: str
    given: str  # JSON of what the question shows
    answer: str | None  # JSON of what the answer says
    right: bool


def judged_by_scripts(folder: Path) -> list[Judged]:
    items = _lines(folder / "parsed.jsonl")
    found = []
    for file in ("verified.jsonl", "rev_verified.jsonl"):
        for row in _lines(folder / file):
            item = items[row["itemid"]]
            direction, shown = ("output", "input") if row["io_pred"] == "o" else ("input", "output")
            given = json.dumps(item["ios"][row["ioid"]][shown])
            answer = find_final_answer(row["output"], direction)
            right = row["res"]["status"] == "success"
            text = answer.text if answer else None
            found.append(Judged(item["refcode"], direction, given, text, right))
    return found


def judged_by_us(folder: Path) -> list[Judged]:
    from sqlalchemy import text

    from annoy_store.db.migrate import open_store

    store = open_store(f"sqlite:///{folder}/annoy.db")
    query = """SELECT DISTINCT a.kind, p.input, p.output, s.refcode, v.status, r.text
        FROM v_answers a JOIN io_pairs p ON p.id = a.io_pair_id JOIN samples s ON s.id = p.sample_id
        JOIN v_current_verdicts v ON v.response_id = a.response_id
        JOIN responses r ON r.id = a.response_id"""
    with store.read() as connection:
        rows = connection.execute(text(query)).all()
    store.close()
    found = []
    for row in rows:
        direction, given = (
            ("output", row.input) if row.kind == "predict_output" else ("input", row.output)
        )
        answer = find_final_answer(row.text, direction)
        verdict = row.status == "correct"
        found.append(
            Judged(row.refcode, direction, given, answer.text if answer else None, verdict)
        )
    return found


Calls = dict[str, list[str]]  # by code, the inputs as JSON


def called_by_scripts(folder: Path) -> Calls:
    calls: Calls = defaultdict(list)
    for item in _lines(folder / "parsed.jsonl"):
        calls[item["refcode"]] += [json.dumps(pair["input"]) for pair in item["ios"]]
    for one in judged_by_scripts(folder):
        if one.direction == "input" and one.answer is not None:
            calls[one.code].append(one.answer)
    return calls


def called_by_us(folder: Path) -> Calls:
    """Every pair ran twice; a predicted input ran where its verdict names a run."""
    calls: Calls = defaultdict(list)
    pairs = "SELECT s.refcode, p.input FROM io_pairs p JOIN samples s ON s.id = p.sample_id"
    answers = """SELECT DISTINCT s.refcode, v.predicted, v.id FROM verdicts v
        JOIN v_answers a ON a.response_id = v.response_id JOIN io_pairs p ON p.id = a.io_pair_id
        JOIN samples s ON s.id = p.sample_id JOIN executions e ON e.id = v.execution_id
        WHERE e.purpose = 'verify'"""
    with closing(sqlite3.connect(folder / "annoy.db")) as connection:
        for code, text in connection.execute(pairs):
            calls[code] += [text, text]
        for code, text, _ in connection.execute(answers):
            calls[code].append(text)
    return calls


def bare_cpu(calls: Calls) -> float:
    """CPU seconds that the functions themselves take for these calls, and nothing around them."""
    spent = 0.0
    for code, inputs in calls.items():
        process = subprocess.run(
            [sys.executable, "-c", BARE],
            input=json.dumps({"code": code, "inputs": inputs}),
            capture_output=True,
            text=True,
            start_new_session=True,
            check=False,
        )
        spent += float(process.stdout or 0)
    return spent


def wrong_verdicts(judged: list[Judged]) -> Counter[str]:
    """How many verdicts are wrong, by what went wrong."""
    by_code: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        by_code[one.code].append(one)
    wrong: Counter[str] = Counter()
    with ThreadPoolExecutor(2) as pool:
        for some in pool.map(_wrong_of, by_code.items()):
            wrong.update(some)
    return wrong


def _wrong_of(item: tuple[str, list[Judged]]) -> Counter[str]:
    code, judged = item
    inputs = [_input(one) for one in judged]
    runs = [_oracle(code, inputs, number) for number in (1, 2)]
    wrong: Counter[str] = Counter()
    for one, given, first, second in zip(judged, inputs, *runs, strict=True):
        if given is None or one.answer is None:
            wrong["no_answer"] += one.right
        elif canonical_json([first]) != canonical_json([second]):
            wrong["unstable"] += 1
        else:
            if (word := _wrong(one, first)) is not None:
                wrong[word] += 1
    return +wrong


def _input(one: Judged) -> dict[str, Any] | None:
    text = one.given if one.direction == "output" else one.answer
    found = read_value(text) if text else None
    return found.value if found and isinstance(found.value, dict) else None


def _wrong(one: Judged, result: list[Any] | None) -> str | None:
    """Why a verdict is wrong, given what the code really returns; None if it is right."""
    shown = json.loads(one.given if one.direction == "input" else one.answer or "null")
    truth = result is not None and same(result[0], shown)
    if truth == one.right:
        return None
    said = canonical_json([shown, result])
    if truth:
        return "float" if "." in said else "right_called_wrong"
    return "input_stored_after_the_call" if one.direction == "output" else "wrong_called_right"


def _oracle(
    code: str, inputs: list[Any], number: int, seconds: float = 300
) -> list[list[Any] | None]:
    given = [value if isinstance(value, dict) else {"\0": 0} for value in inputs]
    task = json.dumps({"code": code, "inputs": given, "seed": number})
    environment = {**os.environ, "PYTHONHASHSEED": str(number)}
    process = subprocess.Popen(
        [sys.executable, "-c", ORACLE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        found: list[list[Any] | None] = json.loads(process.communicate(task, timeout=seconds)[0])
    except (subprocess.TimeoutExpired, ValueError):
        found = [None] * len(inputs)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return found


# Report --------------------------------------------------------------------------------------


def _total(costs: dict[str, Cost]) -> Cost:
    total = Cost()
    for cost in costs.values():
        total.add(cost)
    return total


def _table(name: str, costs: dict[str, Cost]) -> None:
    print(f"\n{name:<22}{'wall s':>10}{'CPU s':>10}{'peak MB':>10}")
    for step, cost in {**costs, "in all": _total(costs)}.items():
        print(f"  {step:<20}{cost.wall:>10.1f}{cost.cpu:>10.1f}{cost.memory:>10.0f}")


def role_shares(ours: dict[str, Cost], own: float) -> dict[str, float]:
    """The share of each role in our CPU; the functions' own code is a part of its children's."""
    run, total = ours["run"], _total(ours).cpu
    roles = {
        "children": run.cpu - run.first - run.zygotes,
        "own": own,
        "zygotes": run.zygotes,
        "worker": run.first,
        "ingest": ours["ingest"].cpu,
        "export": ours["export"].cpu,
    }
    return {name: seconds / total for name, seconds in roles.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="24 files")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--files", type=int, help="that many, those with answers first")
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--pool", type=int, help="processes of the scripts, instead of theirs")
    parser.add_argument("--keep", type=Path, help="work here, and leave the files")
    options = parser.parse_args()
    if not (options.data / "parsed.jsonl").is_file():
        sys.exit(f"no data in {options.data}: give a folder with --data")
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans are counted too
    files = options.files or (24 if options.quick else 1_000_000)
    book, raw = learn(options.data, files)
    _reap()  # what the oracle left is not the first step's
    folder = options.keep or Path(tempfile.mkdtemp(prefix="pipeline-"))
    sides = {name: folder / name for name in ("scripts", "ours")}
    for side in sides.values():
        shutil.rmtree(side, ignore_errors=True)
        side.mkdir(parents=True)
    raw_file = folder / "raw.jsonl"
    raw_file.write_text("".join(json.dumps(row) + "\n" for row in raw), encoding="utf-8")
    with Provider(answers=book.answer, latency=options.latency).serving() as provider:
        ours = run_ours(sides["ours"], raw_file, provider.url)
        asked_ours = provider.stats()["paid"]
        scale = Scale()
        if options.pool:
            scale = Scale(makers=options.pool, checkers=(options.pool,) * 11)
        theirs = run_scripts(sides["scripts"], raw_file, provider.url, scale)
        asked_theirs = provider.stats()["paid"] - asked_ours
    report(len(raw), options.latency, sides, ours, theirs, (asked_ours, asked_theirs))
    if options.keep is None:
        shutil.rmtree(folder)


def report(
    files: int,
    latency: float,
    sides: dict[str, Path],
    ours: dict[str, Cost],
    theirs: dict[str, Cost],
    asked: tuple[int, int],
) -> None:
    judged = judged_by_us(sides["ours"]), judged_by_scripts(sides["scripts"])
    wrong = [wrong_verdicts(some) for some in judged]
    rows = [
        sum(len(_lines(file)) for file in sides["ours"].glob("out/*.jsonl")),
        len(_lines(sides["scripts"] / "final.jsonl")),
    ]
    print(f"{files} raw files, latency {latency} s, {os.cpu_count()} cores")
    _table("scripts", theirs)
    _table("ours", ours)
    for name, n, some, bad in zip(("ours", "scripts"), rows, judged, wrong, strict=True):
        right = sum(one.right for one in some)
        print(
            f"\n{name}: {n} rows; {len(some)} verdicts, {right} of them right; wrong: {dict(bad)}"
        )
    one, two = _total(ours), _total(theirs)
    bare = bare_cpu(called_by_us(sides["ours"])), bare_cpu(called_by_scripts(sides["scripts"]))
    print(f"\nthe functions' own CPU s: {bare[0]:.1f} in ours, {bare[1]:.1f} in the scripts")
    ratio, rest = two.cpu / one.cpu, (two.cpu - bare[1]) / (one.cpu - bare[0])
    bound = two.cpu / bare[0] if bare[0] else 0.0
    print(f"CPU ratio: {ratio:.2f}, {rest:.2f} without the functions' own, at most {bound:.1f}")
    roles = role_shares(ours, bare[0])
    print("our CPU by role: " + ", ".join(f"{name} {s:.0%}" for name, s in roles.items()))
    figures = {
        "files": files,
        "latency": latency,
        "cores": os.cpu_count(),
        "wall_ratio": two.wall / one.wall,
        "cpu_ratio": ratio,
        "cpu_ratio_without_own": rest,
        "bound": bound,
        "roles": roles,
        "memory_ratio": two.memory / one.memory,
        "own_cpu_ours": bare[0],
        "own_cpu_reference": bare[1],
        "wrong_reference": sum(wrong[1].values()),
        "wrong_ours": sum(wrong[0].values()),
        "kinds_reference": dict(wrong[1]),
        "kinds_ours": dict(wrong[0]),
        "rows_reference": rows[1],
        "rows_ours": rows[0],
        "verdicts_reference": len(judged[1]),
        "verdicts_ours": len(judged[0]),
        "asked_reference": asked[1],
        "asked_ours": asked[0],
        "steps_reference": {k: vars(v) for k, v in theirs.items()},
        "steps_ours": {k: vars(v) for k, v in ours.items()},
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
