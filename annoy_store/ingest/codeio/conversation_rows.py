"""Build the rows of conversations: prompts, turns, calls, responses and verdicts.

Decisions
- An answer takes the first planned call of its prompt that has no response, so a question that a
  file answers is not asked again; an answer that is in the store already is the same row.
- A question without an answer is left to the stage that builds such questions itself; one of no
  known form is kept as a prompt, which no run asks.
- An answer to a question of no known form, or about a pair that is not in the store (yet), is kept
  without a turn: no stage processes it, and it gets its turn when the pair comes
  (link_references.py).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from annoy_store.db.sql import in_values
from annoy_store.db.tables import calls, prompts, responses, teachers, verdicts
from annoy_store.db.timestamps import utc_now
from annoy_store.hashing import canonical_json, clean_text
from annoy_store.ingest.codeio.conversations import AnsweredTurn, Conversation
from annoy_store.ingest.codeio.subjects import ConversationSubject, ImportSession, SubjectFinder
from annoy_store.ingest.record_files import Refusal
from annoy_store.interfaces import NewRow
from annoy_store.parsing import sections
from annoy_store.prompts.template import Template
from annoy_store.records.digests import prompt_digest, revision_digest, teacher_digest
from annoy_store.records.prompts import new_prompt, new_turn
from annoy_store.records.responses import new_response
from annoy_store.records.samples import FUNCNAME, new_origin, new_sample

IMPORTED = Template("imported", "", "")


@dataclass
class ConversationRows:
    """Rows and counts of a batch of conversations.

    Attributes:
        rows: Rows to insert.
        new: Conversations with anything new.
        known: Conversations that are in the store already.
        left: Conversations that no stage will process, by reason.
        refused: Conversations whose subject cannot be determined.
    """

    rows: list[NewRow] = field(default_factory=list)
    new: int = 0
    known: int = 0
    left: Counter[str] = field(default_factory=Counter)
    refused: list[Refusal] = field(default_factory=list)


def build_rows(
    connection: Connection, conversations: Sequence[Conversation], file: str, session: ImportSession
) -> ConversationRows:
    """Return the rows of a batch of conversations from one file.

    Args:
        connection: A connection to the store.
        conversations: The conversations, in order.
        file: Name of the file, the origin of samples it brings.
        session: State of the import.
    """
    result = ConversationRows()
    finder = SubjectFinder(connection, conversations, session, file)
    numbers = CallNumbers(connection, conversations)
    for conversation in conversations:
        subject = finder.find(conversation)
        if isinstance(subject, Refusal):
            result.refused.append(subject)
            continue
        before = numbers.new
        result.rows += [*subject.rows, *_chain(conversation, subject, numbers, session)]
        is_new = numbers.new > before if conversation.turns else subject.new
        if not conversation.turns:
            asked = new_prompt(conversation.messages, IMPORTED)
            if subject.kind is None:
                is_new = numbers.add_prompt(asked.values["digest"])
                result.rows.append(asked)
            session.unanswered[asked.values["digest"]] = _asking_stage(subject)
        elif subject.kind is None:
            result.left["no_question"] += 1
        elif not subject.is_known and "ioid" in conversation.row_numbers:
            first, last = (prompt_digest(conversation.turns[n].messages) for n in (0, -1))
            session.positions.setdefault(first, set()).add(conversation.row_numbers["ioid"])
            session.last_prompts.add(last)
        result.new, result.known = result.new + is_new, result.known + (not is_new)
    return result


def _asking_stage(subject: ConversationSubject) -> str:
    """What is left to do about a question without an answer."""
    if subject.kind is None:
        return "unknown_form"
    return "transform" if subject.kind == "transform" else "predict"


# Answers -------------------------------------------------------------------------------------


class CallNumbers:
    """Assigns the answers of a batch to the calls of their prompts.

    Attributes:
        new: Number of answers that are not in the store yet.
    """

    def __init__(self, connection: Connection, conversations: Sequence[Conversation]) -> None:
        self.new = 0
        self._texts: dict[str, dict[int, str | None]] = defaultdict(dict)
        names = {
            prompt_digest(answered.messages)
            for conversation in conversations
            for answered in conversation.turns
        }
        asked = {prompt_digest(each.messages) for each in conversations if not each.turns}
        self._prompts = set(
            connection.scalars(
                select(prompts.c.digest).where(in_values(connection, prompts.c.digest, asked))
            )
        )
        found = connection.execute(
            select(prompts.c.digest, calls.c.sample_no, responses.c.text)
            .join(calls, calls.c.prompt_id == prompts.c.id)
            .outerjoin(responses, responses.c.call_id == calls.c.id)
            .where(in_values(connection, prompts.c.digest, names), calls.c.pinned_teacher_id == 0)
        )
        for name, number, text in found:
            self._texts[name][number] = text

    def add_prompt(self, prompt: str) -> bool:
        """Record a question without an answer; return whether it is new."""
        is_new = prompt not in self._prompts
        self._prompts.add(prompt)
        return is_new

    def sample_no(self, prompt: str, answer: str) -> int:
        """Return the sample number of the call that an answer belongs to.

        Args:
            prompt: Digest of the prompt.
            answer: Text of the answer.

        Returns:
            The call with the same answer, else the first without one, else the next free number.
        """
        texts = self._texts[prompt]
        for number in sorted(texts):
            if texts[number] == answer:
                return number
        free = next((n for n in sorted(texts) if texts[n] is None), None)
        number = free if free is not None else max(texts, default=-1) + 1
        texts[number] = answer
        self.new += 1
        return number


def _chain(
    conversation: Conversation,
    subject: ConversationSubject,
    numbers: CallNumbers,
    session: ImportSession,
) -> list[NewRow]:
    """The rows of a conversation, turn by turn."""
    rows: list[NewRow] = []
    teacher = imported_teacher(conversation.model)
    earlier: NewRow | None = None
    first: NewRow | None = None
    about = subject.digest_key
    for place, answered in enumerate(conversation.turns, 1):
        asked = new_prompt(answered.messages, IMPORTED)
        number = numbers.sample_no(asked.values["digest"], answered.answer)
        call = NewRow(calls, {"prompt_id": asked, "sample_no": number, "pinned_teacher_id": 0})
        answer = _response(answered, call, teacher)
        rows.append(answer)
        if answered.verdict and subject.kind not in (None, "transform"):
            rows.append(_verdict(answer, answered.verdict, session.variant_id))
        if subject.kind and subject.is_known:
            columns = {"revises_response_id": earlier, "chain_response_id": first}
            rows.append(new_turn(asked, subject.kind, place, about, **subject.columns, **columns))
            about = revision_digest(rows[-1].values["digest"], number, session.any_digest, 0)
        earlier, first = answer, first or answer
    if subject.make_sample and first is not None:
        rows += _parsed(conversation, first, subject)
    return rows


def imported_teacher(model: str) -> NewRow:
    """Return the row of the teacher that gave imported answers, by the name of the model."""
    named = teacher_digest("imported", model, "", {})
    row = {"digest": named, "backend": "imported", "model": model, "base_url": ""}
    return NewRow(teachers, row | {"parameters": canonical_json({})})


def _response(answered: AnsweredTurn, call: NewRow, teacher: NewRow) -> NewRow:
    return new_response(
        call,
        teacher,
        answered.answer,
        finish_reason=answered.finish_reason,
        created_at=utc_now(),
        reasoning=answered.reasoning,
    )


def _verdict(answer: NewRow, verdict: tuple[str, str], variant_id: int) -> NewRow:
    values = {"response_id": answer, "checker": "imported", "variant_id": variant_id}
    values |= {"status": verdict[0], "mismatch": None, "execution_id": None}
    values |= {"created_at": utc_now(), "predicted": None, "got": None}
    return NewRow(verdicts, values | {"feedback": clean_text(verdict[1])})


def _parsed(
    conversation: Conversation, answer: NewRow, subject: ConversationSubject
) -> list[NewRow]:
    """The sample of a transform answer whose raw file is unknown: no stage would parse it."""
    found = sections.parse_sections(conversation.turns[0].answer)
    if isinstance(found, sections.ParseFailure):
        return []
    sample = new_sample(
        found.refcode,
        FUNCNAME,
        found.problem_statement,
        found.io_requirements,
        found.input_generator,
    )
    return [new_origin(sample, subject.origin, response_id=answer, origin=subject.origin)]
