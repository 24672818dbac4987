"""The feedback of the checkers, and the truncation of the values that they store.

Decisions. Feedback becomes part of the next prompt, so it depends on nothing that differs between
two runs: memory addresses in messages are replaced. It quotes the teacher's answer and what the
code returned for it, never the expected output of a wrong answer. A correct answer is told to be
exact only where the values are equal, not merely within the tolerance.
"""

from __future__ import annotations

import json
import re

from annoy_store.config import Policy
from annoy_store.hashing import clean_text
from annoy_store.interfaces import Answer, CheckResult, ExecutionResult
from annoy_store.parsing.final_answer import read_final_answer
from annoy_store.parsing.finish_reasons import is_cut_off
from annoy_store.parsing.json_values import UnsupportedValue
from annoy_store.records.executions import call_limits

KEPT_CHARS = 4_096  # of a stored value, predicted or returned
QUOTED_CHARS = 600  # of a value or a message within a sentence

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")


def kept(value: str | None) -> str | None:
    """Return a JSON text to store: unchanged, or if long a JSON string that ends with `…`."""
    if value is None or len(value) <= KEPT_CHARS:
        return value
    return json.dumps(value[:KEPT_CHARS] + "…", ensure_ascii=False)


def quoted(text: str) -> str:
    """Return `text`, shortened for a sentence, without memory addresses."""
    stable = _ADDRESS.sub("0x…", clean_text(text))
    return stable if len(stable) <= QUOTED_CHARS else stable[:QUOTED_CHARS] + "…"


def no_answer(key: str, answer: Answer) -> CheckResult:
    """Return the result `no_answer`, for a text in which no answer was found or accepted."""
    wanted = '{"output": <value>}' if key == "output" else '{"input": {"<argument>": <value>}}'
    fault = "No final answer was found."
    try:
        read_final_answer(answer.text, key)
    except UnsupportedValue as error:
        fault = f"The final answer was not accepted: {error}."
    if is_cut_off(answer.finish_reason):
        fault = "The answer was cut off before its end."
    return CheckResult("no_answer", f"{fault} Finish with one JSON object of this form: {wanted}")


def what_happened(ran: ExecutionResult, policy: Policy) -> str:
    """Return why the code returned nothing for a predicted input, as part of a sentence."""
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
