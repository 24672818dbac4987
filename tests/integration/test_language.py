"""Texts are in plain technical English: phrases for which the field has a standard term are absent.

Checked are the README, the help of every command, pages, and the strings and comments of the code.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import commands

CHECKOUT = Path(__file__).parents[2]
# A phrase to avoid, and the term to use.
PHRASES = {
    "turned down": "rejected",
    "turns down": "rejects",
    "hand in": "submit",
    "hands in": "submits",
    "handed in": "submitted",
    "handed out": "assigned",
    "taken in": "collected, imported",
    "takes in": "collects, imports",
    "what is out": "open batches",
    "what waits": "pending calls",
    "waits to be asked": "pending",
    "in hand": "in progress",
    "take up again": "retry",
    "takes up again": "retries",
    "taken up again": "retried",
    "made good": "recovered",
    "aside until its bill": "reserves the maximum cost until actual usage is known",
    "under a fence": "with a fencing token",
    "late zombie": "stale worker",
    "named by a digest": "keyed by a content hash",
    "another world": "a different hash seed, random seed and clock",
    "restless": "nondeterministic",
    "rung": "isolation level",
    "rungs": "isolation levels",
    "know the house": "know the code base",
    "floors": "layers",
    "answers nobody": "rejected the request, could not be reached",
    "is at it now": "no active workers",
    "how it stands": "overview",
    "how answers are wrong": "error types",
    "the table behind it": "show data",
    "that is not there": "page not found",
    "not answered right": "incorrect",
    "let go": "released",
    "lets go": "releases",
    "search for the limit": "adaptive concurrency",
    "another draw": "sampling seed",
    "take raw code": "ingest raw code",
    "ask the store anything": "run a read-only SQL query",
    "look after": "manage",
    "looks after": "manages",
    "tell differently": "changed",
    "take over what another": "merge another store into this one",
    "shares with benchmarks": "benchmark contamination",
    "lying bars": "horizontal bars",
    "pen": "SVG helpers",
    "desk": "job manager",
    "hands": "resources",
    "purse": "budget share",
    "clerk": "batch client",
    "roster": "worker status",
    "the gate": "request limiter, prefix-cache gate",
    "vanguard": "prefix-cache gate",
    "the worst case aside": "reserves the maximum cost",
    "settles under": "commits with a fencing token",
    "late zombies": "stale workers",
    "house": "code base",
    "rows were turned down": "rejection reasons",
    "made good by": "recovered by",
    "in SQL, reading only": "run a read-only SQL query",
    "versions of the judging": "two checker versions",
    "what another store has": "merge another store",
    "what the store shares": "benchmark contamination",
    "takes no neighbour": "is retried alone",
    "worked on, and what follows": "processed; follow-up calls are submitted",
    "comes again even there": "matches there",
    "needs the room of": "temporarily needs disk space for",
    "standing bars": "vertical bars",
}
PATTERN = re.compile(rf"\b({'|'.join(map(re.escape, PHRASES))})\b", re.IGNORECASE)
# Data, whose bytes are hashed or exported, and released migrations.
DATA = (
    "annoy_store/demo/",
    "annoy_store/inference/backends/tracer/",
    "annoy_store/prompts/templates/",
    "annoy_store/sandbox/runner.py",
    "annoy_store/tasks/feedback.py",
    "migrations/versions/",
)
TEXTS = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def phrases(text: str) -> list[str]:
    """The phrases to avoid in a text, each with what stands around it."""
    text = " ".join(re.sub(r"\s#", " ", text).split())
    return [
        f"{found[0]!r} (write: {PHRASES[found[0].lower()]}) in "
        f"'..{text[max(0, found.start() - 40) : found.end() + 40]}..'"
        for found in PATTERN.finditer(text)
    ]


def _texts(path: Path) -> str:
    """The strings and comments of a Python file, one after the other; other files as they are."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return re.sub(r"<!--|-->|\{[%#{].*?[%#}]\}", "\n|\n", source)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    kept: list[str] = []
    before = tokenize.COMMENT
    for token in tokens:
        if token.type in TEXTS:
            kept += [" " if token.type == before else " | ", _text(token)]
        if token.type not in (tokenize.NL, tokenize.NEWLINE):
            before = token.type
    return "".join(kept)


def _text(token: tokenize.TokenInfo) -> str:
    """A comment or string without what is code: keys, and expressions in f-strings."""
    if re.fullmatch(r"""["']\w+["']""", token.string):
        return ""
    return re.sub(r"\{[^{}]*\}", "", token.string)


def _files() -> Iterator[str]:
    yield "README.md"
    for folder in (".github", "annoy_store", "commands", "migrations"):
        for path in sorted((CHECKOUT / folder).rglob("*")):
            name = path.relative_to(CHECKOUT).as_posix()
            is_text = path.suffix in (".css", ".html", ".js", ".md", ".py", ".sql", ".yml")
            if is_text and not name.startswith(DATA):
                yield name


@pytest.mark.parametrize(
    "folder", ["README.md", ".github", "annoy_store", "commands", "migrations"]
)
def test_texts_use_standard_terms(folder: str) -> None:
    found = {
        name: wrong
        for name in _files()
        if name.startswith(folder) and (wrong := phrases(_texts(CHECKOUT / name)))
    }
    assert not found, "\n".join(f"{name}: {one}" for name, all in found.items() for one in all)


def test_buttons_are_verbs_of_the_trade() -> None:
    buttons = {
        words.strip().lower()
        for path in (CHECKOUT / "annoy_store").rglob("*.html")
        for words in re.findall(r"<button[^>]*>([^<]*)", path.read_text(encoding="utf-8"))
    }
    assert buttons
    assert not buttons & {"look", "ask"}  # Filter, Run


def _help(command: click.Command, words: list[str]) -> Iterator[str]:
    result = CliRunner().invoke(commands.annoy, [*words, "--help"], prog_name="annoy")
    assert result.exit_code == 0, result.output
    yield result.stdout
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            child = command.get_command(click.Context(command), name)
            assert child is not None
            yield from _help(child, [*words, name])


@pytest.mark.parametrize("name", commands.names())
def test_help_uses_standard_terms(name: str) -> None:
    command = commands.annoy.get_command(click.Context(commands.annoy), name)
    assert command is not None
    for text in _help(command, [name]):
        assert phrases(text) == []


def test_help_of_a_command_begins_with_a_verb() -> None:
    nouns = {"a", "all", "an", "answers", "each", "every", "how", "the", "this", "what"}
    first = {name: commands.short_help(name).split()[0] for name in commands.names()}
    assert {name: word for name, word in first.items() if word.lower() in nouns} == {}
    assert all(word[0].isupper() for word in first.values())
