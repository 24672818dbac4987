"""MinHash signatures, their estimates, and union-find."""

from __future__ import annotations

import json
import random
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.dedup.minhash import UnionFind, estimate_jaccard, signature, signature_matrix
from annoy_store.dedup.shingles import code_tokens, jaccard, shingles
from tests.benchmarks.nearness import recall


@given(st.text())
def test_signature_depends_on_the_text_alone(text: str) -> None:
    n, made = signature(text)
    assert (n, made) == signature(text)
    assert len(made) == 256
    assert (n == 0) == (len(code_tokens(text)) == 0)


@settings(max_examples=25)
@given(st.integers(30, 400), st.floats(0.0, 1.0), st.randoms(use_true_random=False))
def test_estimate_jaccard_is_close_to_the_jaccard_index(
    n: int, kept: float, chance: random.Random
) -> None:
    words = [f"w{chance.randrange(10**9)}" for _ in range(n)]
    other = [w if chance.random() < kept else f"x{chance.randrange(10**9)}" for w in words]
    texts = [" ".join(words), " ".join(other)]
    exact = jaccard(*map(shingles, texts))
    guess = estimate_jaccard(signature_matrix(b"".join(signature(t)[1] for t in texts)), [0], [1])[
        0
    ]
    assert abs(guess - exact) < 0.25


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19))))
def test_union_find_joins_connected_numbers(pairs: list[tuple[int, int]]) -> None:
    forest, groups = UnionFind(20), [{i} for i in range(20)]
    for a, b in pairs:
        forest.union(a, b)
        both = groups[a] | groups[b]
        for i in both:
            groups[i] = both
    assert forest.roots() == [min(group) for group in groups]


def test_near_duplicates_planted_in_real_files_are_found(data: Path) -> None:
    lines = (data / "rawcode.jsonl").read_text("utf-8").splitlines()[:60]
    figures = recall([json.loads(line)["content"] for line in lines])
    assert figures["recall"] >= 0.99
    assert figures["wrong_merges"] == 0
