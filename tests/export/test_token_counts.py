"""Lengths in tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.export.export import export
from annoy_store.export.filters import Selection
from annoy_store.export.request import ExportReport, ExportRequest
from tests.support import chains

NAMES = ("ant", "bee", "cow")


@pytest.fixture
def filled(sqlite_store: Database) -> Database:
    """Of each animal: right at once (3 lines), repaired and wrong twice (40 lines)."""
    chains.fill(sqlite_store, NAMES)
    return sqlite_store


def count(store: Database, form: str = "codeio", **selection: Any) -> ExportReport:
    request = ExportRequest(form, Path("nowhere"), Selection(**selection), dry_run=True)
    return export(store, request)


def test_token_counts_filter_by_a_tokenizer_file(filled: Database, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    model = tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")
    words = tokenizers.Tokenizer(model)
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    words.save(str(tmp_path / "tokenizer.json"))
    # 'What does ant give? predict_output: {"x":0}' and 'I see. {"output": "ant"}'
    given = {"tokenizer": tmp_path / "tokenizer.json"}
    assert dict(count(filled, tokens=(None, 10), **given).removed) == {"tokens": 6}
    assert count(filled, tokens=(11, None), **given).n_rows == 6
    with pytest.raises(UsageError, match="--tokens needs --tokenizer FILE"):
        count(filled, tokens=(1, None))
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(UsageError, match=r"broken.json is not a tokenizer.json"):
        count(filled, tokens=(1, None), tokenizer=tmp_path / "broken.json")
