"""A straightforward script pipeline, to be compared with: one process per step, JSONL between.

It works as the published CodeI/O scripts do, in code of its own: processes with threads that make
a client per call and swallow errors; a new interpreter per sample and per check, the one with the
module that their size rule needs, the other with the imports they put before each function;
inputs stored after the call; values printed by Python; a comparison that says no to every float,
because the module it would need is not imported there; all verdicts in one file that ten more
passes read and rewrite. The numbers of processes are those of the published commands. Resume,
where the scripts have it, goes by row numbers. Run: published_scripts.py STEP ARGS.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

Row = dict[str, Any]
PAIRS_ASKED = 3
CHECK_SECONDS, MAKE_SECONDS = 5, 60
PREFIX = """\
import bisect, collections, copy, datetime, functools, heapq, itertools, json, math, operator
import random, re, string, sys
from collections import Counter, OrderedDict, defaultdict, deque
from functools import lru_cache, reduce
from heapq import heapify, heappop, heappush
from itertools import accumulate, chain, combinations, permutations, product
from math import ceil, floor, gcd, sqrt
from typing import Any, Dict, List, Optional, Set, Tuple, Union
import numpy as np
"""
MAKE = """
import json
from pympler import asizeof
{code}

{generator}

def fits(value):
    if asizeof.asizeof(value) >= 1024:
        return False
    if isinstance(value, dict):
        return len(value) < 20 and all(fits(k) and fits(v) for k, v in value.items())
    if isinstance(value, (list, tuple, set)):
        return len(value) < 20 and all(fits(v) for v in value)
    return len(value) < 100 if isinstance(value, str) else asizeof.asizeof(value) < 128

given, got = [], []
for _ in range(1000):
    arguments = input_generator()
    if arguments not in given and fits(arguments):
        result = main_solution(**arguments)
        if result is not None and fits(result):
            given.append(arguments)
            got.append(result)
    if len(given) >= 10:
        break
print("<<PAIRS>>" + json.dumps([{{"input": a, "output": b}} for a, b in zip(given, got)]) + "<<END>>")
"""
CHECK = """
{code}

def alike(one, two):
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(alike(one[k], two[k]) for k in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(alike(a, b) for a, b in zip(one, two))
    if isinstance(one, float) or isinstance(two, float):
        try:
            return abs(one - two) <= 0.001 * abs(two) and int(one) == int(two)
        except Exception:
            return False
    return one == two

pair = {pair}
got = {name}(**pair["input"]) if isinstance(pair["input"], dict) else {name}(pair["input"])
assert json.dumps(got) == json.dumps(pair["output"]) or alike(got, pair["output"]), (
    "[Mismatch] the input gives " + json.dumps(got))
"""


def read(path: str | Path) -> list[Row]:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write(path: str | Path, rows: list[Row], mode: str = "w") -> None:
    with open(path, mode, encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


# Questions -----------------------------------------------------------------------------------


def ask_transform(raw: str, out: str) -> None:
    words = "Write one function, a description, an input generator and a problem from this file."
    rows = [
        {"messages": [user(f"{words}\n\n[Code Start]\n{row['content']}\n[Code End]")]}
        for row in read(raw)
    ]
    write(out, rows)


def ask_predict(parsed: str, out: str) -> None:
    rows = []
    for number, item in enumerate(read(parsed)):
        for place, pair in enumerate(item["ios"][:PAIRS_ASKED]):
            for direction, given in (("o", "input"), ("i", "output")):
                text = question(item, given, pair[given])
                where = {"itemid": number, "ioid": place, "io_pred": direction}
                rows.append({"messages": [user(text)], **where})
    write(out, rows)


def question(item: Row, given: str, value: Any) -> str:
    wanted = "output" if given == "input" else "input"
    return "\n\n".join(
        [
            "This is the question:",
            item["problem_description"],
            "These are its requirements:",
            item["io_requirements"],
            f"Given this {given}:",
            f"{value}",
            f'Reason without running code and end with {{"{wanted}": ...}}.',
            "The code that belongs to it:",
            item["refcode"],
        ]
    )


def ask_again(verified: str, out: str) -> None:
    rows = []
    for number, row in enumerate(read(verified)):
        if row["res"]["status"] != "success":
            feedback = user(row["res"]["message"] + "\n\nPlease try again.")
            talk = [*row["messages"], {"role": "assistant", "content": row["output"]}, feedback]
            kept = {key: row[key] for key in ("itemid", "ioid", "io_pred")}
            rows.append({"messages": talk, "original_id": number, **kept})
    write(out, rows)


# Calls ---------------------------------------------------------------------------------------


def call(path: str, out: str, url: str, processes: int, threads: int) -> None:
    rows = [{**row, "index": number} for number, row in enumerate(read(path))]
    open(out, "a").close()
    with multiprocessing.Manager() as manager:
        shared, lock = manager.list(rows), multiprocessing.Lock()
        workers = [
            multiprocessing.Process(
                target=_caller, args=(shared, number, processes, threads, lock, out, url)
            )
            for number in range(processes)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def _caller(rows: Any, first: int, step: int, threads: int, lock: Any, out: str, url: str) -> None:
    with ThreadPoolExecutor(threads) as pool:
        futures = []
        for number in range(first, len(rows), step):
            futures.append(pool.submit(_call_one, rows[number], lock, out, url))
            time.sleep(0.1)
        for future in as_completed(futures):
            future.result()


def _call_one(row: Row, lock: Any, out: str, url: str) -> None:
    from openai import OpenAI

    text = reason = None
    for attempt in range(3):
        try:
            client = OpenAI(api_key="none", base_url=url, timeout=600.0)
            answer = client.chat.completions.create(
                model="m", messages=row["messages"], max_tokens=4096, temperature=0.7
            )
            text, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
            break
        except Exception:
            time.sleep(5 if attempt < 2 else 0)
    if text is not None and reason == "stop":
        with lock:
            write(out, [{**row, "output": text, "model": "m", "reasoning": None}], "a")


# Pairs ---------------------------------------------------------------------------------------


def parse(answers: str, out: str, folder: str, processes: int) -> None:
    os.makedirs(folder, exist_ok=True)
    items = [(row, folder) for row in read(answers)]
    with multiprocessing.Pool(processes, maxtasksperchild=10) as pool:
        found = [item for item in pool.imap_unordered(_parse_one, items) if item]
    write(out, found)


def _parse_one(task: tuple[Row, str]) -> Row | None:
    row, folder = task
    parts = re.split(
        r"## (?:Main Function|Input Output Description|Input Generator|Problem Statement)\n",
        row["output"],
    )
    if len(parts) != 5:
        return None
    code, generator = _fenced(parts[1]), _fenced(parts[3])
    if code is None or generator is None or "main_solution" not in code:
        return None
    said, _ = _run(MAKE.format(code=code, generator=generator), MAKE_SECONDS, folder)
    time.sleep(0.05)
    if said is None or "<<PAIRS>>" not in said:
        return None
    ios = json.loads(said.split("<<PAIRS>>")[1].split("<<END>>")[0])
    if len(ios) < 2:
        return None
    sample = {"problem_description": parts[4].strip(), "io_requirements": parts[2].strip()}
    sample |= {"refcode": code, "funcname": "main_solution", "ios": ios, "category": None}
    return sample | {"meta": {"msgidx": row["index"]}}


def _fenced(text: str) -> str | None:
    found = re.findall(r"```python\n(.*?)```", text, re.S)
    return found[-1].strip() if found else None


def _run(program: str, seconds: float, folder: str | None = None) -> tuple[str | None, str]:
    """What a new interpreter prints, None if it failed; and what it complained of."""
    process = subprocess.Popen(
        [sys.executable, "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        start_new_session=True,
    )
    try:
        said, error = process.communicate(program, timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, "timeout"
    return (said, error) if process.returncode == 0 else (None, error)


# Verdicts ------------------------------------------------------------------------------------

_items: list[Row] = []


def check(parsed: str, answers: str, out: str, processes: int) -> None:
    global _items
    _items = read(parsed)
    rows = read(answers)
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for start in range(0, len(rows), 1024):
            batch = rows[start : start + 1024]
            for direction in "io":
                some = [row for row in batch if row["io_pred"] == direction]
                verdicts = pool.map(_check_one, some)
                write(out, [{**r, "res": v} for r, v in zip(some, verdicts, strict=True)], "a")


def recheck(parsed: str, verified: str, processes: int) -> None:
    """One more pass over what timed out; everything is read and written again."""
    global _items
    _items = read(parsed)
    rows = read(verified)
    late = [n for n, row in enumerate(rows) if row["res"]["status"] == "timeout"]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for n, verdict in zip(late, pool.map(_check_one, [rows[n] for n in late]), strict=True):
            rows[n]["res"] = verdict
    write(verified, rows)


def _check_one(row: Row) -> Row:
    item = _items[row["itemid"]]
    pair = item["ios"][row["ioid"]]
    answer = _last_json(row["output"])
    key = "output" if row["io_pred"] == "o" else "input"
    if not isinstance(answer, dict) or key not in answer:
        return {"status": "no answer", "message": "No complete JSON was found."}
    if key == "output":
        if _alike(answer[key], pair["output"]):
            return {"status": "success", "message": "Correct output!"}
        return {"status": "failed", "message": "[Mismatch] The output is not right."}
    asked = {"input": answer[key], "output": pair["output"]}
    program = PREFIX + CHECK.format(code=item["refcode"], pair=asked, name=item["funcname"])
    said, error = _run(program, CHECK_SECONDS)
    if said is not None:
        return {"status": "success", "message": "Feasible input!"}
    if error == "timeout":
        return {"status": "timeout", "message": "It takes too long."}
    return {"status": "failed", "message": error.strip().splitlines()[-1][:500] if error else ""}


def _alike(one: Any, two: Any) -> bool:
    """As the scripts compare on the host: a float makes any comparison fail."""
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_alike(one[k], two[k]) for k in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(_alike(a, b) for a, b in zip(one, two, strict=True))
    if isinstance(one, float) or isinstance(two, float):
        return False
    return bool(one == two)


def _last_json(text: str) -> Any:
    found = re.findall(r"```json\n(.*?)```", text, re.S)
    try:
        return json.loads(found[-1]) if found else None
    except ValueError:
        return None


def assemble(first: str, second: str, out: str) -> None:
    again = {row["original_id"]: row for row in read(second)}
    rows = []
    for number, row in enumerate(read(first)):
        made = {"prompt": row["messages"][0]["content"], "turn_1": row["output"]}
        made |= {"feedback_1": row["res"]["message"], "turn_2": None, "feedback_2": None}
        if row["res"]["status"] != "success":
            if number not in again:
                continue
            made["turn_2"] = again[number]["output"]
            made["feedback_2"] = again[number]["res"]["message"]
        rows.append(made)
    write(out, rows)


STEPS = {
    f.__name__: f
    for f in (ask_transform, ask_predict, ask_again, call, parse, check, recheck, assemble)
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("arguments", nargs="*")
    chosen = parser.parse_args()
    STEPS[chosen.step](*(int(a) if a.isdigit() else a for a in chosen.arguments))
