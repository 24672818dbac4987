"""What is selected, rule by rule, and what each rule is said to have left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import benchmark_overlaps, variants, verdicts
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


@pytest.mark.parametrize(
    ("selection", "left", "removed"),
    [
        ({}, 9, {}),
        ({"only": "correct"}, 6, {"not_correct": 3}),
        ({"only": "revised"}, 3, {"not_revised": 6}),
        ({"turns": (1,)}, 3, {"turns": 6}),
        ({"turns": (1, 2)}, 9, {}),
        ({"teachers": ("tracer",)}, 9, {}),
        ({"teachers": ("other",)}, 0, {"teacher": 9}),
        ({"licences": ("MIT", "bsd")}, 9, {}),
        ({"licences": ("bsd",)}, 0, {"licence": 9}),
        ({"lines": (None, 10)}, 3, {"lines": 6}),
        ({"lines": (10, 100)}, 6, {"lines": 3}),
        ({"chars": (None, 90)}, 3, {"chars": 6}),
        ({"pass_rate": (0.5, None)}, 3, {"pass_rate": 6}),
        ({"where": "kind = 'predict_input'"}, 3, {"where": 6}),
        ({"where": "repo LIKE '%ant' -- and no more"}, 3, {"where": 6}),
        ({"where": "lines_executed < 10 OR pass_rate = 1"}, 3, {"where": 6}),
        ({"balance": True}, 6, {"unbalanced": 3}),
        ({"max_per_source": 1}, 3, {"source_full": 6}),
        ({"sample": 4}, 4, {"not_sampled": 5}),
        ({"sample": 4, "balance": True}, 4, {"unbalanced": 3, "not_sampled": 2}),
        (
            {"only": "correct", "turns": (2,), "lines": (50, None)},
            0,
            {"lines": 3, "not_correct": 3, "turns": 3},
        ),
    ],
)
def test_rules(
    filled: Database, selection: dict[str, Any], left: int, removed: dict[str, int]
) -> None:
    report = count(filled, **selection)
    assert (report.n_rows, dict(report.removed)) == (left, removed)
    assert report.subjects == left + sum(removed.values())


def test_rules_are_the_same_on_postgres(postgres_store: Database) -> None:
    chains.fill(postgres_store, NAMES)
    for selection in (
        {"lines": (None, 10)},
        {"pass_rate": (0.5, None)},
        {"chars": (None, 90)},
        {"licences": ("mit",), "max_per_source": 1},
        {"exclude_overlaps": True, "sample": 3},
    ):
        assert count(postgres_store, **selection).n_rows in (3, 9)


def test_a_sample_depends_on_the_seed_alone(filled: Database, tmp_path: Path) -> None:
    def drawn(name: str, seed: int) -> set[str]:
        selection = Selection(sample=4, seed=seed)
        export(filled, ExportRequest("codeio", tmp_path / name, selection))
        return set((tmp_path / name / "train.jsonl").read_text().splitlines())

    first = drawn("a", 0)
    assert drawn("b", 0) == first
    assert any(drawn(f"c{seed}", seed) != first for seed in (1, 2, 3))


def test_a_larger_sample_holds_the_smaller(filled: Database, tmp_path: Path) -> None:
    lines = []
    for n in (3, 6):
        export(filled, ExportRequest("codeio", tmp_path / str(n), Selection(sample=n)))
        lines.append(set((tmp_path / str(n) / "train.jsonl").read_text().splitlines()))
    assert lines[0] < lines[1]


def test_several_answers_to_one_prompt(filled: Database, tmp_path: Path) -> None:
    with filled.write() as connection:
        rows = chains.sampled("dog")
        pair = chains.pairs_of(rows)[0]
        for n, status in enumerate(["wrong", "correct", "correct"]):
            answers = [(f"answer {n}", status), *([("no", "wrong")] if status == "wrong" else [])]
            rows += chains.chain(connection, pair, answers, sample_no=n)
        insert_rows(connection, rows)
    dog = "repo = 'team/dog'"
    assert count(filled, where=dog).n_rows == 3
    one = count(filled, where=dog, one_per_prompt=True)
    assert (one.n_rows, one.removed["same_prompt"]) == (1, 2)
    assert count(filled, where=f"{dog} AND pass_rate > .6 AND pass_rate < .7").n_rows == 3
    assert count(filled, "rl", where=dog).n_rows == 1
    export(filled, ExportRequest("preference", tmp_path / "out", Selection(where=dog)))
    (row,) = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    told = json.loads(row)
    assert told["rejected"] == "answer 0"
    assert told["chosen"] in ("answer 1", "answer 2")


def test_overlaps_are_left_out_when_asked(filled: Database) -> None:
    with filled.write() as connection:
        row = {"benchmark": "b", "item": "1", "method": "13gram", "created_at": "", "evidence": ""}
        connection.execute(insert(benchmark_overlaps).values(kind="sample", subject_id=1, **row))
        connection.execute(insert(benchmark_overlaps).values(kind="source", subject_id=2, **row))
    assert count(filled).n_rows == 9
    assert dict(count(filled, exclude_overlaps=True).removed) == {"overlap": 6}


@pytest.mark.parametrize("where", ["nonsense = 1", "kind =", "1 = 1; DROP TABLE x", "'a'"])
def test_wrong_sql_is_a_users_mistake(filled: Database, where: str) -> None:
    with pytest.raises(UsageError, match=r"^--where: .*; the columns are: .*last_status"):
        count(filled, where=where)


def test_samples_have_no_answers(filled: Database) -> None:
    assert count(filled, "codeio_raw", licences=("mit",), where="repo <> 'team/ant'").n_rows == 2
    with pytest.raises(UsageError, match=r"codeio_raw is about samples.*leave out --only"):
        count(filled, "codeio_raw", only="correct")


def test_lengths_in_tokens(filled: Database, tmp_path: Path) -> None:
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


def test_an_older_version_of_the_judging_may_be_chosen(filled: Database) -> None:
    """The new one calls the first of the right answers wrong; what it judged not stays as it was."""
    before = count(filled, only="correct").n_rows
    with filled.write() as connection:
        old = chains.verify_variant(connection)
        right = select(verdicts.c.response_id).where(verdicts.c.status == "correct")
        answer = connection.scalars(right.order_by(verdicts.c.id).limit(1)).one()
        connection.execute(update(variants).values(active=0))
        insert_rows(connection, [chains.verdict(connection, answer, "wrong", "two")])
        new = chains.verify_variant(connection, "two")
    assert count(filled, only="correct").n_rows == before - 1
    assert count(filled, only="correct", judged_by=new).n_rows == before - 1
    assert count(filled, only="correct", judged_by=old).n_rows == before
    with pytest.raises(UsageError, match=f"no variant 99 of verify; there are: {old}, {new}"):
        count(filled, judged_by=99)
    with pytest.raises(UsageError, match="leave out --judged-by"):
        count(filled, "codeio_raw", judged_by=old)
