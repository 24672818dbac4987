"""Which columns of a row are shown as facts, and the languages of texts."""

from __future__ import annotations

import pytest

from annoy_store.analysis.lineage_edges import TABLES
from annoy_store.analysis.row_columns import (
    HIDDEN_COLUMNS,
    PROSE_COLUMNS,
    SUMMARY_COLUMNS,
    TEXT_COLUMNS,
    language_of,
    visible_facts,
)


@pytest.mark.parametrize("columns", [TEXT_COLUMNS, SUMMARY_COLUMNS])
def test_columns_exist_in_their_tables(columns: dict[str, tuple[str, ...]]) -> None:
    for kind, names in columns.items():
        assert set(names) <= set(TABLES[kind].c.keys()), kind


def test_hidden_and_prose_columns_exist() -> None:
    known = {column.name for table in TABLES.values() for column in table.c}
    assert known >= HIDDEN_COLUMNS | PROSE_COLUMNS


def test_visible_facts_omit_ids_texts_and_empty_values() -> None:
    row = {"id": 3, "finish_reason": "stop", "text": "long", "reasoning": None, "n_chars": 0}
    assert visible_facts("response", row) == [("finish_reason", "stop"), ("n_chars", 0)]


def test_language_of_a_column_or_of_the_row() -> None:
    assert language_of("refcode", {}) == "python"
    assert language_of("content", {"language": "rust"}) == "rust"
    assert language_of("text", {}) == ""
