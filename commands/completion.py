"""Print a shell completion script.

\b
Examples:
  annoy completion bash >> ~/.bashrc
  annoy completion zsh >> ~/.zshrc
  annoy completion fish > ~/.config/fish/completions/annoy.fish
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command(help=__doc__)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    found = get_completion_class(shell)
    assert found is not None
    made = found(ctx.find_root().command, {}, "annoy", "_ANNOY_COMPLETE")
    click.echo(made.source_template % made.source_vars())
