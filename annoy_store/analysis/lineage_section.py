"""One part of the text of a lineage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Section:
    """One part of a lineage's text.

    Attributes:
        role: `row` and `part` are headings; `facts`, `job` and `leaf` are single lines, and so is a
            verdict, `good` or `bad`; `prose` and `code` are blocks.
        text: The text, without markup.
        language: Language of a block, as Pygments and Markdown name it.
    """

    role: Literal["row", "part", "facts", "job", "good", "bad", "prose", "code", "leaf"]
    text: str
    language: str = ""
