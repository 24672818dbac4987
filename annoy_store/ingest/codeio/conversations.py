"""Rows of questions and answers on their way into the store, as the chains that they are.

A row becomes a Talk: what is asked, the answers turn by turn, and the verdicts that came with
them; whether it was a file of first answers, of second turns, of finished chains or of plain
conversations makes no difference after that.

Decisions
- A chat of N answers is N prompts: each answer replies to all messages before it. So the first
  answer in a file of second turns is the one in the file of first turns, and becomes one row.
- Imported verdicts keep the words they came with as feedback; ours stand beside them.
- A text is a text: what is a number or a list where words belong refuses its row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from annoy_store.hashing import clean_text
from annoy_store.ingest.codeio.questions import Messages, Question, read_messages, read_question
from annoy_store.ingest.record_files import Location, Refusal

STATUS_OF_WORD = {
    "success": "correct",
    "correct": "correct",
    "failed": "wrong",
    "wrong": "wrong",
    "assertionerror": "wrong",
    "noanswer": "no_answer",
    "timeout": "wall_timeout",
    "exception": "exception",
    "error": "crash",
}
_TOLD = (
    ("correct", re.compile(r"\s*(success|correct|feasible)", re.I)),
    ("wrong", re.compile(r"\s*(\[mismatch\]|the predicted)", re.I)),
    ("no_answer", re.compile(r"no final answer|extract|no field|not a dict|cut off", re.I)),
    ("wall_timeout", re.compile(r"time ?out|time limit|more than .* seconds|not end within", re.I)),
    ("exception", re.compile(r"\s*\[?\w*(Error|Exception|Interrupt|Exit)\b|.*\braises\b", re.I)),
)  # words of a feedback that tell its verdict; what none tells is `wrong`


@dataclass(frozen=True)
class AnsweredTurn:
    """One turn: the messages that asked, the answer, and the verdict on it (status, feedback)."""

    messages: Messages
    answer: str
    verdict: tuple[str, str] | None = None
    reasoning: str | None = None
    finish_reason: str = "stop"


@dataclass(frozen=True)
class Conversation:
    """One row of questions and answers; no steps if nothing was answered yet."""

    location: Location
    question: Question | None
    turns: tuple[AnsweredTurn, ...]
    model: str = ""
    kind: str | None = None  # of the turns, where the row itself tells it
    row_numbers: Mapping[str, int] = field(default_factory=dict)  # itemid, ioid, index
    first_question: str = ""  # what the first user message says


def read_conversation(row: Mapping[str, Any], place: Location) -> Conversation | Refusal:
    """Return the talk of a row with `messages` and maybe `output`, or why it is none."""
    messages = read_messages(row["messages"])
    if messages is None:
        return Refusal("bad_messages", place, "messages must be a list of roles and texts")
    output = row.get("output")
    if isinstance(output, str):
        last = {"role": "assistant", "content": output}
        reasoning = row.get("reasoning") or row.get("reasoning_content")
        told = (_result(row.get("res")), reasoning, row.get("finish_reason"))
        steps = _steps([*messages, last], *told)
    elif "output" in row and output is not None:
        return Refusal("not_text", place, f"the output is {type(output).__name__}")
    else:
        steps = _steps(messages)
    return _talk(row, place, messages, steps)


def read_chain(row: Mapping[str, Any], place: Location) -> Conversation | Refusal:
    """Return the talk of a finished chain: `prompt turn_1 feedback_1 turn_2 feedback_2 ..`."""
    odd = [name for name, value in _told_texts(row) if not isinstance(value, str | None)]
    if odd or not isinstance(row["prompt"], str):
        return Refusal("not_text", place, f"{', '.join(odd) or 'the prompt'} must be text")
    messages: Messages = [{"role": "user", "content": row["prompt"]}]
    steps: list[AnsweredTurn] = []
    number = 1
    while isinstance(row.get(f"turn_{number}"), str):
        feedback = row.get(f"feedback_{number}")
        verdict = (status_from_feedback(feedback), feedback) if feedback else None
        answer = clean_text(row[f"turn_{number}"])
        steps.append(AnsweredTurn([*messages], answer, verdict))
        messages += [{"role": "assistant", "content": answer}]
        messages += [{"role": "user", "content": feedback or ""}]
        number += 1
    if not steps:
        return Refusal("not_text", place, "turn_1 must be text")
    return _talk(row, place, messages, steps)


def _told_texts(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The turns and feedbacks of a chain, which are texts or nothing."""
    return [(key, row[key]) for key in row if re.fullmatch(r"(turn|feedback)_\d+", str(key))]


def read_batch_line(
    answer: Mapping[str, Any], asked: Mapping[str, Any], place: Location
) -> Conversation | Refusal:
    """Return the talk of one line of a batch: what came back, and the line that asked it."""
    messages = read_messages(_object(asked.get("body")).get("messages"))
    if messages is None:
        detail = f"{answer['custom_id']}: the line that asked it has no messages in its body"
        return Refusal("bad_messages", place, detail)
    response = answer.get("response")
    body = _object(_object(response).get("body"))
    choices = body.get("choices")
    choice = _object(choices[0]) if isinstance(choices, list) and choices else {}
    message = _object(choice.get("message"))
    if not isinstance(message.get("content"), str):
        said = response if isinstance(response, str) else None
        error = answer.get("error") or body.get("error") or said or "no answer in it"
        return Refusal("no_answer", place, f"{answer['custom_id']}: {str(error)[:200]}")
    row = {"model": body.get("model"), "messages": messages, "output": message["content"]}
    row |= {"reasoning": message.get("reasoning_content") or message.get("reasoning")}
    return read_conversation(row | {"finish_reason": choice.get("finish_reason")}, place)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def status_from_feedback(feedback: str) -> str:
    """The verdict that a feedback's words tell."""
    return next((status for status, words in _TOLD if words.match(feedback)), "") or next(
        (status for status, words in _TOLD[2:] if words.search(feedback[:200])), "wrong"
    )


def _talk(
    row: Mapping[str, Any], place: Location, messages: Messages, steps: list[AnsweredTurn]
) -> Conversation | Refusal:
    opening = next((m["content"] for m in messages if m["role"] == "user"), None)
    if opening is None:
        return Refusal("bad_messages", place, "nobody asks anything in it")
    known = {"i": "predict_input", "o": "predict_output"}
    numbers = {k: row[k] for k in ("itemid", "ioid", "index") if is_row_number(row.get(k))}
    model = row.get("model")
    question = read_question(messages)
    kind = known.get(str(row.get("io_pred"))) or ("transform" if "index" in numbers else None)
    return Conversation(
        place,
        question,
        tuple(steps),
        clean_text(model) if isinstance(model, str) else "",
        question.kind if question else kind,
        numbers,
        clean_text(opening),
    )


def is_row_number(value: Any) -> bool:
    """True for the number of a row or of a pair, as the store's columns hold them."""
    return type(value) is int and 0 <= value < 2**31


def _steps(
    messages: Messages,
    verdict: tuple[str, str] | None = None,
    reasoning: Any = None,
    finish_reason: Any = None,
) -> list[AnsweredTurn]:
    """The turns of a conversation; what is told beside it is about the last one."""
    ends = [n for n, m in enumerate(messages) if m["role"] == "assistant" and n]
    steps = [AnsweredTurn(messages[:n], clean_text(messages[n]["content"])) for n in ends]
    if steps and ends[-1] == len(messages) - 1:
        reason = finish_reason if isinstance(finish_reason, str) and finish_reason else "stop"
        thought = clean_text(reasoning) if isinstance(reasoning, str) else None
        steps[-1] = AnsweredTurn(steps[-1].messages, steps[-1].answer, verdict, thought, reason)
    return steps


def _result(res: Any) -> tuple[str, str] | None:
    """The verdict in a row of verified answers."""
    if not isinstance(res, Mapping) or not isinstance(res.get("status"), str):
        return None
    word = re.sub(r"[^a-z]", "", res["status"].lower())
    message = str(res.get("message") or res.get("messages") or "")
    return STATUS_OF_WORD.get(word) or status_from_feedback(message), clean_text(message)
