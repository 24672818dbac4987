"""What a plain interpreter says of a pair: an oracle that shares no code with the sandbox.

Each call runs in a process of its own, as a script that holds nothing but the program. The value
and the stored JSON are compared entry by entry, so that an entry that JSON text would lose shows.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

_SCRIPT = """
import json, math, os, sys, types

WORDS = {True: "true", False: "false", None: "null"}


def key_of(key):
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool):
        return WORDS[key]
    return int.__repr__(key) if isinstance(key, int) else float.__repr__(key)


def same(value, stored):
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return type(stored) is type(value) and stored == value
    if isinstance(value, int):
        return type(stored) is int and stored == value
    if isinstance(value, float):
        return type(stored) is float and repr(stored) == repr(value) and math.isfinite(value)
    if isinstance(value, (list, tuple)):
        whole = type(stored) is list and len(stored) == len(value)
        return whole and all(map(same, value, stored))
    if not isinstance(value, dict) or type(stored) is not dict or len(stored) != len(value):
        return False
    return all(key_of(k) in stored and same(v, stored[key_of(k)]) for k, v in value.items())


def agrees(code, given, output):
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    exec(compile(code, "<solution>", "exec"), module.__dict__)
    return same(module.main_solution(**json.loads(given)), json.loads(output))


verdicts = []
for pair in json.load(sys.stdin):
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            answer = b"1" if agrees(pair["code"], pair["given"], pair["output"]) else b"0"
        except BaseException as error:
            answer = repr(error).encode(errors="replace")[:999]
        os.write(writing, answer)
        os._exit(0)
    os.close(writing)
    verdicts.append(os.read(reading, 1000).decode(errors="replace"))
    os.close(reading)
    os.wait()
print(json.dumps(verdicts))
"""


@dataclass(frozen=True)
class StoredPair:
    """A pair as it is stored: source code, JSON text of the input, JSON text of the output."""

    code: str
    given: str
    output: str


def contradicted(pairs: Sequence[StoredPair]) -> list[tuple[StoredPair, str]]:
    """Return the pairs for which a plain interpreter says something else, with what it says."""
    told = subprocess.run(
        [sys.executable, "-I", "-c", _SCRIPT],
        input=json.dumps([asdict(pair) for pair in pairs]),
        capture_output=True,
        text=True,
        check=True,
    )
    verdicts = json.loads(told.stdout)
    return [(pair, said) for pair, said in zip(pairs, verdicts, strict=True) if said != "1"]
