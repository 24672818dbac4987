"""The progress of a run as a frame on a terminal, as a plain line and as JSON.

Decision: texts of endpoints and stages are untrusted; what is not printable is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from annoy_store.worker.outlook import Outlook, StageOutlook
from annoy_store.worker.progress import Progress

MAX_REASONS = 5
MAX_BAR_WIDTH = 40
COLOURS = {"rejected": "yellow", "failed": "red"}


def elapsed_text(seconds: float) -> str:
    """Return a duration in words, e.g. `45 s`, `12 min 5 s` or `3 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def time_left(outlook: Outlook | None) -> str:
    """Return when the run is expected to end, in words; empty if that is unknown."""
    if outlook is None or outlook.seconds_left is None:
        return ""
    about = "roughly" if outlook.is_rough else "about"
    return f"{about} {elapsed_text(max(1.0, outlook.seconds_left))} left"


def reasons(progress: Progress) -> list[str]:
    """Return why jobs were rejected or failed, with counts, the latest reason first."""
    latest = list(progress.reasons.items())[: -MAX_REASONS - 1 : -1]
    return [_printable(f"{stage} {reason} {n:,}") for (stage, reason), n in latest]


def endpoint_parts(progress: Progress) -> list[str]:
    """Return what is going on at the endpoint, what it gets and what it costs."""
    parts = [
        f"{_printable(name)}: {used:,} of {allowed:,} connections"
        for name, (used, allowed) in progress.connections.items()
    ]
    outlook = progress.outlook
    if outlook is None or not (parts or outlook.usage.attempts):
        return parts
    calls = outlook.stages.get("complete", StageOutlook({}))
    return [
        *parts,
        f"{_number(outlook.requests_per_minute)} requests/min",
        f"{_number(outlook.tokens_per_minute)} tokens/min",
        f"{_number(calls.per_second)} answers/s",
        cost(outlook),
    ]


def cost(outlook: Outlook) -> str:
    """Return what the run has cost and is expected to cost, in words."""
    spent = outlook.usage.cost_usd
    if spent is None:
        n = outlook.usage.tokens["prompt"] + outlook.usage.tokens["completion"]
        return f"cost unknown (no price is set), {n:,} tokens so far"
    expected = "" if outlook.usd is None else f", {_usd(outlook.usd)} expected"
    return f"{_usd(spent)} so far{expected}"


def trouble(progress: Progress) -> str:
    """Return why the run waits, in words; empty if it does not."""
    if progress.stopping:
        return (
            f"stopping: {progress.in_flight:,} calls in flight finish; interrupt again to stop now"
        )
    if progress.notice:
        return _printable(progress.notice)
    others = {worker for (state, worker) in progress.waiting_for if state == "claimed"}
    if progress.in_flight or not progress.waiting_for:
        return ""
    names = ", ".join(f"worker {w}" for w in sorted(others, key=str)) or "deferred jobs"
    return f"waiting for {names}"


# On a terminal -------------------------------------------------------------------------------


def frame(progress: Progress, elapsed: float, width: int) -> RenderableType:
    """Return a frame for a terminal.

    Args:
        progress: the progress.
        elapsed: seconds since the run started.
        width: columns of the terminal.
    """
    return Group(*_lines(progress, elapsed, width))


def _lines(progress: Progress, elapsed: float, width: int) -> Iterator[RenderableType]:
    outlook = progress.outlook
    if outlook is not None:
        yield _table(outlook.stages, max(3, min(MAX_BAR_WIDTH, width - 58)))
    if parts := endpoint_parts(progress):
        yield Text(" · ".join(parts))
    if found := reasons(progress):
        yield Text("latest reasons: " + " · ".join(found), style="yellow")
    if words := trouble(progress):
        yield Text(words, style="bold yellow")
    yield Text(" · ".join([f"{elapsed_text(elapsed)} elapsed", *_state(progress)]), style="bold")


def _state(progress: Progress) -> Iterator[str]:
    yield time_left(progress.outlook) or "time left unknown yet"
    if progress.outlook and progress.outlook.goal:
        correct, wanted = progress.outlook.goal
        yield f"{correct:,} of {wanted:,} chains correct"
    yield f"{progress.in_flight:,} in progress"
    if progress.submitted_calls:
        yield f"{progress.submitted_calls:,} calls submitted in batches"


def _table(stages: Mapping[str, StageOutlook], bar_width: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("stage", "", "done / total", "rejected", "failed", "per second"):
        table.add_column(name, justify="left" if name in ("stage", "") else "right", no_wrap=True)
    for name, stage in stages.items():
        bar = ProgressBar(max(1, stage.total or 0), stage.n_ended, width=bar_width)
        total = "" if stage.total is None else f" / {stage.total:,}"
        wrong = [_count(stage.ended.get(state, 0), colour) for state, colour in COLOURS.items()]
        rate = _number(stage.per_second) if stage.n_ended else ""
        table.add_row(name, bar, f"{stage.n_ended:,}{total}", *wrong, rate)
    return table


def _count(n: int, colour: str) -> Text:
    return Text(f"{n:,}", style=f"bold {colour}" if n else "dim")


# Without one ---------------------------------------------------------------------------------


def line(progress: Progress, elapsed: float) -> str:
    """Return the facts of a frame as one plain line."""
    stages = progress.outlook.stages if progress.outlook else {}
    parts = [", ".join(filter(None, (_stage_words(n, s) for n, s in stages.items())))]
    parts += [", ".join(endpoint_parts(progress)), ", ".join(_state(progress))]
    if found := reasons(progress):
        parts.append(f"latest reasons: {', '.join(found)}")
    parts.append(trouble(progress))
    return f"{elapsed_text(elapsed)}: {'; '.join(filter(None, parts))}"


def _stage_words(name: str, stage: StageOutlook) -> str:
    if not stage.n_ended and not stage.total:
        return ""
    total = "" if stage.total is None else f"/{stage.total:,}"
    wrong = [f"{n:,} {state}" for state in COLOURS if (n := stage.ended.get(state, 0))]
    return f"{name} {stage.n_ended:,}{total}" + (f" ({', '.join(wrong)})" if wrong else "")


def as_dict(progress: Progress, elapsed: float) -> dict[str, Any]:
    """Return the facts of a frame as one JSON object; null means unknown. Times are in seconds."""
    outlook = progress.outlook or Outlook({})
    return {
        "elapsed_s": round(elapsed, 1),
        "left_s": None if outlook.seconds_left is None else round(outlook.seconds_left, 1),
        "left_is_rough": outlook.is_rough,
        "stages": {
            name: {**stage.ended, "total": stage.total, "per_second": round(stage.per_second, 2)}
            for name, stage in outlook.stages.items()
        },
        "in_progress": progress.in_flight,
        "connections": {name: list(pair) for name, pair in progress.connections.items()},
        "requests_per_minute": round(outlook.requests_per_minute, 1),
        "tokens_per_minute": round(outlook.tokens_per_minute, 1),
        "tokens": dict(outlook.usage.tokens),
        "cost_usd": outlook.usage.cost_usd,
        "expected_usd": outlook.usd,
        "correct_chains": outlook.goal and outlook.goal[0],
        "submitted_calls": progress.submitted_calls,
        "latest_reasons": [
            {"stage": stage, "reason": reason, "n": n}
            for (stage, reason), n in reversed(progress.reasons.items())
        ][:MAX_REASONS],
        "notice": trouble(progress) or None,
    }


def _printable(words: str) -> str:
    return "".join(filter(str.isprintable, words))


def _number(n: float) -> str:
    return f"{n:,.0f}" if n >= 10 or n == 0 else f"{n:.1f}"


def _usd(usd: float) -> str:
    return f"{usd:,.2f} USD" if usd >= 1 or usd == 0 else f"{usd:.4f} USD"
