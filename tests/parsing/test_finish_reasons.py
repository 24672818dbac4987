"""What finish reasons mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.parsing.finish_reasons import finish_kind, is_cut_off, stored_finish_reason

LENGTH = (
    "length max_tokens MAX_TOKENS model_length max_length MaxTokens max_output_tokens token_limit "
    "FinishReason.MAX_TOKENS FINISH_REASON_MAX_TOKENS model_context_window_exceeded LENGTH "
    "context_length_exceeded max_new_tokens max_completion_tokens length_capped truncated"
)
BROKEN = (
    "error insufficient_system_resource abort aborted cancelled network_error ERROR incomplete "
    "interrupted timeout USER_CANCEL OTHER pause_turn load failed server_error"
)
WHOLE = "stop STOP end_turn stop_sequence eos eos_token COMPLETE completed FinishReason.STOP done"
FILTERED = (
    "content_filter SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII refusal sensitive "
    "ERROR_TOXIC guardrail_intervened content_filtered"
)
TOOL = "tool_calls function_call tool_use TOOL_CALL"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("length", LENGTH),
        ("broken", BROKEN),
        ("whole", WHOLE),
        ("filtered", FILTERED),
        ("tool", TOOL),
        ("unknown", "mystery null hasta_la_vista 7"),
    ],
)
def test_finish_kind_knows_reasons_by_what_they_mean(kind: str, words: str) -> None:
    assert {word: finish_kind(word) for word in words.split()} == dict.fromkeys(words.split(), kind)


@pytest.mark.parametrize(
    ("reason", "stored"),
    [
        ("MAX_TOKENS", "length"),
        ("network_error", "incomplete"),
        ("end_turn", "end_turn"),
        ("mystery", "mystery"),
        ("x" * 99, "x" * 40),
        (None, "unknown"),
        (7, "unknown"),
        ("", "unknown"),
    ],
)
def test_stored_finish_reason_marks_answers_that_are_not_whole(reason: Any, stored: str) -> None:
    assert stored_finish_reason(reason) == stored


@given(st.none() | st.text(max_size=50) | st.integers())
def test_stored_finish_reason_is_stable(reason: Any) -> None:
    stored = stored_finish_reason(reason)
    assert 0 < len(stored) <= 40
    assert stored_finish_reason(stored) == stored
    assert is_cut_off(stored) == (finish_kind(reason) in ("length", "broken"))
