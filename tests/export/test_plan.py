"""The plan of an export: what is resolved once, and the order of its records."""

from __future__ import annotations

from pathlib import Path

import pytest

from annoy_store.db.engine import Database
from annoy_store.export.export import export
from annoy_store.export.file_options import check_file_options
from annoy_store.export.format_file import load_format
from annoy_store.export.parents import load_parents
from annoy_store.export.plan import ExportPlan, build_plan
from annoy_store.export.request import ExportRequest
from annoy_store.export.splits import SplitConfig
from tests.support import chains

pytestmark = pytest.mark.slow_on("postgres")


def plan_of(store: Database, request: ExportRequest) -> ExportPlan:
    form = load_format(request.format)
    layout = check_file_options(request.file_options)
    parents = load_parents(store, form.name, request.since)
    return build_plan(store, request, form, layout, parents, None)


def test_plan_takes_the_splits_of_the_parent(sqlite_store: Database, tmp_path: Path) -> None:
    chains.fill(sqlite_store, [f"animal{i}" for i in range(6)])
    split = SplitConfig(0.5, 0.25, 0.25, "salt")
    first = export(sqlite_store, ExportRequest("codeio", tmp_path / "1", split_config=split))
    chains.fill(sqlite_store, ["new"])
    plan = plan_of(sqlite_store, ExportRequest("codeio", tmp_path / "2", since="last"))
    assert (plan.parents.digest, list(plan.parents.ids)) == (first.digest, [first.export_id])
    assert (plan.request.split_config, plan.split) == (split, str(split))
    assert (plan.records.num_rows, plan.removed) == (3, {"published": 18})
    assert plan.n_subjects == 21


@pytest.mark.parametrize("form", ["codeio", "codeio_raw"])
def test_plan_orders_records_by_split_and_content(
    sqlite_store: Database, tmp_path: Path, form: str
) -> None:
    chains.fill(sqlite_store, [f"animal{i}" for i in range(9)])
    split = SplitConfig(0.4, 0.3, 0.3, "salt")
    plan = plan_of(sqlite_store, ExportRequest(form, tmp_path, split_config=split))
    order = ["train", "validation", "test"]
    splits = [order.index(name) for name in plan.records.column("split").to_pylist()]
    assert splits == sorted(splits)
    assert sum(plan.statistics["rows"].values()) == plan.records.num_rows
    assert set(plan.binding.plan_columns) <= set(plan.records.column_names)
