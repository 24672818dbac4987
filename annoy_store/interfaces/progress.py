"""How long operations tell how far they are."""

from __future__ import annotations

from typing import Protocol


class ShowProgress(Protocol):
    """Shows how far an operation is."""

    def __call__(self, message: str, done: int = 0, total: int | None = None) -> None:
        """Show a step, and how many of `total` rows are done; None if that is unknown."""


def show_nothing(message: str, done: int = 0, total: int | None = None) -> None:
    """Show no progress."""
