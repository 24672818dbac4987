"""Hints on what to do about the reasons that stages give for rejected and failed jobs.

Decision: a command stands in backticks, so that whoever shows a hint can keep it whole.
"""

from __future__ import annotations

import re

from annoy_store.analysis.known_packages import is_of_another_python, package_of

_HINTS: tuple[tuple[str, str], ...] = (
    (
        r"missing_module:(?P<module>[\w.]+)",
        "",  # depends on the module
    ),
    (
        r"missing_module",
        "it needs a package, or a file of its project; list the most frequent with: `annoy sql 'SELECT * FROM v_missing_modules ORDER BY samples DESC'`; install those that you know for the interpreter of --python, then `annoy rerun generate`",
    ),
    (
        r"worker_died",
        "its worker crashed repeatedly; free memory or use fewer --slots, then `annoy retry {stage}`",
    ),
    (r"same_prompt", "another pair of the sample has the same prompt; nothing to do"),
    (
        r"answer_shown",
        "an example in its code or description tells the answer; another pair was asked about instead; a template that asks for no examples avoids it",
    ),
    (
        r"pair_unstable",
        "a later check refuted the pair, so no export would take the answer, and it was not paid for; if the pair holds again: annoy retry complete --state rejected --like pair_unstable",
    ),
    (r"not_wanted", "taken down, or already done; nothing to do"),
    (
        r"not_recorded",
        "the replay file has no answer for it; use another teacher, then `annoy retry complete --state rejected --like not_recorded`",
    ),
    (
        r"content_filter|refused|http_403",
        "the provider refuses this prompt; another model may not: `annoy retry complete --state rejected --like {reason}`, then `annoy run -m MODEL`",
    ),
    (
        r"wrong:rounding",
        "close, but outside the tolerance; to accept it: `annoy policy tolerance=0.01`, then `annoy reverify --run` and `annoy verdict-changes`",
    ),
    (
        r"wrong:(type|key_missing|key_extra|case|whitespace)",
        "the value has the wrong format; read some, then state the format in the prompt template (`annoy policy` lists the template keys; KEY=@FILE sets one)",
    ),
    (
        r"wrong:(truncated|empty)",
        "the value is incomplete; if finish_reason is length, raise --max-tokens; otherwise an error of the model",
    ),
    (
        r"no_answer",
        "no JSON at the end of the answer; read some: if cut off, raise --max-tokens; else demand it in the prompt template (`annoy policy` lists the template keys; KEY=@FILE sets one)",
    ),
    (r"truncated|length", "the answer was cut off; raise --max-tokens, then `annoy resample`"),
    (
        r"always_limited|over_rate_limit",
        "the endpoint limits this call while others pass: it is larger than a limit on tokens; lower --max-tokens (or max_prompt_chars, `annoy policy`), then `annoy retry complete --like {reason}`",
    ),
    (
        r"http_429|limited",
        "the endpoint limits its rate; lower --max-connections or set --requests-per-minute, then `annoy retry complete`",
    ),
    (
        r"http_5\w\w|timeout|unreachable|connect\w*",
        "the endpoint was unavailable or slow; `annoy retry complete`",
    ),
    (
        r"batch_output_gone",
        "its answers were deleted at the provider before they were collected; to request (and pay for) them again: `annoy retry complete --like batch_output_gone`",
    ),
    (r"no_line", "completed batches contained no line for it; `annoy retry complete`"),
    (
        r"http_401",
        "the endpoint refused the key, or got none (the run says what was sent): set the variable of --api-key-env, then `annoy run`",
    ),
    (r"http_402", "the account at the provider has no credit; top it up, then `annoy run`"),
    (r"http_404", "check --model and the path of --base-url, then `annoy retry complete`"),
    (
        r"http_4\w\w",
        "the endpoint rejected the request; change the parameter that the message names (flags: `annoy run --help`), then `annoy retry complete --like {reason}`",
    ),
    (
        r"incomplete",
        "the provider broke the answer off; it is asked for once more and kept either way, marked incomplete; nothing to do",
    ),
    (
        r"bad_body|html|no_choices|deadline",
        "the reply was no completion, or came too late (--call-seconds); check --base-url if there are many, then `annoy retry complete --like {reason}`",
    ),
    (
        r"async:.*",
        "the answer's function is `async def`, so a call returns no value; nothing to do, or a better template",
    ),
    (
        r"section_missing:.*|no_fence:.*|name_missing:.*|syntax_error:.*",
        "the answer does not have the required format; read some (`annoy show`), then use a better model or template (`annoy policy template_transform=@FILE`, `annoy rerun transform`)",
    ),
    (r"no_function", "the model found no function in the file; nothing to do"),
    (
        r"too_long.*",
        "raise max_prompt_chars (`annoy policy`), then `annoy retry {stage} --state rejected --like too_long`",
    ),
    (r"empty", "the text is empty; nothing to do; for a call: `annoy retry complete --like empty`"),
    (
        r"(generator_)?exception:.*",
        "the generated code is wrong; read some (`annoy show`); a better model or template helps",
    ),
    (
        r"(generator_)?(cpu_timeout|wall_timeout)",
        "slower than the limit; to raise it (`annoy policy cpu_seconds=.. draw_cpu_seconds=..`), then `annoy rerun {stage}`",
    ),
    (r"(generator_)?memory", "it needs more than memory_mb (`annoy policy`), or is wrong"),
    (
        r"(generator_)?(crash|exit|no_result|bad_frame)",
        "the code ends its own process; nothing to do; if there are many: `annoy doctor`",
    ),
    (
        r"input_too_large|output_too_large",
        "values exceed the size limits; `annoy policy max_items=.. max_string=.. max_value_bytes=..`, then `annoy rerun generate`",
    ),
    (
        r"(generator_)?not_json",
        'it returns values that JSON cannot hold, or loses a part of (keys 1 and "1", lone surrogates); nothing to do',
    ),
    (
        r"too_few_distinct|no_pairs",
        "the generator gives too few distinct inputs; nothing to do, or a better template",
    ),
    (
        r"nondeterministic:host",
        "its output depends on the machine (cores, versions, paths, names, environment) and would be another on the next one; excluded on purpose",
    ),
    (
        r"too_few_stable|unstable|alone|nondeterministic:.*",
        "another run gives another output (clock, randomness, hash order); excluded on purpose",
    ),
    (r"no_output", "it always returns None; nothing to do"),
    (r"wrong_output", "the code does not give the output that came with the sample"),
    (
        r"SandboxError|sandbox.*",
        "the sandbox failed, not the code; see `annoy doctor`, then `annoy retry {stage}`",
    ),
    (
        r"[A-Z]\w*(Error|Exception)",
        "an internal error; `annoy -v run` shows the traceback; afterwards `annoy retry {stage}`",
    ),
    (
        r"wrong(:\w+)?|correct|bad_args|exception",
        "an error of the model; it gets feedback and another turn, up to max_turns",
    ),
)
_RETRY = re.compile(r"`annoy retry complete(?: --(?:like|state) \S+)*`(?:, then `annoy run`)?")
_INSTALL = "`pip install {package}` for the interpreter of --python, then `annoy retry generate --state rejected --like missing_module:{module}`, then `annoy run`"
_OTHER_PYTHON = "it belongs to the standard library of another Python version or platform; nothing to do, or another interpreter: `annoy run --python`"
_PROJECT_FILE = "likely a file of the project that the code comes from, so do not install a package of that name; nothing to do"


def hint(reason: str, stage: str) -> str:
    """Return what to do about jobs of a stage that ended for a reason; '' if nothing is known.

    Args:
        reason: The reason of the jobs, or the status and mismatch of a verdict
            (`missing_module:bs4`, `wrong:rounding`).
        stage: Name of the stage.
    """
    for pattern, template in _HINTS:
        if found := re.fullmatch(pattern, reason):
            module = found.groupdict().get("module")
            advice = _about_module(module) if module else template
            return advice.format(
                stage=stage, reason=reason, module=module, package=package_of(module or "")
            )
    return ""


def attempt_hint(reason: str, outcome: str) -> str:
    """Return what to do about attempts without an answer.

    Args:
        reason: Their error class or status.
        outcome: What became of their calls: `mended` if a later try was answered, `open` if they
            are still to be answered, otherwise they have failed.
    """
    if outcome == "mended":
        return "a later try was answered; nothing to do"
    advice = hint(reason, "complete")
    return _RETRY.sub("`annoy run`", advice) if outcome == "open" else advice


def _about_module(module: str) -> str:
    """Return what to do about a module that is missing, as a template."""
    if package_of(module):
        return _INSTALL
    return _OTHER_PYTHON if is_of_another_python(module) else _PROJECT_FILE


def install_advice(module: str) -> str:
    """Return how to get a missing module in a few words."""
    package = package_of(module)
    if package:
        return f"pip install {package}"
    return "another Python" if is_of_another_python(module) else "likely a file of its project"
