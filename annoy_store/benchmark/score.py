"""Ask the questions of a benchmark, score the answers, summarise them, compare two models.

Decisions
- A problem is solved if every case of it is right (as LeetCode-O counts in the CodeI/O paper); that
  share and the share of right examples are both reported.
- Shares are of all questions of the benchmark. A question without an answer, because its call
  failed, is incorrect, and so is its problem; how many there are is reported beside the shares.
- Two models are compared on what both answered: examples on the questions in both files, problems
  on those with every case in both.
- Cases of one problem are correlated, and intervals over examples account for it (intervals.py).
  Two models are compared by McNemar's exact test over problems.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annoy_store.benchmark.answers import ScoredAnswer, Status, model_settings
from annoy_store.benchmark.build import BenchmarkQuestion
from annoy_store.benchmark.intervals import (
    clustered_interval,
    difference_interval,
    mcnemar_p_value,
    wilson_interval,
)
from annoy_store.errors import UsageError
from annoy_store.hashing import derive_seed
from annoy_store.interfaces import Completion, Request, Teacher
from annoy_store.parsing import final_answer
from annoy_store.tasks import compare as comparison

_Rights = tuple[bool, bool]  # of the first and of the second, for one case or problem


# Scoring -------------------------------------------------------------------------------------


async def ask_all(
    items: Sequence[BenchmarkQuestion],
    teacher: Teacher,
    max_concurrent: int,
    on_scored: Callable[[ScoredAnswer], None],
) -> Counter[str]:
    """Ask every question and score the answers.

    Args:
        items: The questions.
        teacher: The model.
        max_concurrent: Upper limit of concurrent calls.
        on_scored: Called with each scored answer.

    Returns:
        How many calls were `answered`, `rejected` and `failed`; failed ones are not scored.

    Raises:
        EndpointUnavailable: The endpoint cannot be used.
    """
    ended: Counter[str] = Counter()
    settings, waiting = model_settings(teacher.identity), iter(enumerate(items))

    async def work() -> None:
        for number, item in waiting:
            asked = await teacher.ask(
                Request(number, "predict_output", item.messages, derive_seed("bench", item.id))
            )
            ended[asked.status] += 1
            if asked.status == "answered" and asked.completion is not None:
                on_scored(score_answer(item, asked.completion, settings))
            elif asked.status == "rejected":
                why = asked.reason or "rejected"
                on_scored(_scored(item, settings, "rejected", Completion("", why), None))

    async with asyncio.TaskGroup() as group:
        for _ in range(max(1, min(max_concurrent, teacher.capacity, len(items)))):
            group.create_task(work())
    return ended


def score_answer(
    item: BenchmarkQuestion, answer: Completion, asked: Mapping[str, Any]
) -> ScoredAnswer:
    """Score an answer by the comparison rule of the pipeline.

    Args:
        item: The question.
        answer: The model's answer.
        asked: The requested model and its sampling settings.
    """
    found = final_answer.find_final_answer(answer.text, "output")
    if found is None:
        return _scored(item, asked, "no_answer", answer, None)
    right = comparison.same(json.loads(item.output), found.value)
    return _scored(item, asked, "correct" if right else "wrong", answer, found.text)


def _scored(
    item: BenchmarkQuestion,
    asked: Mapping[str, Any],
    status: Status,
    answer: Completion,
    predicted: str | None,
) -> ScoredAnswer:
    about = item.id, item.problem, item.case, item.cases, item.difficulty
    model = answer.model or str(asked["model"])
    return ScoredAnswer(
        *about, status, dict(asked), model, answer.finish_reason, predicted, answer.text
    )


# Summaries -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShareInterval:
    """A share with its 95 % interval.

    Attributes:
        right: Number of correct ones.
        of: Number of all.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    right: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """`right` / `of`, 0 if there is none."""
        return self.right / self.of if self.of else 0.0


def summarise(
    items: Sequence[BenchmarkQuestion], scored: Iterable[ScoredAnswer]
) -> dict[str, dict[str, Any]]:
    """Summarise scored answers by difficulty.

    Args:
        items: All questions of the benchmark.
        scored: The scored answers.

    Returns:
        By difficulty, and under `all`: `examples` and `problems` as shares, `no_answer` (answers
        without a final value) and `failed` (questions without an answer) as counts.
    """
    answers = {s.id: s for s in scored}
    bands = ["all", *sorted({item.difficulty for item in items}, key=_band)]
    return {
        band: _summary([i for i in items if band in ("all", i.difficulty)], answers)
        for band in bands
    }


def _band(name: str) -> int:
    return ["easy", "medium", "hard", "unknown"].index(name)


def _summary(
    items: Sequence[BenchmarkQuestion], answers: Mapping[str, ScoredAnswer]
) -> dict[str, Any]:
    rights: dict[str, list[bool]] = defaultdict(list)
    for item in items:
        rights[item.problem].append(_is_right(answers.get(item.id)))
    counts = [(sum(each), len(each)) for each in rights.values()]
    solved = sum(all(each) for each in rights.values())
    given = [answers[item.id].status for item in items if item.id in answers]
    return {
        "examples": ShareInterval(given.count("correct"), len(items), *clustered_interval(counts)),
        "problems": ShareInterval(solved, len(rights), *wilson_interval(solved, len(rights))),
        "no_answer": sum(status in ("no_answer", "rejected") for status in given),
        "failed": len(items) - len(given),
    }


def _is_right(answer: ScoredAnswer | None) -> bool:
    return answer is not None and answer.status == "correct"


def compare_models(first: Iterable[ScoredAnswer], second: Iterable[ScoredAnswer]) -> dict[str, Any]:
    """Compare the answers of two models to the same questions.

    Args:
        first: Scored answers of the first model.
        second: Scored answers of the second model.

    Returns:
        `examples` and `problems`: the shares of each model, the difference of the second to the
        first and its 95 % interval; `only_first` and `only_second`: problems that only one of them
        solves; `p` of McNemar's exact test; `left_out` answers and `problems_left_out` that have no
        counterpart.

    Raises:
        UsageError: They have no question in common.
    """
    one, two = {s.id: s for s in first}, {s.id: s for s in second}
    shared = one.keys() & two.keys()
    if not shared:
        raise UsageError("the two files have no question in common")
    cases: dict[str, list[_Rights]] = defaultdict(list)
    for name in shared:
        cases[one[name].problem].append((_is_right(one[name]), _is_right(two[name])))
    of = {s.problem: s.cases for s in [*one.values(), *two.values()]}
    whole = [_solved(pairs) for name, pairs in cases.items() if len(pairs) == of[name]]
    only_first, only_second = whole.count((True, False)), whole.count((False, True))
    return {
        "examples": _paired(list(cases.values())),
        "problems": _paired([[pair] for pair in whole]),
        "only_first": only_first,
        "only_second": only_second,
        "p": mcnemar_p_value(only_first, only_second),
        "left_out": len(one) + len(two) - 2 * len(shared),
        "problems_left_out": len(of) - len(whole),
    }


def _solved(pairs: Sequence[_Rights]) -> _Rights:
    return all(a for a, _ in pairs), all(b for _, b in pairs)


def _paired(problems: Sequence[Sequence[_Rights]]) -> dict[str, float | None]:
    """Shares and difference of pairs, grouped by problem; None where there is no pair."""
    pairs = [pair for problem in problems for pair in problem]
    if not pairs:
        return {"of": 0} | dict.fromkeys(("first", "second", "difference", "low", "high"))
    first, second = (sum(pair[k] for pair in pairs) / len(pairs) for k in (0, 1))
    low, high = difference_interval(
        [(p.count((True, False)), p.count((False, True)), len(p)) for p in problems]
    )
    shares = {"first": first, "second": second, "difference": second - first}
    return {"of": len(pairs), **shares, "low": low, "high": high}
