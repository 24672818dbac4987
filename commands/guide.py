"""Show a page of the guide, or the list of its pages.

On a terminal the page is shown in a pager (PAGER) and in colours (unless NO_COLOR is set);
elsewhere it is printed as Markdown.

\b
Examples:
  annoy guide
  annoy guide sql
  annoy guide running > running.md
"""

from __future__ import annotations

import re
from pathlib import Path

import click

import annoy_store
from annoy_store.errors import UsageError, unknown_name

from ._page import page_of_markdown
from ._shared import json_option, print_json

PAGES = Path(annoy_store.__file__).parent / "guide"
READING_ORDER = (
    "words",
    "running",
    "batches",
    "workers",
    "sql",
    "exports",
    "rewards",
    "sandbox",
    "codeio",
    "extending",
    "decisions",
    "limits",
    "operations",
    "changelog",
)
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)


def topics() -> list[str]:
    """Return the topics of the guide in reading order; a page that the order lacks is last."""
    found = sorted(path.stem for path in PAGES.glob("*.md"))
    known = [topic for topic in READING_ORDER if topic in found]
    return known + [topic for topic in found if topic not in known]


def markdown(topic: str) -> str:
    """Return a page as Markdown, without comments.

    Args:
        topic: Name of a page.

    Raises:
        UsageError: There is no such page; the message names a similar one.
    """
    if topic not in topics():
        raise UsageError(unknown_name("topic", topic, topics()))
    return _COMMENT.sub("", (PAGES / f"{topic}.md").read_text(encoding="utf-8"))


def summary(topic: str) -> str:
    """Return the first paragraph of a page, on one line."""
    return " ".join(markdown(topic).split("\n\n")[1].split())


def listing(about: dict[str, str]) -> str:
    """Return the list of topics as aligned lines, wrapped to the width of the terminal.

    Args:
        about: Summary of each topic.
    """
    out = click.HelpFormatter(max_width=100)
    out.write_dl(list(about.items()))
    return out.getvalue() + "\nread a page: annoy guide TOPIC"


@click.command(help=__doc__)
@click.argument("topic", required=False)
@json_option
def command(topic: str | None, as_json: bool) -> None:
    if topic is None:
        about = {name: summary(name) for name in topics()}
        return print_json(about) if as_json else click.echo(listing(about))
    if as_json:
        return print_json({"topic": topic, "markdown": markdown(topic)})
    return page_of_markdown(markdown(topic))
