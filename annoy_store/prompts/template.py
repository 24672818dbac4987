"""Prompt templates: fills in placeholders, and extracts the values from messages again.

Decisions. A template is Markdown with `{{name}}` placeholders, substituted in one pass, so that a
value which looks like a placeholder stays as it is. A placeholder alone in a fence gets a fence
longer than any run of backticks in its value, so that every value can be extracted exactly as it
was filled in: `extract_values` does so by the headings, for teachers that are programs. The whole
file is one user message. Shared parts come first and what differs last, because providers charge
less for a repeated prefix.
"""

from __future__ import annotations

import functools
import importlib.resources
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from annoy_store.errors import UsageError, unknown_name
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
OPTIONAL_VALUES = frozenset({"problem", "io", "code"})  # templates of ablations may leave these out

_PLACEHOLDER = re.compile(
    r"^(?P<fence>`{3,})(?P<language>[a-z]*)\n\{\{(?P<fenced>\w+)\}\}\n(?P=fence)$"
    r"|\{\{(?P<bare>\w+)\}\}",
    re.MULTILINE,
)
_FENCE = re.compile(r"(`{3,})[a-z]*$")


@dataclass(frozen=True)
class Template:
    """A text with placeholders; equal texts have equal digests, whatever their names.

    Attributes:
        name: Name of a bundled template, or `custom`.
        digest: Digest of the body.
        body: The text.
    """

    name: str
    digest: str
    body: str

    @functools.cached_property
    def placeholders(self) -> frozenset[str]:
        """The names of the values that it takes."""
        return frozenset(m["fenced"] or m["bare"] for m in _PLACEHOLDER.finditer(self.body))

    def check(self, values: Collection[str]) -> None:
        """Check that the placeholders take the values that will be given.

        Args:
            values: The names of the values.

        Raises:
            UsageError: A placeholder has no value, or a value has no placeholder and is not one of
                `OPTIONAL_VALUES` beside another that has one.
        """
        if unknown := self.placeholders - set(values):
            raise UsageError(
                f"template {self.name} has unknown placeholders {_placeholder_list(unknown)}; "
                f"known are {_placeholder_list(set(values))}"
            )
        unused = set(values) - self.placeholders
        if unused - OPTIONAL_VALUES or not self.placeholders:
            raise UsageError(f"template {self.name} lacks {_placeholder_list(unused)}")

    def render(self, **values: str) -> list[dict[str, str]]:
        """Fill in the placeholders.

        Args:
            **values: Values by placeholder.

        Returns:
            The messages to send.

        Raises:
            UsageError: As `check` does.
        """
        self.check(values.keys())
        content = _PLACEHOLDER.sub(lambda match: _substitute(match, values), self.body)
        return [{"role": "user", "content": content}]


@functools.cache
def load_template(name_or_text: str) -> Template:
    """Return a template by name or by its text.

    Args:
        name_or_text: Name of a bundled template; what has a line break or a placeholder is itself
            the template.

    Raises:
        UsageError: There is no such template.
    """
    if "\n" in name_or_text or "{{" in name_or_text:
        return _new_template("custom", name_or_text)
    if name_or_text not in bundled_templates():
        known = unknown_name("template", name_or_text, bundled_templates())
        raise UsageError(f"{known}, or @FILE")
    return _new_template(name_or_text, _folder().joinpath(f"{name_or_text}.md").read_text("utf-8"))


def bundled_templates() -> list[str]:
    """Return the names of the templates that come with this package."""
    names = (entry.name for entry in _folder().iterdir())
    return sorted(name.removesuffix(".md") for name in names if name.endswith(".md"))


def extract_values(messages: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the values that the messages of a chain were rendered with.

    Args:
        messages: Messages with `role` and `content`, as sent to a teacher.

    Returns:
        From the first message `code`, `problem`, `io`, `input` and `output`, as far as it has them;
        for each earlier turn N `answer_N` and `feedback_N`. Values of a template without the
        headings and fences of the bundled ones are not found.
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
    """Return a value in a Markdown fence that nothing in it can close.

    Args:
        value: The text inside.
        language: The info string, such as `json`.
    """
    longest = max(map(len, re.findall("`+", value)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{value}\n{fence}"


def _new_template(name: str, text: str) -> Template:
    body = text.replace("\r\n", "\n").strip("\n")
    return Template(name, digest("template", body), body)


def _folder() -> importlib.resources.abc.Traversable:
    return importlib.resources.files(__package__).joinpath("templates")


def _substitute(match: re.Match[str], values: Mapping[str, str]) -> str:
    if match["fenced"]:
        return fenced_block(values[match["fenced"]], match["language"])
    return values[match["bare"]]


def _placeholder_list(names: Sequence[str] | Mapping[str, str] | frozenset[str] | set[str]) -> str:
    return " ".join(f"{{{{{name}}}}}" for name in sorted(names)) or "any placeholder"


def _headed_fences(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and content of the first fence under each known heading."""
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
