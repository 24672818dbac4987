"""Every stage has the same form, and its SELECT runs on both databases."""

from __future__ import annotations

import inspect
import sys
from functools import partial

import pytest

from annoy_store.db.engine import Database
from annoy_store.db.states import STAGE_NAMES
from annoy_store.interfaces import Stage
from annoy_store.queue.claims import load_rows
from annoy_store.queue.enqueue import enqueue_all
from annoy_store.queue.jobs import Claim
from annoy_store.queue.variants import load_plan
from annoy_store.stages import PIPELINE


def test_pipeline_is_one_stage_per_task_where_tasks_matter() -> None:
    assert list(dict.fromkeys(stage.name for stage in PIPELINE)) == list(STAGE_NAMES)
    assert [s.key for s in PIPELINE if s.task] == [
        "predict:predict_output",
        "predict:predict_input",
        "verify:predict_output",
        "verify:predict_input",
    ]


def test_pipeline_is_the_seven_stages_in_order() -> None:
    assert list(STAGE_NAMES) == [
        "transform",
        "complete",
        "parse",
        "generate",
        "predict",
        "verify",
        "revise",
    ]


@pytest.mark.parametrize("stage", PIPELINE, ids=lambda s: s.key)
def test_stage_is_named_after_its_file_and_opens_with_three_lines(stage: Stage) -> None:
    run = stage.run.func if isinstance(stage.run, partial) else stage.run
    module = sys.modules[run.__module__]
    assert module.__name__ == f"annoy_store.stages.{stage.name}"
    lines = (module.__doc__ or "").splitlines()
    assert lines[0].startswith(f"{stage.name}: ")
    assert [line.split()[0] for line in lines[2:5]] == ["selects", "does", "writes"]
    written = lines[4].removeprefix("writes").replace(",", " ").split()
    assert sorted(written) == sorted(t.name for t in stage.writes)


@pytest.mark.parametrize("stage", PIPELINE, ids=lambda s: s.key)
def test_stage_run_is_a_coroutine_in_the_async_executor_only(stage: Stage) -> None:
    assert inspect.iscoroutinefunction(stage.run) is (stage.executor == "async")


def test_stage_selects_run_on_an_empty_store(store: Database) -> None:
    with store.write() as connection:
        agenda = load_plan(connection, PIPELINE)
        assert enqueue_all(connection, agenda).total() == 0
        for stage in PIPELINE:
            assert load_rows(connection, agenda, stage, [Claim(stage.name, 1, 1, 1)]) == {}


@pytest.mark.parametrize("stage", PIPELINE, ids=lambda s: s.key)
def test_stage_depends_and_rescan_on_are_policies(stage: Stage) -> None:
    from annoy_store.config import Policy

    assert {*stage.depends, *stage.rescan_on} <= set(Policy.model_fields)
