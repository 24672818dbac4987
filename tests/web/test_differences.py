"""Word-level differences."""

from __future__ import annotations

from annoy_store.web.differences import MAX_WORDS, DiffPart, marked_parts


def test_marked_parts_mark_the_words_that_differ() -> None:
    own, other = "same line\nthe sum is 14 now\n", "same line\nthe sum is 13\n"
    assert marked_parts(own, other, "new") == [
        DiffPart("same line\nthe sum is ", ""),
        DiffPart("14 now", "new"),
        DiffPart("\n", ""),
    ]


def test_marked_parts_keep_the_whole_text() -> None:
    own, other = "a b\n\nc\td\r\ne", "x\nc d\nf"
    for mine, theirs in ((own, other), (other, own), ("", own), (own, "")):
        assert "".join(part.text for part in marked_parts(mine, theirs, "new")) == mine


def test_marked_parts_compare_nothing_without_another_text() -> None:
    assert marked_parts("a b", None, "new") == [DiffPart("a b", "")]


def test_marked_parts_mark_long_lines_as_a_whole() -> None:
    own = "a " * MAX_WORDS + "b"
    assert marked_parts(own, own + "c", "gone") == [DiffPart(own, "gone")]
