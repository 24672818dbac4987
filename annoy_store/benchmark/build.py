"""Build a benchmark: held-out problems asked without their code.

Decisions
- A question is one stable pair of a sample of a split, in the order of the samples' digests, so the
  same store gives the same file.
- Difficulty is the highest number of lines that a case of the problem executes, in fixed bands, so
  a problem never changes its band when the set grows.
"""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, TypeAdapter
from sqlalchemy import Connection, Select, select

from annoy_store.benchmark.answers import Difficulty, parse_line, read_lines
from annoy_store.config import DEFAULT_SPLIT_SALT
from annoy_store.db.engine import Database
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
) -> list[BenchmarkQuestion]:
    """Return the questions of every sample of a split that has enough stable pairs.

    Args:
        store: The store.
        split: Name of the split; `all` means every sample.
        cases: Number of stable pairs per problem.
        salt: Salt of the split.
        limit: Number of problems; None means all.

    Raises:
        UsageError: No sample has enough pairs.
    """
    template = load_template(TEMPLATE)
    with store.read() as connection:
        found = _problems(connection, split, salt, cases)
        others = [] if found else _salts(connection, split, salt)
    items = [
        BenchmarkQuestion(
            digest("bench", name, pair["input_digest"]),
            name,
            number,
            len(pairs),
            difficulty(pairs),
            template.render(problem=problem, io=io, input=pair["input"]),
            pair["output"],
        )
        for name, problem, io, pairs in found[:limit]
        for number, pair in enumerate(pairs)
    ]
    if not items:
        known = f"other exports were split with --salt {' or '.join(others)}; " if others else ""
        raise UsageError(
            f"no sample in split {split!r} of salt {salt!r} has {cases} stable pairs; {known}"
            "assign splits with annoy export .. --split, or use all samples: --split all"
        )
    return items


def difficulty(pairs: Sequence[Mapping[str, Any]]) -> Difficulty:
    """Return the difficulty by the most lines that a case executes; `unknown` if none was counted."""
    lines = [pair["lines_executed"] for pair in pairs if pair["lines_executed"] is not None]
    if not lines:
        return "unknown"
    return next((name for bound, name in DIFFICULTY_BANDS if max(lines) < bound), "hard")


def _problems(
    connection: Connection, split: str, salt: str, cases: int
) -> list[tuple[str, str, str, list[Mapping[str, Any]]]]:
    """Digest, statement, description and first `cases` stable pairs, in order of the digests."""
    by_sample: dict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in connection.execute(_stable(split, salt)).mappings():
        about = (row["digest"], row["problem_statement"], row["io_requirements"])
        by_sample[about].append(dict(row))
    return [(*k, v[:cases]) for k, v in sorted(by_sample.items()) if len(v) >= cases]


def _stable(split: str, salt: str) -> Select[Any]:
    chosen = (
        select(
            samples.c.digest, samples.c.problem_statement, samples.c.io_requirements, *_PAIR_COLUMNS
        )
        .join(samples, samples.c.id == _pairs.sample_id)
        .where(_pairs.status == "stable")
        .order_by(_pairs.sample_id, _pairs.position, _pairs.input_digest)
    )
    if split == "all":
        return chosen
    mine = splits.c.sample_id == _pairs.sample_id
    return chosen.join(splits, mine).where(splits.c.split == split, splits.c.salt == salt)


def _salts(connection: Connection, split: str, but: str) -> list[str]:
    chosen = select(splits.c.salt).distinct().where(splits.c.split == split, splits.c.salt != but)
    return sorted(map(shlex.quote, connection.scalars(chosen)))


def write_questions(path: Path, items: Iterable[BenchmarkQuestion]) -> None:
    """Write questions as JSON Lines."""
    with path.open("w", encoding="utf-8") as out:
        out.writelines(compact_json(asdict(item)) + "\n" for item in items)


def read_questions(path: Path) -> list[BenchmarkQuestion]:
    """Read questions, each id once.

    Raises:
        UsageError: The file cannot be read, or a line is invalid.
    """
    hint = "rebuild the file with annoy bench make"
    numbered = enumerate(read_lines(path), 1)
    items = [parse_line(_ITEM, path, n, line, hint) for n, line in numbered if line.strip()]
    return list({item.id: item for item in items}.values())
