"""What to do about a reason: one sentence per word that a stage may end a job with."""

from __future__ import annotations

import re

_HINTS: tuple[tuple[str, str], ...] = (
    (
        r"missing_module:(?P<module>[\w.]+)",
        "pip install {package} for the interpreter of --python, then annoy retry generate --state rejected --like missing_module:{module}, then annoy run",
    ),
    (
        r"missing_module",
        "it needs a package; which one most of all: annoy sql 'SELECT * FROM v_missing_modules ORDER BY samples DESC', then pip install it for the interpreter of --python and annoy rerun generate",
    ),
    (
        r"worker_died",
        "its workers died of it, again and again; free memory or use fewer --slots, then annoy retry {stage}",
    ),
    (r"same_prompt", "another pair of the sample asks the same; nothing to do"),
    (r"not_wanted", "taken down, or done in the meantime; nothing to do"),
    (
        r"not_recorded",
        "the replay file has no answer to it; use another teacher, then annoy retry complete --state rejected --like not_recorded",
    ),
    (
        r"content_filter|refused",
        "the provider refuses this prompt; another model may not: annoy retry complete --state rejected --like {reason}, then annoy run -m MODEL",
    ),
    (
        r"wrong:rounding",
        "near, but outside the tolerance; if that is near enough for you: annoy policy tolerance=0.01, then annoy reverify --run and annoy verdict-changes",
    ),
    (
        r"wrong:(type|key_missing|key_extra|case|whitespace)",
        "right or not, it has not the form of the result; read some, then say the form in the template (annoy policy template_predict_output=@FILE)",
    ),
    (
        r"wrong:(truncated|empty)",
        "the value stops short; where finish_reason is length, raise --max-tokens; else the model's mistake",
    ),
    (
        r"no_answer",
        "no JSON at the end of the answer; read some: cut off (raise --max-tokens), or a template that insists (annoy policy template_predict_output=@FILE)",
    ),
    (r"truncated|length", "the answer was cut off; raise --max-tokens, then annoy resample"),
    (
        r"http_429|limited",
        "the endpoint is at its limit; lower --max-connections or set --requests-per-minute, then annoy retry complete",
    ),
    (
        r"http_5\w\w|timeout|unreachable|connect\w*",
        "the endpoint was down or slow; annoy retry complete",
    ),
    (
        r"batch_output_gone",
        "its answers were deleted at the provider before they were taken in; to pay for them again: annoy retry complete --like batch_output_gone",
    ),
    (r"no_line", "batches were completed without a line for it; annoy retry complete"),
    (
        r"http_4\w\w",
        "the endpoint refuses the request as it is; check --model and the parameters, then annoy retry complete",
    ),
    (
        r"section_missing:.*|no_fence:.*|name_missing:.*|syntax_error:.*",
        "the teacher did not keep the form; read some (annoy show), then a better model or template (annoy policy template_transform=@FILE, annoy rerun transform)",
    ),
    (r"no_function", "the teacher found nothing in the file to make a function of; nothing to do"),
    (
        r"too_long.*",
        "raise max_prompt_chars (annoy policy), then annoy retry {stage} --state rejected --like too_long",
    ),
    (r"empty", "nothing is in it; nothing to do"),
    (
        r"(generator_)?exception:.*",
        "the code of the teacher is wrong; read some (annoy show); a better model or template helps",
    ),
    (
        r"(generator_)?(cpu_timeout|wall_timeout)",
        "too slow for the limit; raise it if you mean it (annoy policy cpu_seconds=.. draw_cpu_seconds=..), then annoy rerun {stage}",
    ),
    (r"(generator_)?memory", "needs more than memory_mb (annoy policy), or is wrong"),
    (
        r"(generator_)?(crash|exit|no_result|bad_frame)",
        "the code ends its own process; nothing to do unless it is many: annoy doctor",
    ),
    (
        r"input_too_large|output_too_large",
        "values break the size rule; annoy policy max_items=.. max_string=.. max_value_bytes=.., then annoy rerun generate",
    ),
    (r"(generator_)?not_json", "returns what JSON cannot hold; nothing to do"),
    (
        r"too_few_distinct|no_pairs",
        "the generator hardly varies; nothing to do, or a better template",
    ),
    (
        r"too_few_stable|unstable|alone|nondeterministic:.*",
        "gives another output when run again (clock, chance, hash order); set aside on purpose",
    ),
    (r"no_output", "always returns nothing; nothing to do"),
    (r"wrong_output", "the pair that came with the sample does not hold"),
    (
        r"SandboxError|sandbox.*",
        "the sandbox broke, not the code; see annoy doctor, then annoy retry {stage}",
    ),
    (
        r"[A-Z]\w*(Error|Exception)",
        "a fault of ours; annoy -v run shows where; afterwards annoy retry {stage}",
    ),
    (
        r"wrong(:\w+)?|correct|bad_args|exception",
        "the model's mistake; it is told and asked again up to max_turns",
    ),
)
_PACKAGES = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "skimage": "scikit-image",
    "dateutil": "python-dateutil",
    "Crypto": "pycryptodome",
    "serial": "pyserial",
    "google.protobuf": "protobuf",
    "attr": "attrs",
    "dotenv": "python-dotenv",
    "jwt": "pyjwt",
}


def hint(reason: str, stage: str) -> str:
    """What to do about jobs of `stage` that ended with `reason`; empty where nothing is known."""
    for pattern, words in _HINTS:
        if found := re.fullmatch(pattern, reason):
            module = found.groupdict().get("module") or ""
            return words.format(stage=stage, reason=reason, module=module, package=package(module))
    return ""


def package(module: str) -> str:
    """The name under which a module is installed: by the longest part of it that is known."""
    parts = module.split(".")
    begun = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((_PACKAGES[name] for name in begun if name in _PACKAGES), parts[0])
