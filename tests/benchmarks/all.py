"""All figures: runs the other benchmarks one after the other and collects what they print.

Run: python tests/benchmarks/all.py [--quick] [--only NAME ...] [--markdown]

Each benchmark is a process of its own and prints one JSON object on its last line. The last line
here is one JSON object with those of all, by name. `--markdown` also writes the figures as a table,
with the date, the commit and the machine, into the page `extending` of the guide.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
PAGE = ROOT / "annoy_store" / "guide" / "extending.md"
BENCHMARKS = sorted(path.stem for path in FOLDER.glob("[a-z]*.py") if path.stem != "all")
_PLACE = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->)", re.DOTALL)


def run(name: str, quick: bool) -> dict[str, Any]:
    """Return the figures of a benchmark; end this program if it fails."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), *(["--quick"] if quick else [])]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode:
        sys.exit(f"{name} ended with {ran.returncode}")
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of nested figures, with the names of what they are in before theirs."""
    for key, value in figures.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{key}", value


def table(figures: Mapping[str, Mapping[str, Any]], about: str) -> str:
    """Return the figures as Markdown: what they are of, then one row per figure."""
    rows = [
        f"| {name} | `{key}` | {_shown(value)} |"
        for name, found in figures.items()
        for key, value in flat(found)
    ]
    return "\n".join([about, "", "| benchmark | figure | value |", "|-|-|-:|", *rows, ""])


def _shown(value: float) -> str:
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def about(quick: bool) -> str:
    """Return when, of which commit, on which machine and in which form this was measured."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    form = "short" if quick else "full"
    load = os.getloadavg()[2]
    return (
        f"Measured on {datetime.now(UTC):%d %B %Y} at commit {commit or 'unknown'}, in the {form} "
        f"form, on {os.cpu_count()} cores with a load of {load:.1f}:"
    )


def write(page: Path, text: str) -> None:
    """Replace what stands between the marks of a page."""
    before = page.read_text(encoding="utf-8")
    after, n = _PLACE.subn(lambda found: f"{found[1]}{text}{found[2]}", before)
    if not n:
        sys.exit(f"{page} has no place for figures: <!-- figures --> and <!-- /figures -->")
    page.write_text(after, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="each in its short form")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS)
    parser.add_argument("--markdown", action="store_true", help="write the table into the guide")
    parser.add_argument("--page", type=Path, default=PAGE, help="another page for the table")
    options = parser.parse_args()
    figures: dict[str, dict[str, Any]] = {}
    for name in options.only:
        print(f"{name} ..", file=sys.stderr, flush=True)
        figures[name] = run(name, options.quick)
    text = table(figures, about(options.quick))
    print(text)
    if options.markdown:
        write(options.page, text)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
