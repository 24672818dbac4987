"""Make the pairs of imported output questions by running their code.

The input and the code stand in such a question, so it needs no right answer to become a pair.

Decisions
- The code runs in the sandbox, once; that the pair holds is checked later, as for every imported
  pair. An input that gives no output makes no pair, and its answers stay without one.
- Where no sandbox works nothing is lost: the answers are kept, and the next import tries again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Connection, select

from annoy_store.config import Policy
from annoy_store.db.engine import Database
from annoy_store.db.sql import in_values
from annoy_store.db.tables import io_pairs, samples
from annoy_store.errors import SandboxError, UsageError
from annoy_store.ingest.codeio.insert import insert_imported
from annoy_store.ingest.codeio.samples import RecordedPair, new_pair, recorded_pair
from annoy_store.ingest.codeio.subjects import ImportSession
from annoy_store.interfaces import Program, Sandbox, ShowProgress, show_nothing
from annoy_store.parsing.json_values import UnsupportedValue, parse_value
from annoy_store.records.executions import call_limits
from annoy_store.records.policy import load_policy

PAGE = 200  # functions
OpenSandbox = Callable[[], Sandbox]
Inputs = dict[str, RecordedPair]  # by their digest; the outputs are not known


def run_inputs(
    store: Database,
    session: ImportSession,
    open_sandbox: OpenSandbox | None,
    progress: ShowProgress = show_nothing,
) -> tuple[int, int]:
    """Run the inputs that the session has collected, and insert the pairs that they make.

    Args:
        store: The store.
        session: State of the import; its inputs are taken out.
        open_sandbox: Returns the sandbox; None if no code may be run.
        progress: Called before each page of functions.

    Returns:
        The number of new pairs, and of inputs that were not run because no sandbox works.
    """
    if open_sandbox is None:
        session.inputs_to_run.clear()
        return 0, 0
    by_sample: dict[str, Inputs] = defaultdict(dict)
    for (sample, digest), pair in session.inputs_to_run.items():
        by_sample[sample][digest] = pair
    session.inputs_to_run.clear()
    names, made, left = sorted(by_sample), 0, 0
    for start in range(0, len(names), PAGE):
        progress("running the code of output questions", start, len(names))
        page = {name: by_sample[name] for name in names[start : start + PAGE]}
        try:
            made += _run_page(store, page, open_sandbox())
        except (SandboxError, UsageError):
            left += sum(map(len, page.values()))
    return made, left


def _run_page(store: Database, page: Mapping[str, Inputs], sandbox: Sandbox) -> int:
    with store.read() as connection:
        policy = load_policy(connection)
        programs = _programs(connection, page)
        known = _known_pairs(connection, programs)
    wanted = {
        name: [pair for key, pair in page[name].items() if key not in known[sample_id]]
        for name, (sample_id, _) in programs.items()
    }
    with ThreadPoolExecutor(sandbox.slots) as pool:
        found = pool.map(
            lambda name: _run(sandbox, programs[name][1], wanted[name], policy), programs
        )
        outputs = dict(zip(programs, found, strict=True))
    rows = [
        new_pair(programs[name][0], pair)
        for name, pairs in outputs.items()
        for pair in _placed(pairs, known[programs[name][0]].values())
    ]
    with store.write() as connection:
        insert_imported(connection, rows)
    return len(rows)


def _programs(connection: Connection, names: Iterable[str]) -> dict[str, tuple[int, Program]]:
    """Id and program of samples by their digest."""
    chosen = select(samples.c.digest, samples.c.id, samples.c.refcode, samples.c.funcname)
    rows = connection.execute(chosen.where(in_values(connection, samples.c.digest, list(names))))
    return {name: (key, Program(code, function)) for name, key, code, function in rows}


def _known_pairs(
    connection: Connection, programs: Mapping[str, tuple[int, Program]]
) -> dict[int, dict[str, int]]:
    """The positions of the pairs of samples, by the digest of their input."""
    ids = [key for key, _ in programs.values()]
    found: dict[int, dict[str, int]] = {key: {} for key in ids}
    chosen = select(io_pairs.c.sample_id, io_pairs.c.input_digest, io_pairs.c.position)
    for key, digest, position in connection.execute(
        chosen.where(in_values(connection, io_pairs.c.sample_id, ids))
    ):
        found[key][digest] = position
    return found


def _run(
    sandbox: Sandbox, program: Program, inputs: list[RecordedPair], policy: Policy
) -> list[RecordedPair]:
    """Return the pairs of inputs that give an output."""
    if not inputs:
        return []
    results = sandbox.call(program, [pair.input for pair in inputs], call_limits(policy))
    pairs = []
    for pair, result in zip(inputs, results, strict=True):
        try:
            given, output = parse_value(pair.input), parse_value(result.output or "null")
        except UnsupportedValue:
            continue
        if result.outcome == "ok" and given and output and output.value is not None:
            pairs.append(recorded_pair(pair.position, given.value, output.value))
    return pairs


def _placed(pairs: Iterable[RecordedPair], taken: Iterable[int]) -> list[RecordedPair]:
    """Pairs at their position in the file, or at the next free one."""
    used, placed = set(taken), []
    for pair in sorted(pairs, key=lambda pair: (pair.position < 0, pair.position, pair.input)):
        position = pair.position
        if position < 0 or position in used:
            position = max(used, default=-1) + 1
        used.add(position)
        placed.append(RecordedPair(position, pair.input, pair.output, pair.input_digest))
    return placed
