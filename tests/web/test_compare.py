"""Two models on the same questions."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import insert, select

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from annoy_store.db.engine import Database
from annoy_store.db.tables import calls, responses, teachers, verdicts
from annoy_store.web.compare import compare
from annoy_store.web.counts import count_rows
from tests.support import factories, populated_store
from tests.support.web_client import Client

pytestmark = pytest.mark.slow_on("postgres")


def second_model(store: Database) -> None:
    """Add an answer of another model, which is wrong, to the prompt of every first answer."""
    with store.write() as connection:
        known = connection.execute(
            select(responses, calls.c.prompt_id, verdicts.c.checker, verdicts.c.variant_id)
            .join(calls, calls.c.id == responses.c.call_id)
            .join(verdicts, verdicts.c.response_id == responses.c.id)
        ).mappings()
        rows = [dict(row) for row in known]
        like = connection.execute(select(teachers).where(teachers.c.id > 0)).mappings().first()
        assert like
        other = dict(like) | {"id": 900, "digest": "f" * 32, "model": "other"}
        connection.execute(insert(teachers).values(other))
        for i, row in enumerate(rows, 9_000):
            call = {"id": i, "prompt_id": row["prompt_id"], "sample_no": 7, "pinned_teacher_id": 0}
            connection.execute(insert(calls).values(call))
            answer = {"id": i, "call_id": i, "teacher_id": 900, "text": "no", "n_chars": 2}
            answer |= {"finish_reason": "stop", "created_at": factories.NOW}
            connection.execute(insert(responses).values(answer))
            verdict = {"id": i, "response_id": i, "status": "wrong", "feedback": "no"}
            verdict |= {"checker": row["checker"], "variant_id": row["variant_id"]}
            verdict |= {"created_at": factories.NOW}
            connection.execute(insert(verdicts).values(verdict))


def test_compare_counts_and_lists_what_both_miss(
    store: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    populated_store.fill(store)
    second_model(store)
    index = count_rows(store).index
    found = compare(index, "paid", "other", (0, 0))
    assert found.cells == {(1, 0): 1, (0, 0): 3}
    assert len(found.questions) == 3
    assert [row[0] for row in compare(index, "other", "paid", (0, 1)).questions] == [1]
    client = Client(store)
    client.get("/models")
    client.wait()
    text = client.get("/models?a=paid&b=other&cell=00").text
    assert "Both incorrect" in text
    assert 'href="/prompts/' in text
