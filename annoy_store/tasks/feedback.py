"""The sentences that a checker says, and how much of a value it keeps.

Decisions. Feedback becomes part of the next prompt, so it depends on nothing that differs between
two runs: addresses in messages are taken out. It quotes what the teacher said and what the code
made of it, and never the output that is still to be found.
"""

from __future__ import annotations

import json
import re

from annoy_store.config import Policy
from annoy_store.hashing import clean_text
from annoy_store.interfaces import CheckResult, ExecutionResult
from annoy_store.records.executions import call_limits

KEPT_CHARS = 4_096  # of a predicted or obtained value
QUOTED_CHARS = 600  # of a value or a message within a sentence

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")


def kept(value: str | None) -> str | None:
    """Return a JSON text to store: itself, or if long a JSON string of its beginning and `…`."""
    if value is None or len(value) <= KEPT_CHARS:
        return value
    return json.dumps(value[:KEPT_CHARS] + "…", ensure_ascii=False)


def quoted(text: str) -> str:
    """Return `text` short enough for a sentence, without what differs from run to run."""
    steady = _ADDRESS.sub("0x…", clean_text(text))
    return steady if len(steady) <= QUOTED_CHARS else steady[:QUOTED_CHARS] + "…"


def no_answer(key: str, finish_reason: str) -> CheckResult:
    """Judge a text in which no answer was found."""
    wanted = '{"output": <value>}' if key == "output" else '{"input": {"<argument>": <value>}}'
    fault = (
        "The answer was cut off before its end."
        if finish_reason == "length"
        else "No final answer was found."
    )
    return CheckResult("no_answer", f"{fault} Finish with one JSON object of this form: {wanted}")


def what_happened(ran: ExecutionResult, policy: Policy) -> str:
    """Say in one sentence why the code gave nothing for a predicted input."""
    error = quoted(": ".join(filter(None, (ran.error_type, ran.error_message))))
    within = call_limits(policy)
    sentences = {
        "exception": f"raises {error or 'an exception'}",
        "missing_module": f"raises {error or 'ModuleNotFoundError'}",
        "bad_args": f"cannot be called, for the arguments do not fit ({error or 'see its head'})",
        "cpu_timeout": f"needs more than {within.cpu_seconds:g} seconds of computing",
        "wall_timeout": f"does not end within {within.wall_seconds:g} seconds",
        "memory": f"needs more than {within.memory_mb} MB of memory",
        "output_too_large": "returns a value that is far too large",
        "not_json": f"returns something that is not JSON ({error or 'its type is none of JSON'})",
    }
    return sentences.get(ran.outcome, "ends without returning anything")
