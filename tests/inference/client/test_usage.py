"""Token usage, under all names that providers use."""

from __future__ import annotations

import pytest

from annoy_store.inference.client.usage import NO_USAGE, TokenUsage, parse_usage


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, NO_USAGE),
        ([], NO_USAGE),
        ({"prompt_tokens": "8", "completion_tokens": -1}, NO_USAGE),
        ({"prompt_tokens": True}, NO_USAGE),
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 4}, TokenUsage(prompt=9, cached=4)),
        (
            {
                "prompt_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 3},
                "prompt_cache_hit_tokens": 4,
                "completion_tokens": 7,
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            TokenUsage(9, 3, 7, 2),
        ),
        ({"input_tokens": 9, "output_tokens": 7}, TokenUsage(prompt=9, completion=7)),
        ({"prompt_tokens_details": None, "completion_tokens_details": 5}, NO_USAGE),
    ],
)
def test_parse_usage_reads_all_names(usage: object, tokens: TokenUsage) -> None:
    assert parse_usage(usage) == tokens
