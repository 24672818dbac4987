"""Hints give the command for a reason, and are empty for an unknown one."""

from __future__ import annotations

import pytest

from annoy_store.analysis.hints import attempt_hint, hint, install_advice
from annoy_store.parsing import sections
from annoy_store.tasks.compare import KINDS


@pytest.mark.parametrize(
    ("reason", "stage", "word"),
    [
        ("missing_module:bs4", "generate", "pip install beautifulsoup4"),
        ("missing_module:google.protobuf.text_format", "generate", "pip install protobuf"),
        ("missing_module", "generate", "v_missing_modules"),
        ("wrong:rounding", "verify", "annoy policy tolerance"),
        ("wrong:type", "verify", "prompt template"),
        ("no_answer", "verify", "--max-tokens"),
        ("missing_module:sympy.core", "generate", "pip install sympy"),
        ("worker_died", "verify", "annoy retry verify"),
        ("cpu_timeout", "generate", "annoy rerun generate"),
        ("http_429", "complete", "max-connections"),
        ("always_limited", "complete", "--max-tokens"),
        ("over_rate_limit", "complete", "--max-tokens"),
        ("http_403", "complete", "--state rejected"),
        ("exception:KeyError", "generate", "annoy show"),
        ("nondeterministic:clock", "generate", "on purpose"),
        ("nondeterministic:host", "generate", "on the next one"),
        ("SandboxError", "verify", "annoy doctor"),
        ("answer_shown", "predict", "another pair"),
        ("TypeError", "parse", "an internal error"),
    ],
)
def test_hint_gives_the_command(reason: str, stage: str, word: str) -> None:
    assert word in hint(reason, stage)


def test_hint_for_every_reason_of_the_parser() -> None:
    texts = ["", "nothing", "## main function\nno fence"]
    reasons = {
        f.reason
        for f in map(sections.parse_sections, texts)
        if isinstance(f, sections.ParseFailure)
    }
    assert reasons
    assert all(hint(reason, "parse") for reason in reasons)


@pytest.mark.parametrize("kind", KINDS)
def test_hint_for_every_kind_of_mismatch(kind: str) -> None:
    assert hint(f"wrong:{kind}", "verify")


def test_hint_is_empty_for_an_unknown_reason() -> None:
    assert hint("a word nobody heard of", "parse") == ""


def test_hint_advises_no_package_of_an_unknown_name() -> None:
    for module in ("graph", "utils", "my_project.core", "google", "reqeusts"):
        advice = hint(f"missing_module:{module}", "generate")
        assert "a file of the project" in advice
        assert "pip install" not in advice
        assert install_advice(module) == "likely a file of its project"
    assert "another Python version" in hint("missing_module:distutils.core", "generate")
    assert install_advice("tkinter") == install_advice("urllib2") == "another Python"
    assert install_advice("numpy.linalg") == "pip install numpy"
    assert install_advice("yaml") == "pip install pyyaml"


@pytest.mark.parametrize(
    ("reason", "word", "not_word"),
    [
        ("http_401", "--api-key-env", "--model"),
        ("http_402", "credit", "--model"),
        ("http_404", "--base-url", "--api-key-env"),
        ("http_422", "the parameter that the message names", "--model and"),
        ("incomplete", "marked incomplete", "retry"),
        ("empty", "annoy retry complete --like empty", "resample"),
        ("html", "--base-url", "pip"),
    ],
)
def test_hint_of_a_call_names_what_is_at_fault(reason: str, word: str, not_word: str) -> None:
    assert word in hint(reason, "complete")
    assert not_word not in hint(reason, "complete")


@pytest.mark.parametrize("reason", ["http_500", "http_429", "http_400", "bad_body", "incomplete"])
def test_attempt_hint_advises_no_retry_of_what_is_answered_or_pending(reason: str) -> None:
    assert attempt_hint(reason, "mended") == "a later try was answered; nothing to do"
    assert "annoy retry" not in attempt_hint(reason, "open")
    assert attempt_hint(reason, "failed") == hint(reason, "complete")


def test_attempt_hint_tells_to_run_again_while_calls_are_pending() -> None:
    assert attempt_hint("http_500", "open").endswith("; `annoy run`")
    assert attempt_hint("http_400", "open").endswith(", then `annoy run`")
