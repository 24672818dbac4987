"""Scored answers and the file that stores them: one model with one set of sampling settings.

Decisions
- A line is written as soon as its answer is scored, and names the model. An incomplete last line is
  dropped, for its question is asked again; any other invalid line is an error.
- Failed calls are not in the file: they are repeated, and count as incorrect until then.
- The URL of an endpoint is not part of the model's identity: the same model may have moved.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from annoy_store.config import RunSettings
from annoy_store.errors import UsageError
from annoy_store.hashing import canonical_json, compact_json
from annoy_store.inference.backends import open_backend
from annoy_store.interfaces import TeacherIdentity

Difficulty = Literal["easy", "medium", "hard", "unknown"]
Status = Literal["correct", "wrong", "no_answer", "rejected"]
_BEGIN = b'{"id":'
_Row = TypeVar("_Row")


@dataclass(frozen=True)
class ScoredAnswer:
    """One scored answer to a question of a benchmark.

    Attributes:
        id: Id of the question.
        problem: Digest of the sample.
        case: Number of the case within the problem, from 0.
        cases: Number of cases of the problem.
        difficulty: Difficulty of the problem.
        status: Result of the scoring.
        asked: The requested model and its sampling settings.
        model: Name that the endpoint reported.
        finish_reason: Why the model stopped.
        predicted: The predicted output as JSON, if there is one.
        text: The answer.
    """

    id: str
    problem: str
    case: int
    cases: int
    difficulty: Difficulty
    status: Status
    asked: dict[str, Any]
    model: str
    finish_reason: str
    predicted: str | None
    text: str


@dataclass(frozen=True)
class AnswerFile:
    """The content of an answer file.

    Attributes:
        scored: The first answer to each question.
        is_truncated: True if the last line is incomplete.
    """

    scored: list[ScoredAnswer]
    is_truncated: bool = False


_SCORED = TypeAdapter(ScoredAnswer)


def read_answers(path: Path) -> AnswerFile:
    """Read scored answers.

    Args:
        path: JSON Lines, as `append` writes them.

    Raises:
        UsageError: The file cannot be read, a line is invalid, or it holds answers of two models.
    """
    lines = read_lines(path)
    torn = _is_incomplete(lines[-1])
    numbered = enumerate(lines[:-1] if torn else lines, 1)
    hint = "delete that line, and its question is asked again"
    scored = [parse_line(_SCORED, path, n, line, hint) for n, line in numbered if line.strip()]
    askers = {canonical_json(s.asked): s.asked for s in scored}
    if len(askers) > 1:
        who = " and of ".join(map(describe_model, list(askers.values())[:2]))
        raise UsageError(f"{path} contains answers of {who}; use one file per model")
    return AnswerFile(list({s.id: s for s in reversed(scored)}.values())[::-1], torn)


def append(path: Path, scored: ScoredAnswer) -> None:
    """Append a scored answer to its file, so that an interrupted run keeps what was paid for."""
    with path.open("a", encoding="utf-8") as out:
        out.write(compact_json(asdict(scored)) + "\n")


def repair_last_line(path: Path) -> None:
    """Complete the last line of a file with a line end, or drop it if it is incomplete."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        data = file.read()
        last = data[data.rfind(b"\n") + 1 :]
        if _is_incomplete(last):
            file.truncate(len(data) - len(last))
        elif last:
            file.write(b"\n")


# Model and settings --------------------------------------------------------------------------


def model_settings(identity: TeacherIdentity) -> dict[str, Any]:
    """Return the model and its sampling settings."""
    return {"model": identity.model, **identity.parameters}


def requested_model_settings(settings: RunSettings) -> dict[str, Any]:
    """Return the model and sampling settings that a run with `settings` would use.

    No API key is needed.

    Raises:
        UsageError: A setting is missing.
    """
    same = (
        "batch" if settings.teacher == "openai" else settings.teacher
    )  # the same settings, without a key
    return model_settings(open_backend(same, settings, settings.model).identity)


def check_same_model(path: Path, scored: Iterable[ScoredAnswer], asked: dict[str, Any]) -> None:
    """Check that the answers in a file are those of the requested model.

    Args:
        path: The file, for the message.
        scored: Its answers.
        asked: The requested model and its sampling settings.

    Raises:
        UsageError: An answer is that of another model, or of other settings.
    """
    other = next(
        (s.asked for s in scored if canonical_json(s.asked) != canonical_json(asked)), None
    )
    if other is not None:
        raise UsageError(
            f"{path} contains answers of {describe_model(other)}, and the requested model is "
            f"{describe_model(asked)}; choose another file, or the model and settings of the file"
        )


def describe_model(asked: dict[str, Any]) -> str:
    """Return a model and its settings as text: `my-model (max_tokens=4096, temperature=0.7)`."""
    rest = ", ".join(f"{k}={v}" for k, v in sorted(asked.items()) if k != "model")
    return f"{asked.get('model')} ({rest})" if rest else str(asked.get("model"))


# Lines ---------------------------------------------------------------------------------------


def read_lines(path: Path) -> list[bytes]:
    """Return the lines of a file; the last one has no line end.

    Raises:
        UsageError: The file cannot be read.
    """
    try:
        return path.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def parse_line(kind: TypeAdapter[_Row], path: Path, number: int, line: bytes, hint: str) -> _Row:
    """Parse a line of JSON.

    Args:
        kind: The type to validate against.
        path: The file, for the message.
        number: Number of the line, from 1.
        line: The line.
        hint: What to do about an invalid line.

    Raises:
        UsageError: The line is invalid.
    """
    try:
        return kind.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        why = f"{where}: {first['msg']}" if where else first["msg"]
        raise UsageError(f"{path} line {number} cannot be read ({why}): {hint}") from None


def _is_incomplete(last: bytes) -> bool:
    """True if the text after the last line end is an incomplete answer."""
    if not last or not (last.startswith(_BEGIN) or _BEGIN.startswith(last)):
        return False
    try:
        _SCORED.validate_json(last)
    except ValidationError as error:
        return error.errors(include_url=False)[0]["type"] == "json_invalid"
    return False
