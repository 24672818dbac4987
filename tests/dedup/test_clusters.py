"""Near-duplicates: what counts as equal, what is found, and what is never joined."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import clusters, samples, signatures, sources
from annoy_store.dedup.clusters import cluster
from annoy_store.dedup.minhash import UnionFind, estimate_jaccard, signature, signature_matrix
from annoy_store.dedup.shingles import code_tokens, jaccard, ngram_hashes, shingles, split_words
from tests.benchmarks.nearness import VARIANTS, clustered, recall
from tests.support import chains
from tests.support import factories as rows

CODE = """
def total(prices, tax):
    # add everything up
    result = 0
    for price in prices:
        result += price * (1 + tax)
    if result < 0:
        raise ValueError('negative')
    return round(result, 2)
"""


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


def test_split_words_drops_digits_and_punctuation() -> None:
    assert split_words("Two Sum (1): a_b, naïve!") == ["two", "sum", "a", "b", "naïve"]


def test_near_duplicates_planted_in_real_files_are_found(data: Path) -> None:
    lines = (data / "rawcode.jsonl").read_text("utf-8").splitlines()[:60]
    figures = recall([json.loads(line)["content"] for line in lines])
    assert figures["recall"] >= 0.99
    assert figures["wrong_merges"] == 0


# In the store --------------------------------------------------------------------------------


def named(store: Database) -> dict[str, str]:
    """The cluster of every source and sample, by its digest."""
    with store.read() as connection:
        found = {}
        for kind, table in (("source", sources), ("sample", samples)):
            joined = select(table.c.digest, clusters.c.cluster).join(
                clusters, (clusters.c.subject_id == table.c.id) & (clusters.c.kind == kind)
            )
            found |= {row.digest: row.cluster for row in connection.execute(joined)}
        return found


def test_cluster_puts_a_sample_with_its_source(store: Database) -> None:
    chains.fill(store, ["ant", "bee"])
    report = cluster(store)
    assert (report.subjects, report.signed, report.clusters, report.largest) == (4, 4, 2, 2)
    groups = named(store)
    assert all(name in groups for name in groups.values())  # a member's digest is the name


def test_cluster_joins_near_files_and_near_refcodes(store: Database) -> None:
    near = CODE.replace("# add everything up", "")
    with store.write() as connection:
        insert_rows(connection, [rows.source(CODE), rows.source(near), *chains.sampled("ant")])
        insert_rows(connection, [*chains.sampled("bee", code=CODE)])
    assert cluster(store).clusters == 2  # both files, bee's source and sample; ant's


def test_cluster_computes_only_missing_signatures(store: Database) -> None:
    chains.fill(store, ["ant"])
    first = cluster(store)
    before = named(store)
    assert cluster(store) == type(first)(2, 0, 1, 2, 0)
    chains.fill(store, ["bee"])
    assert cluster(store).signed == 2
    assert before.items() <= named(store).items()
    with store.read() as connection:
        assert len(connection.execute(select(signatures)).all()) == 4


def test_cluster_keeps_empty_texts_apart(store: Database) -> None:
    with store.write() as connection:
        insert_rows(connection, [rows.source(" "), rows.source("\n\n")])
    assert cluster(store).clusters == 2
