"""Build a benchmark: held-out problems asked without their code.

Decisions
- A question is one stable pair of a sample of a split, in the order of the samples' digests, so the
  same store gives the same file.
- The samples are chosen first, by their number of stable pairs, and the pairs of a few hundred of
  them are read at a time: memory grows neither with the store nor with the benchmark.
- Difficulty is the highest number of lines that a case of the problem executes, in fixed bands, so
  a problem never changes its band when the set grows.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, TypeAdapter
from sqlalchemy import Connection, Select, func, select

from annoy_store.benchmark.answers import Difficulty, parse_line, read_lines
from annoy_store.config import DEFAULT_SPLIT_SALT
from annoy_store.db.engine import Database
from annoy_store.db.sql import in_values
from annoy_store.db.tables import samples, splits
from annoy_store.errors import UsageError
from annoy_store.hashing import compact_json, digest
from annoy_store.prompts.template import load_template
from annoy_store.records.queries import current_pairs

DIFFICULTY_BANDS: tuple[tuple[int, Difficulty], ...] = (
    (50, "easy"),
    (500, "medium"),
)  # fewer executed lines than this

TEMPLATE = """You are given a problem and the format of its input and output.

## Problem

```text
{{problem}}
```

## Input and Output

```text
{{io}}
```

## Task

Work out the answer to the problem for the input at the end of this message, without writing code. The input is a JSON object that holds every argument by name. Follow the values step by step, check your result, and finish with it as JSON, in a fence like this:

```json
{"output": <value>}
```

## Given Input

```json
{{input}}
```
"""

PROBLEMS_PER_READ = 500
_pairs = current_pairs.c
_PAIR_COLUMNS = (
    _pairs.sample_id,
    _pairs.position,
    _pairs.input_digest,
    _pairs.lines_executed,
    _pairs.status,
    _pairs.input,
    _pairs.output,
)


def _json(text: str) -> str:
    json.loads(text)
    return text


@dataclass(frozen=True)
class BenchmarkQuestion:
    """One question of a benchmark.

    Attributes:
        id: Digest of problem and input.
        problem: Digest of the sample.
        case: Number of the case within the problem, from 0.
        cases: Number of cases of the problem.
        difficulty: Difficulty of the problem.
        messages: Chat messages to send.
        output: The expected output as JSON.
    """

    id: str
    problem: str
    case: int
    cases: int
    difficulty: Difficulty
    messages: list[dict[str, str]]
    output: Annotated[str, AfterValidator(_json)]


_ITEM = TypeAdapter(BenchmarkQuestion)


# Building ------------------------------------------------------------------------------------


def build_benchmark(
    store: Database,
    split: str = "test",
    cases: int = 3,
    salt: str = DEFAULT_SPLIT_SALT,
    limit: int | None = None,
) -> Iterator[BenchmarkQuestion]:
    """Yield the questions of every sample of a split that has enough stable pairs.

    Args:
        store: The store.
        split: Name of the split; `all` means every sample.
        cases: Number of stable pairs per problem.
        salt: Salt of the split.
        limit: Number of problems; None means all.

    Raises:
        UsageError: No sample has enough pairs.
    """
    with store.read() as connection:
        names = connection.scalars(_chosen_samples(split, salt, cases).limit(limit)).all()
        if not names:
            raise UsageError(_nothing_found(connection, split, salt, cases))
        for start in range(0, len(names), PROBLEMS_PER_READ):
            chosen = names[start : start + PROBLEMS_PER_READ]
            for problem in _problems(connection, chosen, cases):
                yield from _questions(problem)


def _nothing_found(connection: Connection, split: str, salt: str, cases: int) -> str:
    others = _salts(connection, split, salt)
    known = f"other exports were split with --salt {' or '.join(others)}; " if others else ""
    return (
        f"no sample in split {split!r} of salt {salt!r} has {cases} stable pairs; {known}"
        "assign splits with annoy export .. --split, or use all samples: --split all"
    )


def _questions(pairs: Sequence[Mapping[str, Any]]) -> Iterator[BenchmarkQuestion]:
    """Yield the questions of one problem, whose cases are `pairs`."""
    band = difficulty(pairs)
    for number, pair in enumerate(pairs):
        messages = load_template(TEMPLATE).render(
            problem=pair["problem_statement"], io=pair["io_requirements"], input=pair["input"]
        )
        name = pair["digest"]
        key = digest("bench", name, pair["input_digest"])
        yield BenchmarkQuestion(key, name, number, len(pairs), band, messages, pair["output"])


def difficulty(pairs: Sequence[Mapping[str, Any]]) -> Difficulty:
    """Return the difficulty by the most lines that a case executes; `unknown` if none was counted."""
    lines = [pair["lines_executed"] for pair in pairs if pair["lines_executed"] is not None]
    if not lines:
        return "unknown"
    return next((name for bound, name in DIFFICULTY_BANDS if max(lines) < bound), "hard")


def _chosen_samples(split: str, salt: str, cases: int) -> Select[Any]:
    """Return the SELECT of the digests of samples with enough stable pairs, in their order."""
    chosen = (
        select(samples.c.digest)
        .join(samples, samples.c.id == _pairs.sample_id)
        .where(_pairs.status == "stable")
        .group_by(samples.c.digest)
        .having(func.count() >= cases)
        .order_by(samples.c.digest)
    )
    if split == "all":
        return chosen
    mine = splits.c.sample_id == _pairs.sample_id
    return chosen.join(splits, mine).where(splits.c.split == split, splits.c.salt == salt)


def _problems(
    connection: Connection, names: Sequence[str], cases: int
) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the first stable pairs of each of some samples, in the order of the samples' digests."""
    chosen = (
        select(
            samples.c.digest, samples.c.problem_statement, samples.c.io_requirements, *_PAIR_COLUMNS
        )
        .join(samples, samples.c.id == _pairs.sample_id)
        .where(_pairs.status == "stable", in_values(connection, samples.c.digest, names))
        .order_by(samples.c.digest, _pairs.position, _pairs.input_digest)
    )
    rows = connection.execute(chosen).mappings()
    for _, pairs in groupby(rows, key=itemgetter("digest")):
        yield [dict(pair) for pair in islice(pairs, cases)]


def _salts(connection: Connection, split: str, but: str) -> list[str]:
    chosen = select(splits.c.salt).distinct().where(splits.c.split == split, splits.c.salt != but)
    return sorted(map(shlex.quote, connection.scalars(chosen)))


def write_questions(path: Path, items: Iterable[BenchmarkQuestion]) -> tuple[int, int]:
    """Write questions as JSON Lines; a file that exists is kept if there is no first question.

    Returns:
        The number of problems and that of questions.
    """
    questions = iter(items)
    first = [*islice(questions, 1)]
    problems, n_questions = set(), 0
    with path.open("w", encoding="utf-8") as out:
        for item in chain(first, questions):
            out.write(compact_json(asdict(item)) + "\n")
            problems.add(item.problem)
            n_questions += 1
    return len(problems), n_questions


def read_questions(path: Path) -> list[BenchmarkQuestion]:
    """Read questions, each id once.

    Raises:
        UsageError: The file cannot be read, or a line is invalid.
    """
    hint = "rebuild the file with annoy bench make"
    numbered = enumerate(read_lines(path), 1)
    items = [parse_line(_ITEM, path, n, line, hint) for n, line in numbered if line.strip()]
    return list({item.id: item for item in items}.values())
