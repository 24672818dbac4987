"""Splits: shares, memory, merging clusters, and that nothing ever leaks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.tables import splits
from annoy_store.errors import UsageError
from annoy_store.export.parents import ParentExports
from annoy_store.export.splits import (
    EXCLUDED,
    SPLITS,
    AssignedSplit,
    SplitConfig,
    assign_splits,
    hash_bucket,
    parse_split_config,
    prepare_splits,
)
from tests.support import chains

pytestmark = pytest.mark.slow_on("postgres")

NINETY = SplitConfig(0.9, 0.05, 0.05, "s")


def test_shares_are_read_and_checked() -> None:
    assert parse_split_config("train=.9, val=.05,test=.05", "s") == NINETY
    assert str(parse_split_config("train=1", "")) == "train=1,validation=0,test=0"


@pytest.mark.parametrize(
    "text", ["", "train", "train=x", "dev=.1,train=.9", "train=.9,train=.1", "train=1.5,test=-.5"]
)
def test_what_is_no_split_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"not a split|unknown split"):
        parse_split_config(text, "")


def test_shares_must_add_up() -> None:
    with pytest.raises(UsageError, match=r"add up to 0.95, not to 1"):
        parse_split_config("train=.9,test=.05", "")


def test_a_bucket_is_the_first_half_of_an_md5() -> None:
    assert hash_bucket("", "") == 0x853AE90F  # md5 of ":"
    assert hash_bucket("s", "abc") != hash_bucket("t", "abc")


def test_shares_come_out_about_right() -> None:
    decided = assign_splits({f"c{i}": [i] for i in range(20_000)}, {}, NINETY)
    counted = Counter(given.split for given in decided.values())
    assert abs(counted["test"] / 20_000 - 0.05) < 0.01
    assert abs(counted["validation"] / 20_000 - 0.05) < 0.01


def test_larger_shares_take_from_train_alone() -> None:
    members = {f"c{i}": [i] for i in range(5_000)}
    before = assign_splits(members, {}, NINETY)
    after = assign_splits(members, before, SplitConfig(0.8, 0.1, 0.1, "s"))
    moves = Counter((before[i].split, after[i].split) for i in before if before[i] != after[i])
    assert set(moves) == {("train", "test"), ("train", "validation")}
    smaller = assign_splits(members, after, SplitConfig(1.0, 0, 0, "s"))
    assert {i: g.split for i, g in smaller.items()} == {i: g.split for i, g in after.items()}


def test_when_clusters_merge_the_loser_is_set_aside() -> None:
    before = {
        1: AssignedSplit("train", 2**31, "a"),
        2: AssignedSplit("validation", 2**32 - 1, "b"),
        3: AssignedSplit("test", 0, "c"),
    }
    decided = assign_splits({"a": [1, 2, 3, 4]}, before, NINETY)
    assert {i: g.split for i, g in decided.items()} == {
        1: EXCLUDED,
        2: EXCLUDED,
        3: "test",
        4: "test",
    }
    apart = assign_splits({"a": [1], "b": [2, 5], "c": [3, 4]}, decided, NINETY)
    assert {i: g.split for i, g in apart.items()} == {
        1: EXCLUDED,
        2: EXCLUDED,
        5: EXCLUDED,
        3: "test",
        4: "test",
    }


class Growth(RuleBasedStateMachine):
    """Samples come, clusters merge and part, shares change; after each, all is split again."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster: dict[int, int] = {}
        self.given: dict[int, AssignedSplit] = {}
        self.shares = SplitConfig(0.6, 0.2, 0.2, "salt")

    @rule(n=st.integers(1, 4), into=st.integers(0, 9))
    def grow(self, n: int, into: int) -> None:
        for _ in range(n):
            i = len(self.cluster)
            self.cluster[i] = self.cluster[into] if into < i and n == 1 else i
        self.split()

    @precondition(lambda self: len(self.cluster) > 1)
    @rule(a=st.integers(0, 99), b=st.integers(0, 99))
    def merge(self, a: int, b: int) -> None:
        names = sorted(set(self.cluster.values()))
        old, new = names[a % len(names)], names[b % len(names)]
        self.cluster = {i: new if c == old else c for i, c in self.cluster.items()}
        self.split()

    @precondition(lambda self: self.cluster)
    @rule(i=st.integers(0, 99))
    def part(self, i: int) -> None:
        """Another version of nearness may find less near."""
        i %= len(self.cluster)
        self.cluster[i] = -i - 1
        self.split()

    @rule(test=st.sampled_from([0, 0.1, 0.3]), validation=st.sampled_from([0, 0.1, 0.3]))
    def change(self, test: float, validation: float) -> None:
        self.shares = SplitConfig(1 - test - validation, validation, test, "salt")
        self.split(shares_changed=True)

    def split(self, *, shares_changed: bool = False) -> None:
        members: dict[str, list[int]] = {}
        for i, c in self.cluster.items():
            members.setdefault(f"c{c}", []).append(i)
        before, self.given = self.given, assign_splits(members, self.given, self.shares)
        for ids in members.values():
            had = {before[i].split for i in ids if i in before} - {EXCLUDED}
            assert len({self.given[i].split for i in ids} - {EXCLUDED}) <= 1
            for i in ids:
                if i in before:
                    check_move(before[i].split, self.given[i].split, had, shares_changed)


def check_move(old: str, new: str, had: set[str], shares_changed: bool) -> None:
    """What may become of a sample whose cluster's members had the splits `had`."""
    winner = next((split for split in ("test", "validation") if split in had), None)
    if old == EXCLUDED:
        assert new == EXCLUDED  # it never comes back
    elif winner is not None:
        assert new == (old if old == winner else EXCLUDED)
    else:
        assert new in (SPLITS if shares_changed else ("train",))


TestGrowth = Growth.TestCase
TestGrowth.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.dictionaries(st.integers(0, 20), st.sampled_from("abcd")), st.text(max_size=3))
def test_it_does_not_matter_in_which_order(given_: dict[int, str], salt: str) -> None:
    members: dict[str, list[int]] = {}
    for i, c in given_.items():
        members.setdefault(c, []).append(i)
    shares = SplitConfig(0.5, 0.25, 0.25, salt)
    turned: dict[str, Any] = {c: ids[::-1] for c, ids in reversed(members.items())}
    assert assign_splits(members, {}, shares) == assign_splits(turned, {}, shares)


def test_what_was_given_is_remembered(store: Database) -> None:
    chains.fill(store, [f"animal{i}" for i in range(12)])
    half = SplitConfig(0.5, 0.25, 0.25, "salt")
    dry = prepare_splits(store, half, ParentExports(), dry_run=True)
    assert len(dry.splits) == 12  # nothing is clustered yet, and a dry run does not
    assert dry.warnings == ("12 samples are counted as clusters of one; run: annoy cluster",)
    with store.read() as connection:
        assert connection.execute(select(splits)).all() == []
    first = prepare_splits(store, half, ParentExports(), dry_run=False)
    chains.fill(store, [f"animal{i}" for i in range(20)])
    second = prepare_splits(store, half, ParentExports(), dry_run=False)
    assert first.splits.items() <= second.splits.items()
    assert len(second.splits) == 20
    with store.read() as connection:
        rows = connection.execute(select(splits)).all()
    assert {row.sample_id: row.split for row in rows} == dict(second.splits)
    assert {row.salt for row in rows} == {"salt"}
