"""Read rows of questions and answers as conversations.

A row becomes a Conversation: the question, the answers turn by turn, and the verdicts that came
with them. It makes no difference whether the file held first answers, second turns, finished chains
or plain conversations.

Decisions
- A chat of N answers is N prompts: each answer replies to all messages before it. So the first
  answer in a file of second turns is the one in the file of first turns, and becomes one row.
- Imported verdicts keep their original text as feedback; the verdicts of `verify` are stored beside
  them.
- Text fields must be text: a number or a list in their place refuses the row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from annoy_store.hashing import clean_text
from annoy_store.ingest.codeio.questions import (
    ImportedQuestion,
    Messages,
    read_messages,
    read_question,
)
from annoy_store.ingest.record_files import Location, Refusal
from annoy_store.parsing.finish_reasons import stored_finish_reason
from annoy_store.parsing.reply_message import find_message

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
_FEEDBACK_PATTERNS = (
    ("correct", re.compile(r"\s*(success|correct|feasible)", re.I)),
    ("wrong", re.compile(r"\s*(\[mismatch\]|the predicted)", re.I)),
    ("no_answer", re.compile(r"no final answer|extract|no field|not a dict|cut off", re.I)),
    ("wall_timeout", re.compile(r"time ?out|time limit|more than .* seconds|not end within", re.I)),
    ("exception", re.compile(r"\s*\[?\w*(Error|Exception|Interrupt|Exit)\b|.*\braises\b", re.I)),
)  # how a feedback begins, by verdict; `wrong` if none matches


@dataclass(frozen=True)
class AnsweredTurn:
    """One turn of a conversation.

    Attributes:
        messages: The messages that asked.
        answer: Text of the answer.
        verdict: Status and feedback that came with it, if any.
        reasoning: The model's reasoning, if any.
        finish_reason: Why the model stopped.
    """

    messages: Messages
    answer: str
    verdict: tuple[str, str] | None = None
    reasoning: str | None = None
    finish_reason: str = "stop"


@dataclass(frozen=True)
class Conversation:
    """One row of questions and answers.

    Attributes:
        location: File and line.
        question: The first question; None if it is of no known form.
        turns: The answered turns; empty if nothing was answered yet.
        model: Name of the model, empty if unknown.
        kind: Kind of question, where the question or the row tells it.
        row_numbers: `itemid`, `ioid` and `index`, as far as the row has them.
        first_question: Text of the first user message.
        messages: The messages, without answers that stand beside them.
    """

    location: Location
    question: ImportedQuestion | None
    turns: tuple[AnsweredTurn, ...]
    model: str = ""
    kind: str | None = None  # of the turns, where the row itself tells it
    row_numbers: Mapping[str, int] = field(default_factory=dict)  # itemid, ioid, index
    first_question: str = ""  # what the first user message says
    messages: Messages = field(default_factory=list)


def read_conversation(row: Mapping[str, Any], location: Location) -> Conversation | Refusal:
    """Return the conversation of a row with `messages` and maybe `output`, or why there is none.

    Args:
        row: The decoded row.
        location: File and line.
    """
    messages = read_messages(row["messages"])
    if messages is None:
        return Refusal("bad_messages", location, "messages must be a list of roles and texts")
    output = row.get("output")
    if isinstance(output, str):
        last = {"role": "assistant", "content": output}
        reasoning = row.get("reasoning") or row.get("reasoning_content")
        details = (_result(row.get("res")), reasoning, row.get("finish_reason"))
        found = _turns([*messages, last], *details)
    elif "output" in row and output is not None:
        return Refusal("not_text", location, f"the output is {type(output).__name__}")
    else:
        found = _turns(messages)
    return _conversation(row, location, messages, found)


def read_chain(row: Mapping[str, Any], location: Location) -> Conversation | Refusal:
    """Return the conversation of a finished chain: `prompt turn_1 feedback_1 turn_2 feedback_2 ..`.

    Args:
        row: The decoded row.
        location: File and line.
    """
    odd = [name for name, value in _chain_texts(row) if not isinstance(value, str | None)]
    if odd or not isinstance(row["prompt"], str):
        return Refusal("not_text", location, f"{', '.join(odd) or 'the prompt'} must be text")
    messages: Messages = [{"role": "user", "content": row["prompt"]}]
    found: list[AnsweredTurn] = []
    number = 1
    while isinstance(row.get(f"turn_{number}"), str):
        feedback = row.get(f"feedback_{number}")
        verdict = (status_from_feedback(feedback), feedback) if feedback else None
        answer = clean_text(row[f"turn_{number}"])
        found.append(AnsweredTurn([*messages], answer, verdict))
        messages += [{"role": "assistant", "content": answer}]
        messages += [{"role": "user", "content": feedback or ""}]
        number += 1
    if not found:
        return Refusal("not_text", location, "turn_1 must be text")
    return _conversation(row, location, messages, found)


def _chain_texts(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The turns and feedbacks of a chain, which are texts or nothing."""
    return [(key, row[key]) for key in row if re.fullmatch(r"(turn|feedback)_\d+", str(key))]


def read_batch_line(
    answer: Mapping[str, Any], asked: Mapping[str, Any], location: Location
) -> Conversation | Refusal:
    """Return the conversation of one line of a Batch API output file.

    Args:
        answer: The line of the output file.
        asked: The line of the input file with the same `custom_id`.
        location: File and line of the output line.
    """
    messages = read_messages(_object(asked.get("body")).get("messages"))
    if messages is None:
        detail = f"{answer['custom_id']}: its request has no messages"
        return Refusal("bad_messages", location, detail)
    response = answer.get("response")
    body = _object(_object(response).get("body"))
    message = find_message(body)
    if message is None or not (message.text or message.finish_reason):
        text = response if isinstance(response, str) else None
        error = answer.get("error") or body.get("error") or text or "no answer in it"
        return Refusal("no_answer", location, f"{answer['custom_id']}: {str(error)[:200]}")
    row = {"model": body.get("model"), "messages": messages, "output": message.text}
    row |= {"reasoning": message.reasoning or None, "finish_reason": message.finish_reason}
    return read_conversation(row, location)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def status_from_feedback(feedback: str) -> str:
    """Return the verdict status that the words of a feedback tell; `wrong` if they tell none."""
    return next(
        (status for status, pattern in _FEEDBACK_PATTERNS if pattern.match(feedback)), ""
    ) or next(
        (status for status, pattern in _FEEDBACK_PATTERNS[2:] if pattern.search(feedback[:200])),
        "wrong",
    )


def _conversation(
    row: Mapping[str, Any], location: Location, messages: Messages, turns: list[AnsweredTurn]
) -> Conversation | Refusal:
    first_question = next((m["content"] for m in messages if m["role"] == "user"), None)
    if first_question is None:
        return Refusal("bad_messages", location, "there is no user message")
    known = {"i": "predict_input", "o": "predict_output"}
    row_numbers = {k: row[k] for k in ("itemid", "ioid", "index") if is_row_number(row.get(k))}
    model = row.get("model")
    question = read_question(messages)
    kind = known.get(str(row.get("io_pred"))) or ("transform" if "index" in row_numbers else None)
    return Conversation(
        location,
        question,
        tuple(turns),
        clean_text(model) if isinstance(model, str) else "",
        question.kind if question else kind,
        row_numbers,
        clean_text(first_question),
        messages,
    )


def is_row_number(value: Any) -> bool:
    """Return True for the number of a row or of a pair, as the store's columns hold them."""
    return type(value) is int and 0 <= value < 2**31


def _turns(
    messages: Messages,
    verdict: tuple[str, str] | None = None,
    reasoning: Any = None,
    finish_reason: Any = None,
) -> list[AnsweredTurn]:
    """Split a conversation into turns; the keyword values belong to the last one."""
    ends = [n for n, m in enumerate(messages) if m["role"] == "assistant" and n]
    found = [AnsweredTurn(messages[:n], clean_text(messages[n]["content"])) for n in ends]
    if found and ends[-1] == len(messages) - 1:
        reason = stored_finish_reason(finish_reason or "stop")
        thought = clean_text(reasoning) if isinstance(reasoning, str) else None
        found[-1] = AnsweredTurn(found[-1].messages, found[-1].answer, verdict, thought, reason)
    return found


def _result(res: Any) -> tuple[str, str] | None:
    """The verdict in a row of verified answers."""
    if not isinstance(res, Mapping) or not isinstance(res.get("status"), str):
        return None
    word = re.sub(r"[^a-z]", "", res["status"].lower())
    message = str(res.get("message") or res.get("messages") or "")
    return STATUS_OF_WORD.get(word) or status_from_feedback(message), clean_text(message)
