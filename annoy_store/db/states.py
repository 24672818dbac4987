"""The words that the tables hold: states of jobs, names of stages, backends without cost.

Imports nothing, so that a command can offer them as choices without loading the database.
"""

from __future__ import annotations

from collections.abc import Iterable

JOB_STATES = ("pending", "claimed", "done", "rejected", "failed", "deferred", "suspect")
WAITING_STATES = ("pending", "deferred", "suspect")  # open, and held by no worker
OPEN_STATES = ("pending", "claimed", "deferred", "suspect")
ENDED_STATES = ("done", "rejected", "failed")
FAILED_STATES = ("rejected", "failed")  # ended without a result
STAGE_NAMES = ("transform", "complete", "parse", "generate", "predict", "verify", "revise")
CHECK_STATUSES = (  # of pair_checks; `missing_module` tells of a machine, not of the pair
    "stable",
    "unstable",
    "wrong_output",
    "alone",
    "exception",
    "bad_args",
    "exit",
    "no_result",
    "cpu_timeout",
    "wall_timeout",
    "memory",
    "crash",
    "output_too_large",
    "not_json",
    "bad_frame",
)
FREE_BACKENDS = ("tracer", "replay")  # their answers cost nothing


def sql_list(words: Iterable[str]) -> str:
    """Return words as an SQL list of literals, for SQL text and for partial indexes."""
    return "({})".format(", ".join(f"'{word}'" for word in words))
