"""What talks are about: which sample and pair, or which raw file, found by content.

Decisions
- A question tells its sample by the texts in it and its pair by the value in it; row numbers
  (`itemid`) are only believed where the text is of no known form, and then the problem has to
  stand in the question.
- A pair that no file told is made of a right answer: its execution tells whether it holds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from annoy_store.db.sql import in_values
from annoy_store.db.tables import io_pairs, origins, samples, sources
from annoy_store.db.timestamps import utc_now
from annoy_store.hashing import clean_text
from annoy_store.ingest.codeio.conversations import Conversation
from annoy_store.ingest.codeio.questions import Question, given_value, shows_value
from annoy_store.ingest.codeio.samples import RecordedPair, new_pair, recorded_pair
from annoy_store.ingest.record_files import Refusal
from annoy_store.ingest.sources import LANGUAGES
from annoy_store.interfaces import NewRow
from annoy_store.parsing import final_answer
from annoy_store.parsing.json_values import UnsupportedValue
from annoy_store.records.digests import origin_digest, pair_digest, prompt_digest, source_digest
from annoy_store.records.samples import FUNCNAME, new_origin, new_sample

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
    """What one import knows besides the store: constants, and what earlier files said.

    `by_row` has the sample digests of each file of functions by row number, `by_index` the
    prompt digests of transform answers, `asked` the lines of batches by custom_id.
    """

    variant_id: int
    any_digest: str
    samples_by_row: list[list[str | None]] = field(default_factory=list)
    prompts_by_index: dict[int, str] = field(default_factory=dict)
    batch_requests: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    sources_by_blob_id: dict[str, tuple[int, str]] | None = None


@dataclass(frozen=True)
class ConversationSubject:
    """What a talk's turns are about: kind, digest and columns of the first turn, rows to go along.

    `kind` is None for a question of no known form: its answers are kept without a turn.
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
        """True when a stage can take up answers about it."""
        return self.kind == "transform" or self.columns.get("io_pair_id") is not None


class SubjectFinder:
    """Finds out what the talks of one batch are about, with a few queries for all of them."""

    def __init__(
        self,
        connection: Connection,
        talks: Sequence[Conversation],
        session: ImportSession,
        file: str,
    ) -> None:
        self._session, self._file = session, file
        self._named = {id(talk): self._sample_names(talk) for talk in talks}
        names = {name for named in self._named.values() for name in named}
        self._samples = _samples(connection, names)
        self._pairs = _pairs(connection, self._samples)
        raw = [t.question.code for t in talks if t.question and t.question.kind == "transform"]
        self._sources = _sources(connection, raw)

    def find(self, talk: Conversation) -> ConversationSubject | Refusal:
        """What a talk is about, or why nobody can tell."""
        if talk.kind == "transform":
            return self._transform(talk)
        if talk.kind is None:
            return ConversationSubject(None, "", {}, self._file)
        return self._prediction(talk)

    def _transform(self, talk: Conversation) -> ConversationSubject:
        if talk.question is None or not talk.question.code.strip():
            about = prompt_digest(talk.turns[0].messages) if talk.turns else ""
            return ConversationSubject("transform", about, {}, self._file, make_sample=True)
        content = clean_text(talk.question.code)
        known = self._sources.get(content)
        if known is not None:
            return ConversationSubject("transform", known[1], {"source_id": known[0]}, self._file)
        source, origin = _new_source(content, self._file)
        name = source.values["digest"]
        return ConversationSubject(
            "transform", name, {"source_id": source}, self._file, (origin,), new=True
        )

    def _sample_names(self, talk: Conversation) -> list[str]:
        """The digests of the samples that a talk may be about, the likeliest first."""
        if talk.kind in (None, "transform"):
            return []
        if talk.question is not None and talk.question.code:
            return [str(_sample_of(talk.question).values["digest"])]
        row = talk.row_numbers.get("itemid", -1)
        listed = (rows[row] for rows in self._session.samples_by_row if 0 <= row < len(rows))
        return [name for name in listed if name]

    def _prediction(self, talk: Conversation) -> ConversationSubject | Refusal:
        question = talk.question
        for name in self._named[id(talk)]:
            known = self._samples.get(name)
            if known is not None and (
                (question and question.code) or known[1] in talk.first_question
            ):
                return self._with_pair(talk, name, known[0], ())
        if question is None or not question.code:
            row = talk.row_numbers.get("itemid")
            detail = f"it asks about row {row} of a file of functions; import that file with it"
            return Refusal("no_partner", talk.location, detail)
        sample = _sample_of(question)
        name = str(sample.values["digest"])
        origin = new_origin(sample, self._file, origin=self._file)
        self._samples[name] = (sample, question.problem)
        return self._with_pair(talk, name, sample, (origin,))

    def _with_pair(
        self, talk: Conversation, name: str, sample: NewRow | int, rows: tuple[NewRow, ...]
    ) -> ConversationSubject:
        assert talk.kind is not None
        pairs = self._pairs[name]
        pair = _matching(talk, pairs)
        if pair is None and (made := _made(talk, [p.position for p in pairs])):
            pair = KnownPair(new_pair(sample, made), made.position, *_texts(made))
            pairs.append(pair)
            assert isinstance(pair.row, NewRow)
            rows = (*rows, pair.row)
        about = pair_digest(name, pair.input_digest) if pair else ""
        columns = {"io_pair_id": pair.row if pair else None, "sample_id": sample}
        return ConversationSubject(talk.kind, about, columns, self._file, rows, new=bool(rows))


def _texts(pair: RecordedPair) -> tuple[str, str, str]:
    return pair.input, pair.output, pair.input_digest


def _sample_of(question: Question) -> NewRow:
    return new_sample(
        clean_text(question.code),
        FUNCNAME,
        clean_text(question.problem),
        clean_text(question.io),
        None,
    )


def _matching(talk: Conversation, pairs: Sequence[KnownPair]) -> KnownPair | None:
    """The pair that a talk asks about: by the value shown, else by its place in the file."""
    place = talk.row_numbers.get("ioid", -1)
    if talk.question is None:
        return next((pair for pair in pairs if pair.position == place), None)
    shown = "output" if talk.kind == "predict_input" else "input"
    fits = [pair for pair in pairs if shows_value(talk.question, getattr(pair, shown))]
    return min(fits, key=lambda p: (p.position != place, p.position)) if fits else None


def _made(talk: Conversation, taken: Sequence[int]) -> RecordedPair | None:
    """The pair that a right answer tells, at the place it has in the file or the next free one."""
    right = [s for s in talk.turns if s.verdict and s.verdict[0] == "correct"]
    given = given_value(talk.question) if talk.question else None
    if not right or given is None:
        return None
    wanted = "output" if talk.kind == "predict_output" else "input"
    answer = final_answer.find_final_answer(right[-1].answer, wanted)
    if answer is None:
        return None
    values = (given.value, answer.value) if wanted == "output" else (answer.value, given.value)
    place = talk.row_numbers.get("ioid", -1)
    place = place if place >= 0 and place not in taken else max(taken, default=-1) + 1
    try:
        return recorded_pair(place, *values) if isinstance(values[0], dict) else None
    except (UnsupportedValue, TypeError):
        return None


def _new_source(content: str, file: str) -> tuple[NewRow, NewRow]:
    name = source_digest("python", content)
    source = NewRow(
        sources,
        {
            "digest": name,
            "language": "python",
            "n_chars": len(content),
            "created_at": utc_now(),
            "content": content,
        },
    )
    where = {"origin": clean_text(file), "repo": "", "path": "", "licence": "", "metadata": "{}"}
    named = origin_digest(name, where)
    return source, NewRow(origins, {"digest": named, "source_id": source, **where})


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
    """Id and digest of the sources with these contents, whatever their language."""
    by_digest = {
        source_digest(language, clean_text(content)): clean_text(content)
        for content in contents
        for language in _LANGUAGES
    }
    chosen = select(sources.c.digest, sources.c.id)
    rows = connection.execute(chosen.where(in_values(connection, sources.c.digest, by_digest)))
    return {by_digest[name]: (key, name) for name, key in rows}
