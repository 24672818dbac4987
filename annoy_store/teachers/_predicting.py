"""An answer to "what does the code return": the run in words, then the value as JSON."""

from __future__ import annotations

import json

from annoy_store.contracts import Sandbox
from annoy_store.errors import AnnoyError
from annoy_store.teachers._guessing import guess
from annoy_store.teachers._inside import Followed, follow
from annoy_store.teachers._narrating import narrate


def predict_output(
    sandbox: Sandbox, code: str, given: str, budget: int, earlier: str | None
) -> str:
    """Follow the code for at most `budget` lines and answer; `earlier` is the refused answer.

    Raises SandboxError.
    """
    try:
        arguments = json.loads(given)
    except ValueError:
        return _closing("The input is not JSON, so I cannot follow it.", "null")
    followed = follow(sandbox, code, arguments, budget)
    opening = [_opening(given, earlier, budget), ""]
    return "\n".join([*opening, *_story(code, followed), "", _ending(followed)])


def _opening(given: str, earlier: str | None, budget: int) -> str:
    shown = given if len(given) <= 300 else given[:297] + "..."
    start = f"I follow the code line by line for the input `{shown}`."
    if earlier is None:
        return start
    return (
        f"My earlier answer {earlier} does not hold: it was put together before the code had "
        f"come to its end. {start} This time I go on for up to {budget} lines."
    )


def _story(code: str, followed: Followed) -> list[str]:
    try:
        return narrate(code, followed.events)
    except (AnnoyError, SyntaxError, ValueError, RecursionError, KeyError, IndexError):
        return []


def _ending(followed: Followed) -> str:
    if followed.end == "returned" and followed.value is not None:
        return _closing(f"That is all: {_lines(followed)} were executed.", followed.value)
    if followed.end == "raised":
        return _closing(f"The code stops with {followed.error}, so there is no value.", "null")
    if followed.end == "spent":
        guessed = guess(followed.stack)
        text = (
            f"I stop stepping through here, after {_lines(followed)}; the code is not at its "
            f"end. From what I have seen so far, {guessed.reason}. I have not checked that."
        )
        return _closing(text, guessed.output)
    return _closing("The code runs for longer than I can follow it, so I can only guess.", "0")


def _lines(followed: Followed) -> str:
    return "1 line" if followed.lines == 1 else f"{followed.lines} lines"


def _closing(text: str, output: str) -> str:
    return f'{text}\n\n```json\n{{"output": {output}}}\n```'
