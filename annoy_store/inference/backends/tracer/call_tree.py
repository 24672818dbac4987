"""The events of a traced run as a tree of calls, each with the lines that it executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class TraceStep:
    """One executed line.

    Attributes:
        line: Its number.
        changes: Variables that it changed, with their new values as texts.
        calls: The calls that it made.
        yields: What it yielded.
    """

    line: int
    changes: Mapping[str, str] = field(default_factory=dict)
    calls: list[Frame] = field(default_factory=list)
    yields: list[str] = field(default_factory=list)


@dataclass
class Frame:
    """One call of a function of the code.

    Attributes:
        name: The name of the function.
        arguments: Its arguments as texts.
        steps: The lines that it executed.
        result: The result as a text; None while it is open, and in generators.
        error: Class of the exception that left it, if any.
    """

    name: str
    arguments: Mapping[str, str]
    steps: list[TraceStep] = field(default_factory=list)
    result: str | None = None
    error: str | None = None


def build_call_tree(events: Sequence[Sequence[Any]]) -> Frame | None:
    """Build the tree of calls; a generator that resumes continues in its own frame.

    Args:
        events: Events as in `TraceReport.events`.

    Returns:
        The outermost call, None if there are no events.
    """
    frames: dict[int, Frame] = {}
    open_frames: list[int] = []
    root: Frame | None = None
    for kind, number, detail, *more in events:
        if kind == "call":
            frames[number] = Frame(detail, more[0])
            parent = frames.get(open_frames[-1]) if open_frames else None
            root = root or frames[number]
            if parent and parent.steps:
                parent.steps[-1].calls.append(frames[number])
            open_frames.append(number)
            continue
        frame = frames[number]
        if frame.steps:
            frame.steps[-1].changes = {**frame.steps[-1].changes, **more[0]}
        if kind == "line":
            frame.error = None  # it was caught
            frame.steps.append(TraceStep(detail))
        elif kind == "yield":
            frame.steps[-1].yields.append(detail)
            open_frames = [n for n in open_frames if n != number]
        elif kind == "return":
            frame.result = None if frame.error else detail
            open_frames = [n for n in open_frames if n != number]
        elif kind == "raise":
            frame.error = detail
    return root
