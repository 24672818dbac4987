"""Serve a loopback provider until interrupted, and print its base URL."""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from tests.support.provider.server import Provider

NUMBERS = ("latency", "jitter", "max-in-flight", "capacity", "rpm", "tpm", "answer-chars")


def main() -> None:
    provider, port = configured_provider()

    async def serve() -> None:
        server = await provider.start(port)
        print(provider.url, flush=True)
        await server.serve_forever()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


def configured_provider() -> tuple[Provider, int]:
    """Return the provider that the command line describes, and the port to serve at."""
    parser = argparse.ArgumentParser(description="loopback provider of chat completions")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--fault", action="append", default=[], metavar="KIND=SHARE")
    parser.add_argument("--answers", help="JSONL of recorded answers")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    for name in NUMBERS:
        parser.add_argument(f"--{name}")
    options = vars(parser.parse_args())
    port, answers = options.pop("port"), options.pop("answers")
    faults = {k: float(v) for k, v in (f.split("=") for f in options.pop("fault"))}
    values = dict(pair.split("=", 1) for pair in options.pop("set"))
    values |= {name: value for name, value in options.items() if value is not None}
    provider = Provider(answers=answers, faults=faults)
    provider.behave(**values)
    return provider, port


if __name__ == "__main__":
    main()
