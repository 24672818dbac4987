"""What is said to a teacher: templates with places to fill, and the way back to the parts.

Decisions. A template is Markdown with `{{name}}` places, filled in one pass, so that a value which
looks like a place stays as it is. A place alone in a fence gets a fence longer than any run of
backticks in its value, so every value can be taken out again exactly as it went in: `parts` does
so by the headings, for teachers that are programs. The whole file is one user message. The shared
parts stand first and what differs last, because providers charge little for a repeated beginning.
"""

from __future__ import annotations

import functools
import importlib.resources
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from annoy_store.errors import UsageError
from annoy_store.hashing import digest

HEADINGS = {
    "Source File": "code",
    "Problem": "problem",
    "Input and Output": "io",
    "Reference Code": "code",
    "Given Input": "input",
    "Given Output": "output",
    "Feedback": "feedback",
}
OPTIONAL_VALUES = frozenset({"problem", "io", "code"})  # to ask with less, as ablations do

_PLACE = re.compile(
    r"^(?P<fence>`{3,})(?P<language>[a-z]*)\n\{\{(?P<fenced>\w+)\}\}\n(?P=fence)$"
    r"|\{\{(?P<bare>\w+)\}\}",
    re.MULTILINE,
)
_FENCE = re.compile(r"(`{3,})[a-z]*$")


@dataclass(frozen=True)
class Template:
    """A text with places; equal texts have equal digests, whatever they are called."""

    name: str
    digest: str
    body: str

    @functools.cached_property
    def placeholders(self) -> frozenset[str]:
        """The names of the values that it takes."""
        return frozenset(m["fenced"] or m["bare"] for m in _PLACE.finditer(self.body))

    def render(self, **values: str) -> list[dict[str, str]]:
        """Return the messages to send.

        Raises UsageError for a place without a value, and for a value without a place unless it is
        one of `MAY_BE_LEFT_OUT` and another value has one.
        """
        if unknown := self.placeholders - values.keys():
            raise UsageError(f"template {self.name} has {_list(unknown)}; use {_list(values)}")
        unused = values.keys() - self.placeholders
        if unused - OPTIONAL_VALUES or not self.placeholders:
            raise UsageError(f"template {self.name} lacks {_list(unused)}; add it")
        content = _PLACE.sub(lambda place: _filled(place, values), self.body)
        return [{"role": "user", "content": content}]


@functools.cache
def load_template(name_or_text: str) -> Template:
    """Return the bundled template of this name; what has a line break is itself the template.

    Raises UsageError if there is no such template.
    """
    if "\n" in name_or_text:
        return _template("custom", name_or_text)
    if name_or_text not in bundled_templates():
        raise UsageError(
            f"no template {name_or_text!r}; bundled are {', '.join(bundled_templates())}, or give @FILE"
        )
    return _template(name_or_text, _folder().joinpath(f"{name_or_text}.md").read_text("utf-8"))


def bundled_templates() -> list[str]:
    """Return the names of the templates that come with this package."""
    names = (entry.name for entry in _folder().iterdir())
    return sorted(name.removesuffix(".md") for name in names if name.endswith(".md"))


def extract_values(messages: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what went into the messages of a chain, exactly as it was.

    Keys: `code problem io input output`, as far as they were asked with, from the first message;
    then for each earlier turn N `answer_N` and `feedback_N`. What was said to a template without
    our headings and fences is not found.
    """
    found: dict[str, str] = {}
    turn = 0
    for message in messages:
        if message["role"] == "assistant":
            turn += 1
            found[f"answer_{turn}"] = message["content"]
        elif message["role"] == "user":
            for name, value in _headed_fences(message["content"]):
                found.setdefault(f"feedback_{turn}" if name == "feedback" else name, value)
    return found


def fenced_block(value: str, language: str = "") -> str:
    """Return `value` in a fence that nothing in it can close."""
    longest = max(map(len, re.findall("`+", value)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{value}\n{fence}"


def _template(name: str, text: str) -> Template:
    body = text.replace("\r\n", "\n").strip("\n")
    return Template(name, digest("template", body), body)


def _folder() -> importlib.resources.abc.Traversable:
    return importlib.resources.files(__package__).joinpath("templates")


def _filled(place: re.Match[str], values: Mapping[str, str]) -> str:
    if place["fenced"]:
        return fenced_block(values[place["fenced"]], place["language"])
    return values[place["bare"]]


def _list(names: Sequence[str] | Mapping[str, str] | frozenset[str] | set[str]) -> str:
    return " ".join(f"{{{{{name}}}}}" for name in sorted(names)) or "no place to fill"


def _headed_fences(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and content of the first fence under each of our headings."""
    lines = iter(text.split("\n"))
    name = None
    for line in lines:
        fence = _FENCE.match(line)
        if line.startswith("## "):
            name = HEADINGS.get(line[3:])
        elif fence:
            held = "\n".join(itertools.takewhile(fence[1].__ne__, lines))
            if name:
                yield name, held
            name = None
