"""The words of states: one tuple per question, which together are the states of a job."""

from __future__ import annotations

from typing import get_args

from annoy_store.db.states import (
    ENDED_STATES,
    FAILED_STATES,
    JOB_STATES,
    OPEN_STATES,
    STAGE_NAMES,
    WAITING_STATES,
    sql_list,
)
from annoy_store.interfaces import JobState
from annoy_store.stages import PIPELINE


def test_job_states_are_open_or_ended() -> None:
    assert set(JOB_STATES) == set(get_args(JobState)) == {*OPEN_STATES, *ENDED_STATES}
    assert not set(OPEN_STATES) & set(ENDED_STATES)
    assert set(WAITING_STATES) == set(OPEN_STATES) - {"claimed"}
    assert set(FAILED_STATES) == set(ENDED_STATES) - {"done"}


def test_stage_names_are_those_of_the_pipeline() -> None:
    assert tuple(dict.fromkeys(stage.name for stage in PIPELINE)) == STAGE_NAMES


def test_sql_list_quotes_words() -> None:
    assert sql_list(FAILED_STATES) == "('rejected', 'failed')"
