"""Answers of two stores are kept once each."""

from __future__ import annotations

from collections import Counter

from hypothesis import given as examples
from hypothesis import strategies as st

from annoy_store.maintenance.merge_calls import CallsByNumber, place_call


@examples(st.lists(st.lists(st.sampled_from(["a", "b", None]), max_size=4), min_size=1, max_size=4))
def test_place_call_keeps_each_answer_once(stores: list[list[str | None]]) -> None:
    """Merging stores in any order keeps every answer as often as one store had it at most."""
    shelf: CallsByNumber = {}

    def merged_in(answers: list[str | None]) -> list[bool]:
        for slot in shelf.values():
            slot.matched = False
        return [
            place_call(shelf, number, (said,) if said else None)[1]
            for number, said in enumerate(answers)
        ]

    for answers in stores:
        merged_in(answers)
        assert not any(merged_in(answers))
    given_most: Counter[str] = Counter()
    for answers in stores:
        given_most |= Counter(said for said in answers if said)
    kept = Counter(slot.answer[0] for slot in shelf.values() if slot.answer)
    assert kept == given_most
