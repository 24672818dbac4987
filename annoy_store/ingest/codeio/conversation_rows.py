"""The rows that talks become: prompts, turns, calls, responses and verdicts.

Decisions
- An answer takes the first planned call of its prompt that has none, so what a file answers is
  not asked again; an answer that is there already is the same row.
- A question that was never answered is left to the stage that words such questions itself.
- An answer to a question of no known form, or about a pair that is not there (yet), is kept
  without a turn: no stage takes it up, and when the pair comes, it gets its turn
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
from annoy_store.records.samples import FUNCNAME, new_origin, new_sample

IMPORTED = Template("imported", "", "")


@dataclass
class ConversationRows:
    """What came of a batch of talks: rows to write, and counts of what is new, known or left."""

    rows: list[NewRow] = field(default_factory=list)
    new: int = 0
    known: int = 0
    left: Counter[str] = field(default_factory=Counter)
    refused: list[Refusal] = field(default_factory=list)


def build_rows(
    connection: Connection, talks: Sequence[Conversation], file: str, session: ImportSession
) -> ConversationRows:
    """Return the rows of a batch of talks from one file."""
    gathered = ConversationRows()
    about = SubjectFinder(connection, talks, session, file)
    book = CallNumbers(connection, talks)
    for talk in talks:
        subject = about.find(talk)
        if isinstance(subject, Refusal):
            gathered.refused.append(subject)
            continue
        before = book.new
        gathered.rows += [*subject.rows, *_chain(talk, subject, book, session)]
        is_new = book.new > before if talk.turns else subject.new
        gathered.new, gathered.known = gathered.new + is_new, gathered.known + (not is_new)
        if left := _left(talk, subject):
            gathered.left[left] += 1
    return gathered


def _left(talk: Conversation, subject: ConversationSubject) -> str | None:
    """Who has still to do with a talk: a stage, or a word for why none has."""
    if subject.kind is None:
        return "no_question"
    if not talk.turns:
        return "transform" if subject.kind == "transform" else "predict"
    return None


# Answers -------------------------------------------------------------------------------------


class CallNumbers:
    """Which call of a prompt an answer is the answer of."""

    def __init__(self, connection: Connection, talks: Sequence[Conversation]) -> None:
        self.new = 0
        self._texts: dict[str, dict[int, str | None]] = defaultdict(dict)
        names = {prompt_digest(step.messages) for talk in talks for step in talk.turns}
        found = connection.execute(
            select(prompts.c.digest, calls.c.sample_no, responses.c.text)
            .join(calls, calls.c.prompt_id == prompts.c.id)
            .outerjoin(responses, responses.c.call_id == calls.c.id)
            .where(in_values(connection, prompts.c.digest, names), calls.c.pinned_teacher_id == 0)
        )
        for name, number, text in found:
            self._texts[name][number] = text

    def sample_no(self, name: str, answer: str) -> int:
        """The sample number of an answer to the prompt with this digest."""
        texts = self._texts[name]
        for number in sorted(texts):
            if texts[number] == answer:
                return number
        free = next((n for n in sorted(texts) if texts[n] is None), None)
        number = free if free is not None else max(texts, default=-1) + 1
        texts[number] = answer
        self.new += 1
        return number


def _chain(
    talk: Conversation, subject: ConversationSubject, book: CallNumbers, session: ImportSession
) -> list[NewRow]:
    """The rows of a talk, turn by turn."""
    rows: list[NewRow] = []
    teacher = imported_teacher(talk.model)
    earlier: NewRow | None = None
    first: NewRow | None = None
    revised = ("", 0, "")
    for place, step in enumerate(talk.turns, 1):
        asked = new_prompt(step.messages, IMPORTED)
        number = book.sample_no(asked.values["digest"], step.answer)
        call = NewRow(calls, {"prompt_id": asked, "sample_no": number, "pinned_teacher_id": 0})
        answer = _response(step, call, teacher)
        rows.append(answer)
        if step.verdict and subject.kind not in (None, "transform"):
            rows.append(_verdict(answer, step.verdict, session.variant_id))
        if subject.kind and subject.is_known:
            about = subject.digest_key if place == 1 else revision_digest(*revised, 0)
            columns = {"revises_response_id": earlier, "chain_response_id": first}
            why = new_turn(asked, subject.kind, place, about, **subject.columns, **columns)
            revised = (why.values["digest"], number, session.any_digest)
            rows.append(why)
        earlier, first = answer, first or answer
    if subject.make_sample and first is not None:
        rows += _parsed(talk, first, subject)
    return rows


def imported_teacher(model: str) -> NewRow:
    """Whoever gave an imported answer."""
    named = teacher_digest("imported", model, "", {})
    row = {"digest": named, "backend": "imported", "model": model, "base_url": ""}
    return NewRow(teachers, row | {"parameters": canonical_json({})})


def _response(step: AnsweredTurn, call: NewRow, teacher: NewRow) -> NewRow:
    return NewRow(
        responses,
        {
            "call_id": call,
            "teacher_id": teacher,
            "finish_reason": step.finish_reason,
            "n_chars": len(step.answer),
            "created_at": utc_now(),
            "text": step.answer,
            "reasoning": step.reasoning,
        },
    )


def _verdict(answer: NewRow, verdict: tuple[str, str], variant_id: int) -> NewRow:
    values = {"response_id": answer, "checker": "imported", "variant_id": variant_id}
    values |= {"status": verdict[0], "mismatch": None, "execution_id": None}
    values |= {"created_at": utc_now(), "predicted": None, "got": None}
    return NewRow(verdicts, values | {"feedback": clean_text(verdict[1])})


def _parsed(talk: Conversation, answer: NewRow, subject: ConversationSubject) -> list[NewRow]:
    """The sample of a transform answer whose raw file nobody knows: no stage would parse it."""
    found = sections.parse_sections(talk.turns[0].answer)
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
