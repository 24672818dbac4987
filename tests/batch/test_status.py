"""The open batches of a store, and the commands that import their results."""

from __future__ import annotations

from pathlib import Path

import pytest

from annoy_store.batch.files import export_requests
from annoy_store.batch.status import as_dict, list_batches, open_batch_summary, resume_command
from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from tests.batch.conftest import RunOnce
from tests.integration.test_interrupted_calls import plan_calls
from tests.support.provider import Provider

pytestmark = pytest.mark.slow_on("postgres")


def test_open_batch_summary_has_a_line_for_each_command(
    sqlite_store: Database, provider: Provider, run_once: RunOnce, tmp_path: Path
) -> None:
    plan_calls(sqlite_store, 7)
    run_once(sqlite_store, limit=4, batch_lines=2)
    settings = RunSettings(teacher="batch", model="sim", base_url=provider.url)
    export_requests(sqlite_store, settings, tmp_path / "in.jsonl")
    command = f"annoy run --teacher batch --model sim --base-url {provider.url}"
    with sqlite_store.read() as connection:
        assert sorted(open_batch_summary(connection)) == [
            "3 calls wait in batch 3 (exported); import the results with: annoy batch import FILE",
            f"4 calls wait in 2 batches; import the results with: {command}",
        ]
        newest, *submitted = list_batches(connection)
    assert (newest.id, newest.state) == (3, "exported")
    assert [resume_command(batch) for batch in submitted] == [command] * 2
    assert as_dict(newest)["n_calls"] == 3
