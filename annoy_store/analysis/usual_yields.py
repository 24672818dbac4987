"""Usual yields and tokens of the pipeline, for what a store has not measured yet.

Decisions
- A measured yield is shrunk towards the usual one, which counts like `PRIOR_ROWS` measured rows:
  the first results of a run move an estimate, and do not overturn it.
- The share of correct answers by turn is that of the CodeI/O paper (figure 7: half of the first
  answers are correct; a revision corrects 16 % of the wrong inputs and 11 % of the wrong outputs,
  the next one 7 % and 4 %). The other yields lie between those of ordinary repositories (46 % of
  raw files become functions with pairs) and of selected exercises (72 %).
- Tokens differ between models by far more than a factor of two, so only the proportions between
  kinds of questions are assumed, those of the demo: they are scaled by what is measured, and
  unknown as long as nothing is.
"""

from __future__ import annotations

from dataclasses import dataclass

PRIOR_ROWS = 5.0
USUAL_YIELDS = {
    "transform": 0.98,  # sources that are asked about
    "complete": 0.98,  # calls that are answered
    "parse": 0.85,  # answers that hold a function
    "generate": 0.7,  # samples that get stable pairs
    "predict": 0.95,  # subjects that are asked about
}
USUAL_INCORRECT = (0.5, 0.87, 0.94)  # answers by turn; the last holds for all later turns


@dataclass(frozen=True)
class CallTokens:
    """Tokens of one call.

    Attributes:
        prompt: Prompt tokens.
        completion: Completion tokens.
    """

    prompt: float
    completion: float


USUAL_TOKENS = {  # of the demo
    "transform": CallTokens(940.0, 300.0),
    "first turn": CallTokens(400.0, 250.0),
    "revision": CallTokens(760.0, 350.0),
}


@dataclass(frozen=True)
class YieldRate:
    """The number of results of one step per row that enters it.

    Attributes:
        value: Results per row; at most 1 for a pass rate.
        is_measured: False if the usual yield weighs more in `value` than results of the store.
    """

    value: float
    is_measured: bool = True


def shrunk_rate(results: float, rows: float, usual: float) -> YieldRate:
    """Return a measured yield, shrunk towards the usual one.

    Args:
        results: Results so far.
        rows: Rows that gave them.
        usual: The usual number of results per row.
    """
    return YieldRate((results + usual * PRIOR_ROWS) / (rows + PRIOR_ROWS), rows >= PRIOR_ROWS)


def usual_incorrect(turn: int) -> float:
    """Return the usual share of answers to a turn, from 1, that are not correct."""
    return USUAL_INCORRECT[min(turn, len(USUAL_INCORRECT)) - 1]


def usual_tokens(kind: str, turn: int) -> CallTokens:
    """Return the usual tokens of a call.

    Args:
        kind: Kind of the turn.
        turn: Number of the turn, from 1.
    """
    name = "revision" if turn > 1 else "transform" if kind == "transform" else "first turn"
    return USUAL_TOKENS[name]
