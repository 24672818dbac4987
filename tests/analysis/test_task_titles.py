"""Every kind of question has a title."""

from __future__ import annotations

from annoy_store.analysis.task_titles import TRANSFORM, question_titles, task_titles


def test_question_titles_are_those_of_transform_and_the_tasks() -> None:
    assert list(question_titles()) == [TRANSFORM, *task_titles()]
    assert all(question_titles().values())


def test_task_titles_can_be_changed_without_effect() -> None:
    task_titles().clear()
    assert task_titles()
