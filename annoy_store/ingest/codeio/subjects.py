"""Determine what conversations are about, by content: a sample and pair, or a raw file.

Decisions
- A question identifies its sample by the texts in it and its pair by the value in it; row numbers
  (`itemid`) are used only where the text is of no known form, and then the problem statement has to
  occur in the question.
- A pair that no file contains is made of a right answer: its execution tells whether it holds. A
  question about an output needs none: its code is run (run_inputs.py). That is also done where a
  right answer has a number with a fraction, which may be right within the tolerance only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from annoy_store.db.hidden import has_rules, known_purged
from annoy_store.db.sql import in_values
from annoy_store.db.tables import io_pairs, prompts, samples, sources
from annoy_store.db.timestamps import utc_now
from annoy_store.hashing import clean_text
from annoy_store.ingest.codeio.conversations import Conversation
from annoy_store.ingest.codeio.questions import ImportedQuestion, given_value, shows_value
from annoy_store.ingest.codeio.samples import RecordedPair, new_pair, recorded_pair
from annoy_store.ingest.purged import purged_refusal
from annoy_store.ingest.record_files import Refusal
from annoy_store.ingest.sources import LANGUAGES
from annoy_store.interfaces import NewRow
from annoy_store.parsing import final_answer, json_values
from annoy_store.parsing.json_values import UnsupportedValue
from annoy_store.records.digests import pair_digest, prompt_digest, source_digest, text_digest
from annoy_store.records.samples import FUNCNAME, new_origin, new_sample
from annoy_store.records.sources import new_source, new_source_origin

_LANGUAGES = sorted({"python", *LANGUAGES.values()})


class KnownPair(NamedTuple):
    """A pair that the store or this batch has: its row, and its values as JSON texts."""

    row: NewRow | int
    position: int
    input: str
    output: str
    input_digest: str


@dataclass
class ImportSession:
    """State of one import: constants of the store, and references of earlier files.

    Attributes:
        variant_id: The variant `import` of imported rows.
        any_digest: Digest of the teacher that stands for any teacher.
        samples_by_row: Sample digests of each file of functions, by row number.
        prompts_by_index: Prompt digests of transform answers, by `index`.
        batch_requests: Lines of batch input files, by `custom_id`.
        sources_by_blob_id: Id and digest of sources by `blob_id`; None until first needed.
        waiting_functions: Functions without their transform answer, by the digest of their code;
            None until first needed.
        inputs_to_run: Inputs of output questions without a pair, by digest of the sample and of
            the input; their outputs are not known, and a position below 0 is none.
        unanswered: Stage that asks each question without an answer, by prompt digest.
        positions: Positions of the pairs that questions without a known pair are about, by digest
            of the first prompt.
        last_prompts: Digests of the last prompts of those questions' conversations.
        is_linking: Whether all rows of the import are in the store.
    """

    variant_id: int
    any_digest: str
    samples_by_row: list[list[str | None]] = field(default_factory=list)
    prompts_by_index: dict[int, str] = field(default_factory=dict)
    batch_requests: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    sources_by_blob_id: dict[str, tuple[int, str]] | None = None
    waiting_functions: dict[str, list[dict[str, Any]]] | None = None
    inputs_to_run: dict[tuple[str, str], RecordedPair] = field(default_factory=dict)
    unanswered: dict[str, str] = field(default_factory=dict)
    positions: dict[str, set[int]] = field(default_factory=dict)
    last_prompts: set[str] = field(default_factory=set)
    is_linking: bool = False

    def run_later(self, sample: str, asked: RecordedPair) -> None:
        """Collect an input to run; a question that tells its position goes before others."""
        known = self.inputs_to_run.get((sample, asked.input_digest))
        if known is None or known.position < 0:
            self.inputs_to_run[sample, asked.input_digest] = asked


@dataclass(frozen=True)
class ConversationSubject:
    """What the turns of a conversation are about.

    Attributes:
        kind: Kind of question; None for one of no known form, whose answers are kept without a
            turn.
        digest_key: Digest that identifies the subject in the first turn's digest.
        columns: Columns of the turns that refer to the subject.
        origin: Name of the file.
        rows: Rows to insert with it.
        new: True if the subject is not in the store yet.
        make_sample: True if the sample has to be parsed from the answer.
    """

    kind: str | None
    digest_key: str
    columns: Mapping[str, Any]
    origin: str
    rows: tuple[NewRow, ...] = ()
    new: bool = False
    make_sample: bool = False

    @property
    def is_known(self) -> bool:
        """True when a stage can process answers about it."""
        return self.kind == "transform" or self.columns.get("io_pair_id") is not None


class SubjectFinder:
    """Finds the subjects of one batch of conversations with a few queries."""

    def __init__(
        self,
        connection: Connection,
        conversations: Sequence[Conversation],
        session: ImportSession,
        file: str,
    ) -> None:
        self._session, self._file = session, file
        self._named = {id(each): self._sample_names(each) for each in conversations}
        names = {name for named in self._named.values() for name in named}
        self._samples = _samples(connection, names)
        self._pairs = _pairs(connection, self._samples)
        raw = [
            t.question.code for t in conversations if t.question and t.question.kind == "transform"
        ]
        self._sources = _sources(connection, raw)
        self._purged = _purged(connection, conversations, names)

    def find(self, conversation: Conversation) -> ConversationSubject | Refusal:
        """Return what a conversation is about, or why it is refused."""
        if self._purged.intersection(_contents(conversation)):
            return purged_refusal(conversation.location)
        if conversation.kind == "transform":
            return self._transform(conversation)
        if conversation.kind is None:
            return ConversationSubject(None, "", {}, self._file)
        return self._prediction(conversation)

    def _transform(self, conversation: Conversation) -> ConversationSubject:
        if conversation.question is None or not conversation.question.code.strip():
            about = prompt_digest(conversation.turns[0].messages) if conversation.turns else ""
            return ConversationSubject("transform", about, {}, self._file, make_sample=True)
        content = clean_text(conversation.question.code)
        known = self._sources.get(content)
        if known is not None:
            return ConversationSubject("transform", known[1], {"source_id": known[0]}, self._file)
        source = new_source("python", content, utc_now())
        origin = new_source_origin(source, clean_text(self._file))
        name = source.values["digest"]
        return ConversationSubject(
            "transform", name, {"source_id": source}, self._file, (origin,), new=True
        )

    def _sample_names(self, conversation: Conversation) -> list[str]:
        """The digests of the samples that a conversation may be about, the most likely first."""
        if conversation.kind in (None, "transform"):
            return []
        if conversation.question is not None and conversation.question.code:
            return [str(_sample_of(conversation.question).values["digest"])]
        row = conversation.row_numbers.get("itemid", -1)
        listed = (rows[row] for rows in self._session.samples_by_row if 0 <= row < len(rows))
        return [name for name in listed if name]

    def _prediction(self, conversation: Conversation) -> ConversationSubject | Refusal:
        question = conversation.question
        named = self._named[id(conversation)]
        for name in named:
            if name in self._purged:
                continue
            known = self._samples.get(name)
            if known is not None and (
                (question and question.code) or known[1] in conversation.first_question
            ):
                return self._with_pair(conversation, name, known[0], ())
        if self._purged.intersection(named):
            return purged_refusal(conversation.location)
        if question is None or not question.code:
            row = conversation.row_numbers.get("itemid")
            detail = f"it refers to row {row} of a file of functions; import that file too"
            return Refusal("no_partner", conversation.location, detail)
        sample = _sample_of(question)
        name = str(sample.values["digest"])
        origin = new_origin(sample, self._file, origin=self._file)
        self._samples[name] = (sample, question.problem)
        return self._with_pair(conversation, name, sample, (origin,))

    def _with_pair(
        self,
        conversation: Conversation,
        sample_name: str,
        sample: NewRow | int,
        rows: tuple[NewRow, ...],
    ) -> ConversationSubject:
        assert conversation.kind is not None
        pairs = self._pairs[sample_name]
        pair = _matching(conversation, pairs)
        if pair is not None and not self._session.is_linking and _may_come(conversation, pairs):
            pair = None
        elif pair is None and (made := _made(conversation, [p.position for p in pairs])):
            pair = KnownPair(new_pair(sample, made), made.position, *_texts(made))
            pairs.append(pair)
            assert isinstance(pair.row, NewRow)
            rows = (*rows, pair.row)
        if pair is None and (asked := _asked_input(conversation)):
            self._session.run_later(sample_name, asked)
        about = pair_digest(sample_name, pair.input_digest) if pair else ""
        columns = {"io_pair_id": pair.row if pair else None, "sample_id": sample}
        return ConversationSubject(
            conversation.kind, about, columns, self._file, rows, new=bool(rows)
        )


def _texts(pair: RecordedPair) -> tuple[str, str, str]:
    return pair.input, pair.output, pair.input_digest


def _contents(conversation: Conversation) -> list[str]:
    """The digests of the code and of the prompts that a conversation holds."""
    code = conversation.question.code if conversation.question else ""
    texts = [text_digest(clean_text(code))] if code.strip() else []
    return texts + [prompt_digest(turn.messages) for turn in conversation.turns]


def _purged(
    connection: Connection, conversations: Sequence[Conversation], names: Iterable[str]
) -> set[str]:
    """The digests of samples, codes and prompts of conversations whose texts were purged."""
    if not has_rules(connection):
        return set()
    held = [digest for each in conversations for digest in _contents(each)]
    found = known_purged(connection, "sample", list(names))
    found |= known_purged(connection, "text", held)
    blank = select(prompts.c.digest).where(
        in_values(connection, prompts.c.digest, set(held)), prompts.c.messages == "[]"
    )
    return found | set(connection.scalars(blank))


def _sample_of(question: ImportedQuestion) -> NewRow:
    return new_sample(
        clean_text(question.code),
        FUNCNAME,
        clean_text(question.problem),
        clean_text(question.io),
        None,
    )


def _matching(conversation: Conversation, pairs: Sequence[KnownPair]) -> KnownPair | None:
    """The pair that a conversation asks about: by the value shown, else by its position."""
    place = conversation.row_numbers.get("ioid", -1)
    if conversation.question is None:
        return next((pair for pair in pairs if pair.position == place), None)
    shown = "output" if conversation.kind == "predict_input" else "input"
    fits = [pair for pair in pairs if shows_value(conversation.question, getattr(pair, shown))]
    return min(fits, key=lambda p: (p.position != place, p.position)) if fits else None


def _may_come(conversation: Conversation, pairs: Sequence[KnownPair]) -> bool:
    """Whether the pair at the position that a question names is still missing.

    Pairs with equal outputs give equal questions; which of them is meant is decided at the end.
    """
    place = conversation.row_numbers.get("ioid", -1)
    return place >= 0 and all(pair.position != place for pair in pairs)


def _made(conversation: Conversation, used: Sequence[int]) -> RecordedPair | None:
    """The pair that a right answer contains, at its position in the file or the next free one."""
    right = [s for s in conversation.turns if s.verdict and s.verdict[0] == "correct"]
    given = given_value(conversation.question) if conversation.question else None
    if not right or given is None:
        return None
    wanted = "output" if conversation.kind == "predict_output" else "input"
    answer = final_answer.find_final_answer(right[-1].answer, wanted)
    if answer is None:
        return None
    if wanted == "output" and _has_fraction(answer.value):
        return None
    values = (given.value, answer.value) if wanted == "output" else (answer.value, given.value)
    place = conversation.row_numbers.get("ioid", -1)
    place = place if place >= 0 and place not in used else max(used, default=-1) + 1
    try:
        return recorded_pair(place, *values) if isinstance(values[0], dict) else None
    except (UnsupportedValue, TypeError):
        return None


def _has_fraction(value: Any) -> bool:
    return isinstance(value, float) or any(map(_has_fraction, json_values.children(value)))


def _asked_input(conversation: Conversation) -> RecordedPair | None:
    """The input of a question about an output, as a pair whose output is not known."""
    if conversation.kind != "predict_output" or conversation.question is None:
        return None
    given = given_value(conversation.question)
    try:
        place = conversation.row_numbers.get("ioid", -1)
        return recorded_pair(place, given.value, None) if given else None
    except (UnsupportedValue, TypeError):
        return None


def _samples(connection: Connection, names: Iterable[str]) -> dict[str, tuple[NewRow | int, str]]:
    chosen = select(samples.c.digest, samples.c.id, samples.c.problem_statement)
    rows = connection.execute(chosen.where(in_values(connection, samples.c.digest, set(names))))
    return {name: (key, problem) for name, key, problem in rows}


def _pairs(
    connection: Connection, known: Mapping[str, tuple[NewRow | int, str]]
) -> dict[str, list[KnownPair]]:
    names = {key: name for name, (key, _) in known.items()}
    found: dict[str, list[KnownPair]] = defaultdict(list)
    columns = (io_pairs.c.id, io_pairs.c.position, io_pairs.c.input, io_pairs.c.output)
    chosen = select(io_pairs.c.sample_id, *columns, io_pairs.c.input_digest)
    for sample_id, *pair in connection.execute(
        chosen.where(in_values(connection, io_pairs.c.sample_id, list(names)))
    ):
        found[names[sample_id]].append(KnownPair(*pair))
    return found


def _sources(connection: Connection, contents: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Id and digest of the sources with these contents, in any language."""
    by_digest = {
        source_digest(language, clean_text(content)): clean_text(content)
        for content in contents
        for language in _LANGUAGES
    }
    chosen = select(sources.c.digest, sources.c.id)
    rows = connection.execute(chosen.where(in_values(connection, sources.c.digest, by_digest)))
    return {by_digest[name]: (key, name) for name, key in rows}
