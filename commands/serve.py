"""Serve over HTTP: the checks of the pipeline as rewards for training.

\b
Examples:
  annoy serve rewards
  ANNOY_REWARD_TOKEN=... annoy serve rewards --host 0.0.0.0
"""

from __future__ import annotations

import os

import click

from annoy_store.errors import UsageError

from ._shared import say, warn
from ._web import is_loopback, url_of, web_needed

DEFAULT_PORT = 8766


@click.group(help=__doc__)
def command() -> None:
    pass


@command.command("rewards")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; one that others can reach needs a token.",
)
@click.option("--port", default=DEFAULT_PORT, show_default=True, help="Port; 0 selects a free one.")
@click.option(
    "--slots",
    type=click.IntRange(1),
    envvar="ANNOY_SLOTS",
    help="Answers that are scored at the same time; default: the number of cores.",
)
@click.option(
    "--token-env",
    default="ANNOY_REWARD_TOKEN",
    show_default=True,
    help="Environment variable that holds the token clients have to send.",
)
@click.pass_context
def rewards(ctx: click.Context, host: str, port: int, slots: int | None, token_env: str) -> None:
    """Score answers sent by trainers: POST /v1/score.

    Needs the extra `web` and no store. `reward.py` beside every export of the format rl sends its
    requests here if ANNOY_REWARD_URL is this address. GET /healthz says what it runs on, GET
    /metrics gives outcomes and latencies to Prometheus.

    \b
    Examples:
      annoy serve rewards
      annoy serve rewards --port 0 --slots 8
    """
    with web_needed("annoy serve rewards"):
        from annoy_store.rewards.service import ScoreService, application
        from annoy_store.web.server import listen, serve
    from annoy_store.rewards.process_sandbox import process_sandbox

    token = os.environ.get(token_env) or None
    if token is None and not is_loopback(host):
        raise UsageError(
            f"others can reach {host}, and who sends answers runs code here: "
            f"set a token in the environment variable {token_env}"
        )
    if slots is not None:
        os.environ["ANNOY_SLOTS"] = str(slots)
    sandbox = process_sandbox.get()
    if sandbox.info.isolation != "strong":
        warn(f"isolation is {sandbox.info.isolation}; annoy doctor says why")
    service = ScoreService(sandbox.slots, token)
    with listen(host, port) as listening:
        click.echo(url_of(host, listening.getsockname()[1]))
        say(ctx, f"scoring with {sandbox.slots} slots; Ctrl-C stops")
        try:
            serve(application(service), listening)
        finally:
            service.close()
            process_sandbox.close()
