"""The content digest of each kind of row.

Decision: the code that writes a row and the code that checks it (`annoy check`) call the same
function. What a digest may cover is decided in hashing.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annoy_store.hashing import canonical_json, digest

ORIGIN_COLUMNS = ("origin", "repo", "path", "licence", "metadata")
ATTEMPT_COLUMNS = (
    "started_at",
    "status",
    "error_class",
    "http_status",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "model",
)
ANNOTATION_COLUMNS = (
    "kind",
    "root",
    "subject",
    "mark",
    "value",
    "is_set",
    "author",
    "created_at",
)
SAMPLE_COLUMNS = ("refcode", "funcname", "problem_statement", "io_requirements", "input_generator")


def source_digest(language: str, content: str) -> str:
    """Return the digest of a source; both texts as they are stored.

    Args:
        language: Language of the source, in lower case.
        content: Its text.
    """
    return digest("source", language, content)


def origin_digest(source: str, row: Mapping[str, Any]) -> str:
    """Return the digest of an origin.

    Args:
        source: the digest of its source.
        row: the columns `ORIGIN_COLUMNS`.
    """
    return digest("origin", source, *(row[name] for name in ORIGIN_COLUMNS))


def prompt_digest(messages: Sequence[Mapping[str, str]]) -> str:
    """Return the digest of a prompt: of its messages alone, whatever template they come from."""
    return digest("prompt", list(messages))


def teacher_digest(backend: str, model: str, base_url: str, parameters: Mapping[str, Any]) -> str:
    """Return the digest of a teacher; arguments as in `TeacherIdentity`.

    Args:
        backend: Name of the backend, e.g. `openai`.
        model: Model as the endpoint knows it.
        base_url: URL of the endpoint; empty for programs.
        parameters: Sampling parameters by name.
    """
    return digest("teacher", backend, model, base_url, canonical_json(dict(parameters)))


def sample_digest(row: Mapping[str, Any]) -> str:
    """Return the digest of a sample: of the columns `SAMPLE_COLUMNS`."""
    return digest("sample", *(row[name] for name in SAMPLE_COLUMNS))


def sample_origin_digest(sample: str, about: str) -> str:
    """Return the digest of a sample's origin.

    Args:
        sample: the digest of the sample.
        about: the digest of its source, or the name of its origin.
    """
    return digest("sample_origin", sample, about)


def input_digest(value: Any) -> str:
    """Return the digest of an input: a dict of keyword arguments, whatever their order."""
    return digest("input", value)


def pair_digest(sample: str, given: str) -> str:
    """Return the `about` digest of a turn about an I/O pair, from those of its sample and input.

    Args:
        sample: Digest of the sample.
        given: Digest of the pair's input.
    """
    return digest("pair", sample, given)


def turn_digest(prompt: str, kind: str, number: int, about: str) -> str:
    """Return the digest of a turn.

    Args:
        prompt: the digest of its prompt.
        kind: the kind of the turn.
        number: its number in the chain, from 1.
        about: the digest of what it is about.
    """
    return digest("turn", prompt, kind, number, about)


def revision_digest(turn: str, sample_no: int, pinned_teacher: str, index: int) -> str:
    """Return the `about` digest of a turn that revises an answer.

    Args:
        turn: the digest of the turn that is revised.
        sample_no: the number of the revised answer.
        pinned_teacher: the digest of the teacher that its call was pinned to.
        index: counts the chains that share the revised answer, from 0.
    """
    return digest("revision", turn, sample_no, pinned_teacher, index)


def takedown_digest(row: Mapping[str, Any], earlier: int) -> str:
    """Return the digest of a takedown rule.

    Args:
        row: its kind, value, reason and creation time.
        earlier: how many rules of the same kind and value were made and lifted before it.
    """
    names = ("kind", "value", "why", "created_at")
    return digest("takedown", *(row[name] for name in names), earlier)


def text_digest(content: str) -> str:
    """Return the digest by which the text of purged code is refused, whatever it is stored as."""
    return digest("text", content.strip())


def response_digest(row: Mapping[str, Any]) -> str:
    """Return the digest of an answer: of its text, its reasoning and why it ended."""
    return digest("response", row["finish_reason"], row["text"], row["reasoning"])


def attempt_digest(row: Mapping[str, Any]) -> str:
    """Return the digest of an attempt: when it was made, how it ended, and its usage.

    The error message, which a purge blanks, and the worker, which a merge changes, are left out.
    """
    latency = float(row["latency_ms"])
    return digest("attempt", latency, *(row[name] for name in ATTEMPT_COLUMNS))


def annotation_digest(row: Mapping[str, Any]) -> str:
    """Return the digest of a mark that was set or removed: of the columns `ANNOTATION_COLUMNS`."""
    return digest("annotation", *(row[name] for name in ANNOTATION_COLUMNS))
