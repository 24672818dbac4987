"""What an operation showed of its progress."""

from __future__ import annotations


class ShownSteps:
    """Collects what is shown, as an operation calls it."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int | None]] = []

    def __call__(self, message: str, done: int = 0, total: int | None = None) -> None:
        assert total is None or 0 <= done <= total, (message, done, total)
        self.steps.append((message, done, total))

    @property
    def shares(self) -> list[float]:
        """The shares done, where the total was known."""
        return [done / total for _, done, total in self.steps if total]
