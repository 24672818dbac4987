"""Answers to a benchmark: asked, judged, summed up, and two models' answers paired.

Decisions
- A problem is solved if every case of it is right (as LeetCode-O counts in the CodeI/O paper);
  both that share and the share of right examples are told.
- Cases of one problem hang together: intervals over examples draw whole problems (bootstrap),
  those over problems are Wilson's. Two models are compared on the same questions: exact McNemar
  test over problems, paired bootstrap of the difference.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from annoy_store import matching, parsing
from annoy_store.benching.intervals import bootstrap, mcnemar, wilson
from annoy_store.benching.making import Item, Scored
from annoy_store.contracts import Request, Teacher
from annoy_store.errors import UsageError
from annoy_store.identity import seed

# Scoring -------------------------------------------------------------------------------------


async def ask_all(
    items: Sequence[Item],
    teacher: Teacher,
    most: int,
    keep: Callable[[Scored], None],
) -> Counter[str]:
    """Ask every question, up to `most` at once; `keep` gets each judged answer.

    Returns how many were `answered`, `rejected` and `failed`; the failed are not kept.
    Raises StopRun.
    """
    ended: Counter[str] = Counter()
    waiting = iter(enumerate(items))

    async def work() -> None:
        for number, item in waiting:
            asked = await teacher.ask(
                Request(number, "predict_output", item.messages, seed("bench", item.id))
            )
            ended[asked.verdict] += 1
            if asked.verdict == "answered" and asked.answer is not None:
                answer = asked.answer
                model = answer.model or teacher.identity.model
                keep(judge(item, answer.text, model, answer.finish_reason))
            elif asked.verdict == "rejected":
                why = asked.reason or "rejected"
                keep(_scored(item, "rejected", teacher.identity.model, why, None, ""))

    async with asyncio.TaskGroup() as group:
        for _ in range(max(1, min(most, teacher.capacity, len(items)))):
            group.create_task(work())
    return ended


def judge(item: Item, text: str, model: str, finish_reason: str = "stop") -> Scored:
    """Judge an answer by the rule of the pipeline."""
    found = parsing.final_answer(text, "output")
    if found is None:
        return _scored(item, "no_answer", model, finish_reason, None, text)
    right = matching.same(json.loads(item.output), found.value)
    status = "correct" if right else "wrong"
    return _scored(item, status, model, finish_reason, found.text, text)


def _scored(
    item: Item, status: str, model: str, finish: str, predicted: str | None, text: str
) -> Scored:
    about = item.id, item.problem, item.case, item.difficulty
    return Scored(*about, status, model, finish, predicted, text)


# Telling -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """So many of so many, with the ends of its 95 % interval."""

    right: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.right / self.of if self.of else 0.0


def summary(scored: Sequence[Scored]) -> dict[str, dict[str, Any]]:
    """Return by difficulty, and under `all`: shares of examples and problems, `no_answer`."""
    bands = ["all", *sorted({s.difficulty for s in scored}, key=_band)]
    return {band: _summary([s for s in scored if band in ("all", s.difficulty)]) for band in bands}


def _band(name: str) -> int:
    return ["easy", "medium", "hard", "unknown"].index(name)


def _summary(scored: Sequence[Scored]) -> dict[str, Any]:
    problems = _by_problem(scored)
    counts = [(sum(rights), len(rights)) for rights in problems.values()]
    solved = sum(all(rights) for rights in problems.values())
    right = sum(s.status == "correct" for s in scored)
    low, high = bootstrap(counts)
    return {
        "examples": Share(right, len(scored), low, high),
        "problems": Share(solved, len(problems), *wilson(solved, len(problems))),
        "no_answer": sum(s.status in ("no_answer", "rejected") for s in scored),
    }


def compare(first: Sequence[Scored], second: Sequence[Scored]) -> dict[str, Any]:
    """Pair two files of answers by question, over the questions in both.

    Returns the shares of each, the difference of the second to the first with its interval, for
    examples and problems; how many problems only one of them solves; and the p of McNemar's exact
    test. Raises UsageError when they share no question.
    """
    shared = {s.id for s in first} & {s.id for s in second}
    if not shared:
        raise UsageError("the two files have no question in common")
    one = _by_problem([s for s in first if s.id in shared])
    two = _by_problem([s for s in second if s.id in shared])
    pairs = [(one[name], two[name]) for name in sorted(one)]
    only_first = sum(all(a) and not all(b) for a, b in pairs)
    only_second = sum(all(b) and not all(a) for a, b in pairs)
    examples = [(sum(b) - sum(a), len(a)) for a, b in pairs]
    problems = [(int(all(b)) - int(all(a)), 1) for a, b in pairs]
    return {
        "examples": _difference(examples, [(sum(a), sum(b)) for a, b in pairs]),
        "problems": _difference(problems, [(int(all(a)), int(all(b))) for a, b in pairs]),
        "only_first": only_first,
        "only_second": only_second,
        "p": mcnemar(only_first, only_second),
        "left_out": len(first) + len(second) - 2 * len(shared),
    }


def _difference(
    counts: Sequence[tuple[int, int]], rights: Sequence[tuple[int, int]]
) -> dict[str, float]:
    of = sum(n for _, n in counts)
    low, high = bootstrap(counts)
    return {
        "of": of, "first": sum(a for a, _ in rights) / of, "second": sum(b for _, b in rights) / of,
        "difference": sum(d for d, _ in counts) / of, "low": low, "high": high,
    }  # fmt: skip


def _by_problem(scored: Sequence[Scored]) -> dict[str, list[bool]]:
    """Whether each case is right, by problem, in the order of the questions."""
    found: dict[str, list[bool]] = defaultdict(list)
    for answer in sorted(scored, key=lambda s: (s.problem, s.case)):
        found[answer.problem].append(answer.status == "correct")
    return found
