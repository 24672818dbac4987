"""Tokens, words and n-grams of texts, and what they ignore."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.dedup.shingles import code_tokens, jaccard, ngram_hashes, shingles, split_words
from tests.benchmarks.nearness import VARIANTS, clustered
from tests.support.near_duplicates import CODE


@pytest.mark.parametrize("kind", VARIANTS)
def test_jaccard_of_variants_is_above_the_threshold(kind: str) -> None:
    other = VARIANTS[kind](CODE, random.Random(3))
    if jaccard(shingles(CODE), shingles(other)) >= 0.7:
        assert clustered([CODE, other]) == [0, 0]


def test_code_tokens_ignore_format_comments_and_quotes() -> None:
    other = CODE.replace("    ", "\t").replace("'negative'", '"negative"').replace("# add", "#")
    assert jaccard(shingles(CODE), shingles(other)) == 1.0


def test_code_tokens_with_renamed_ignore_identifiers() -> None:
    other = CODE.replace("price", "cost").replace("total", "summe").replace("tax", "rate")
    assert jaccard(shingles(CODE), shingles(other)) < 0.7
    assert jaccard(shingles(CODE, renamed=True), shingles(other, renamed=True)) == 1.0


def test_code_tokens_of_comments_alone_are_their_words() -> None:
    assert len(shingles("# nothing but\n# a few words here\n")) > 0
    assert len(shingles("  \n")) == 0


@given(st.text(), st.integers(1, 9))
def test_ngram_hashes_are_as_many_as_positions(text: str, length: int) -> None:
    tokens = code_tokens(text)
    expected = 0 if not len(tokens) else len(tokens) - min(length, len(tokens)) + 1
    assert len(ngram_hashes(tokens, length)) == expected


def test_split_words_drops_digits_and_punctuation() -> None:
    assert split_words("Two Sum (1): a_b, naïve!") == ["two", "sum", "a", "b", "naïve"]
