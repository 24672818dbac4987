"""Options in groups, and the look of a help page.

Decisions
- A command with many options lists them under headings (`Model`, `Limits`, ..), in the order in
  which the groups first occur; options of no group, `--json` and `--help` stand under `Output`.
- Headings and names are in colours where stdout is a terminal that wants them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

import click

from ._text import wants_colour

OUTPUT = "Output"
NO_BREAK = "\xa0"  # wrapping breaks no line at it; it is a blank in the end
_COMMAND = re.compile(r"`[^`\n]+`")
Function = TypeVar("Function", bound=Callable[..., Any])


class GroupedOption(click.Option):
    """An option that stands under a heading of its command's help.

    Args:
        group: The heading.
    """

    def __init__(self, *args: Any, group: str = OUTPUT, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.group = group

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option as it is typed, and its help with what is known of its value."""
        if self.hidden:
            return None
        facts = [_bracket(fact) for fact in self.facts(ctx)]
        return self.get_help_spec(ctx), "  ".join([self.help or "", *facts])

    def facts(self, ctx: click.Context) -> Iterator[str]:
        """Yield the default of the option, unless it is null or off."""
        if isinstance(self.show_default, str):
            yield f"default: {self.show_default}"
        elif default := self.get_help_extra(ctx).get("default"):
            yield f"default: {default}"


def _bracket(fact: str) -> str:
    return f"[{fact}]".replace(" ", NO_BREAK)


class GroupedCommand(click.Command):
    """A command whose help lists its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the headings of their groups, `Output` last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            if isinstance(option, click.Option) and (record := option.get_help_record(ctx)):
                groups.setdefault(getattr(option, "group", OUTPUT), []).append(record)
        for heading in sorted(groups, key=lambda heading: heading == OUTPUT):
            with formatter.section(heading):
                formatter.write_dl(groups[heading])


def option_group(heading: str) -> Callable[..., Callable[[Function], Function]]:
    """Return a decorator like `click.option` whose options stand under a heading."""
    return partial(click.option, cls=GroupedOption, group=heading)


class HelpPage(click.HelpFormatter):
    """Writes help with headings and names in colours."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the usage line."""
        super().write_usage(_shown(prog, bold=True), args, _shown(prefix or "Usage: ", fg="green"))

    def write_heading(self, heading: str) -> None:
        """Write a heading."""
        self.write(f"{'':>{self.current_indent}}{_shown(f'{heading}:', fg='green', bold=True)}\n")

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write names with their descriptions."""
        shown = [(_shown(name, fg="cyan"), _unbroken(text)) for name, text in rows]
        super().write_dl(shown, col_max, col_spacing)

    def write_text(self, text: str) -> None:
        """Write paragraphs; commands in them are not broken."""
        super().write_text(_unbroken(text))

    def getvalue(self) -> str:
        """Return what was written."""
        return super().getvalue().replace(NO_BREAK, " ")


def _unbroken(text: str) -> str:
    """Return a text whose commands in backticks are wrapped as a whole."""
    return _COMMAND.sub(lambda found: found[0].replace(" ", NO_BREAK), text)


def _shown(text: str, **style: Any) -> str:
    return click.style(text, **style) if wants_colour() else text


class HelpContext(click.Context):
    """A context of a command, whose help is a `HelpPage`."""

    formatter_class = HelpPage


def with_help_page(command: click.Command) -> click.Command:
    """Give a command and its subcommands the look of our help; return the command."""
    for one in _all_below(command):
        one.context_class = HelpContext
    return command


def _all_below(command: click.Command) -> Iterator[click.Command]:
    yield command
    for child in getattr(command, "commands", {}).values():
        yield from _all_below(child)
