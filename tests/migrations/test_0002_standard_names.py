"""Migration 0002 keeps every row of a store of revision 0001, and gives it back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, insert, text

from annoy_store.db.engine import Database
from annoy_store.db.migrate import downgrade, open_store, revision, upgrade
from annoy_store.db.sql import restart_ids
from annoy_store.errors import StoreError
from annoy_store.hashing import canonical_json, digest
from annoy_store.parsing import sections
from annoy_store.queue.variants import load_plan
from annoy_store.stages import PIPELINE

pytestmark = pytest.mark.slow_on("postgres")

NEW_NAMES = {
    "hidden": "hidden_subjects",
    "overlaps": "benchmark_overlaps",
    "probes": "behaviour_probes",
    "counters": "job_counters",
    "horizons": "commit_horizons",
}
NOW = "2026-01-01T00:00:00.000Z"
SETTINGS = {"max_prompt_chars": 9000, "samples_per_prompt": 1}
LIMITS = {
    "tolerance": 1e-6, "same_integer_part": True, "cpu_seconds": 5.0, "wall_seconds": 10.0,
    "memory_mb": 512,
}  # fmt: skip
FORWARD = "predict_input 1, predict_output 1, parsing 1, matching 1"
# id -> stage, what describes it, active; 11 and 12 differ in the template of one task alone
VARIANTS: dict[int, tuple[str, dict[str, Any], int]] = {
    1: ("import", {"version": 1}, 1),
    2: ("generate", {"version": 1}, 1),
    11: ("predict", {"version": 1, "template_predict_output": "o1",
                     "template_predict_input": "i1", **SETTINGS}, 0),
    12: ("predict", {"version": 1, "template_predict_output": "o2",
                     "template_predict_input": "i1", **SETTINGS}, 1),
    13: ("predict", {"version": 1, "template_predict_output": "o2",
                     "template_predict_input": "i1", **SETTINGS, "max_prompt_chars": 10}, 0),
    21: ("verify", {"version": FORWARD.replace("parsing 1", "parsing 0"), **LIMITS}, 0),
    22: ("verify", {"version": FORWARD, **LIMITS}, 1),
    31: ("transform", {"version": 1}, 1),
    32: ("complete", {"version": 1, "kind": "transform"}, 1),
}  # fmt: skip


def variant_digest(key: int) -> str:
    stage, described, _ = VARIANTS[key]
    return digest("variant", stage, described)


def job(stage: str, subject: int, variant: int, state: str, **columns: Any) -> dict[str, Any]:
    row = {"stage": stage, "subject_id": subject, "variant_id": variant, "state": state}
    row |= {"priority": 0, "attempts": 1, "crashes": 0, "worker_id": None, "due_at": None}
    return row | {"claimed_at": None, "reason": None, "detail": None} | columns


JOBS = [
    job("predict", 1, 11, "done"),
    job("predict", 1, 12, "pending", attempts=0, priority=2),
    job("predict", 2, 12, "done", reason="same_prompt"),
    job("predict", 3, 12, "claimed", worker_id=7, claimed_at=5.0, attempts=2),
    job("predict", 4, 12, "deferred", due_at=9.0, reason="why", crashes=1),
    job("predict", 5, 12, "suspect", crashes=2),
    job("predict", 6, 12, "failed", reason="ValueError", detail="no"),
    job("predict", 7, 12, "rejected", reason="too_long"),
    job("predict", 8, 13, "done", reason="superseded"),
    job("predict", 2, 13, "done"),
    job("predict", 9, 1, "done", reason="imported"),
    job("verify", 1, 21, "done"),
    job("verify", 1, 22, "done"),
    job("verify", 2, 21, "failed", reason="SandboxError"),
    job("verify", 2, 22, "done"),
    job("verify", 3, 22, "pending"),
    job("verify", 4, 22, "claimed", worker_id=7, claimed_at=5.0),
    job("generate", 1, 2, "rejected", reason="restless:clock", detail="0 of 3"),
    job("generate", 2, 2, "rejected", reason="no_pairs"),
    job("generate", 3, 2, "done"),
]


def old_rows() -> dict[str, list[dict[str, Any]]]:
    """Rows for every table of revision 0001. Pairs 1, 2 are of sample 1, the others of sample 2.

    Response 1 answers an output question, 2 and 3 an input question, 4 the question of turn 2 of
    the chain of 2, and 5 one to rewrite a source.
    """
    kinds = {1: "predict_output", 2: "predict_input", 3: "predict_input", 4: "predict_input"}
    kinds |= {5: "transform"}
    return {
        "sources": [{"id": 1, "digest": "s1", "language": "python", "n_chars": 3,
                     "created_at": NOW, "content": "x=1"}],
        "origins": [{"id": 1, "digest": "o1", "source_id": 1, "origin": "t", "repo": "r",
                     "path": "p", "licence": "mit", "metadata": "{}"}],
        "prompts": [{"id": i, "digest": f"p{i}", "template": "t", "template_digest": "d",
                     "n_chars": 2, "messages": "[]"} for i in kinds],
        "teachers": [{"id": 4, "digest": "t4", "backend": "openai", "model": "m", "base_url": "u",
                      "parameters": "{}"}],
        "calls": [{"id": i, "prompt_id": i, "sample_no": 0, "pinned_teacher_id": 0} for i in kinds],
        "responses": [{"id": i, "call_id": i, "teacher_id": 4, "finish_reason": "stop",
                       "n_chars": 2, "created_at": NOW, "text": f"a{i}", "reasoning": None}
                      for i in kinds],
        "samples": [{"id": i, "digest": f"sa{i}", "funcname": "f", "problem_statement": "?",
                     "io_requirements": "x", "refcode": "def f(): 1", "input_generator": None}
                    for i in (1, 2, 3)],
        "sample_origins": [{"id": 1, "digest": "so1", "sample_id": 1, "response_id": 5,
                            "source_id": 1, "variant_id": 2, "origin": None, "line": None,
                            "metadata": None}],
        "executions": [{"id": 1, "sample_id": 1, "response_id": None, "purpose": "generate",
                        "outcome": "ok", "error_type": None, "missing_module": None,
                        "phase": None, "cpu_ms": 1.5, "wall_ms": 2.5, "rung": "strong",
                        "runner_version": "1", "interpreter": "i", "draws": None,
                        "error_message": None}],
        "io_pairs": [{"id": i, "sample_id": 1 if i < 3 else 2, "position": i,
                      "input_digest": f"i{i}", "seed": i, "execution_id": 1, "input": "{}",
                      "output": "1"} for i in range(1, 10)],
        "turns": [{"id": i, "digest": f"tu{i}", "prompt_id": i, "kind": kind,
                   "number": 2 if i == 4 else 1, "source_id": 1 if i == 5 else None,
                   "io_pair_id": {1: 1, 2: 2, 3: 9, 4: 2}.get(i),
                   "revises_response_id": 2 if i == 4 else None,
                   "chain_response_id": 2 if i == 4 else None} for i, kind in kinds.items()],
        "verdicts": [{"id": i, "response_id": response, "checker": checker, "variant_id": variant,
                      "status": status, "mismatch": None, "execution_id": 1, "created_at": NOW,
                      "predicted": "1", "got": None, "feedback": "f"}
                     for i, response, checker, variant, status in (
                         (1, 1, "predict_output", 21, "wrong"),
                         (2, 1, "predict_output", 22, "correct"),
                         (3, 2, "predict_input", 21, "cpu_timeout"),
                         (4, 2, "predict_input", 22, "wrong"),
                         (5, 4, "imported", 1, "correct"))],
        "pair_checks": [{"id": 1, "io_pair_id": 1, "variant_id": 2, "status": "stable",
                         "execution_id": 1, "lines_executed": 5}],
        "attempts": [{"id": 1, "call_id": 1, "teacher_id": 4, "worker_id": 7, "started_at": NOW,
                      "latency_ms": 1.0, "status": "ok", "error_class": None, "http_status": 200,
                      "prompt_tokens": 1, "cached_tokens": 0, "completion_tokens": 2,
                      "reasoning_tokens": None, "model": "m", "error_message": None}],
        "prices": [{"model": "m", "from_time": "2025", "input": 1.0, "cached": 0.5,
                    "output": 2.0}],
        "policies": [{"key": "max_turns", "value": "3", "since": NOW}],
        "variants": [{"id": key, "stage": stage, "digest": variant_digest(key),
                      "description": canonical_json(described), "active": active}
                     for key, (stage, described, active) in VARIANTS.items()],
        "jobs": JOBS,
        "workers": [{"id": 7, "host": "h", "pid": 1, "process_start": "1", "stages": "predict",
                     "alive": 0, "lease_until": 1.0, "started_at": 1.0}],
        "counters": list(counted(JOBS)),
        "watermarks": [{"stage": "predict", "scope": "x", "upto": 9}],
        "takedowns": [{"id": 1, "kind": "repo", "value": "bad", "why": "w", "created_at": NOW,
                       "lifted_at": None, "purged_at": None}],
        "hidden": [{"kind": "sample", "subject_id": 3}],
        "horizons": [{"table_name": "verdicts", "upto": 5, "seen": 5, "writers": ""}],
        "clusters": [{"kind": "sample", "subject_id": 1, "cluster": "c"}],
        "splits": [{"salt": "", "sample_id": i, "split": split, "bucket": i, "cluster": "c",
                    "created_at": NOW}
                   for i, split in enumerate(("train", "validation", "test", "aside"), 1)],
        "exports": [{"id": i, "digest": f"e{i}", "parent_id": i - 1 or None, "format": "codeio",
                     "split": None, "filter": "{}", "n_rows": 2, "n_retractions": i - 1,
                     "folder": "f", "files": "[]", "created_at": NOW, "published_at": NOW,
                     "seen": json.dumps({"verdict": 5, "checkers": [variant_digest(20 + i)]},
                                        separators=(",", ":"))} for i in (1, 2)],
        "export_rows": [{"id": i, "export_id": 1, "position": i, "chain_id": i, "sample_id": None,
                         "split": None, "digest": f"er{i}"} for i in (1, 2)],
        "retractions": [{"export_id": 2, "export_row_id": 1, "reason": "judged_again"}],
        "batches": [{"id": 1, "name": "b", "teacher_id": 4, "worker_id": None, "state": "sent",
                     "status": None, "remote_id": "r", "input_file": None, "output_file": None,
                     "error_file": None, "n_calls": 2, "n_answered": 1, "n_failed": 0,
                     "prompt_tokens": 5, "completion_tokens": 6, "refusals": 0, "due_at": 1.0,
                     "created_at": NOW, "polled_at": None, "error": None}],
        "batch_items": [{"batch_id": 1, "call_id": 1, "open": 1, "read": 0, "tries": 2},
                        {"batch_id": 1, "call_id": 2, "open": 0, "read": 1, "tries": 1}],
        "budgets": [{"name": "usd", "cap": 1.0, "reserved": 0.0, "used": 0.5,
                     "window_start": 0.0}],
        "signatures": [{"kind": "sample", "subject_id": 1, "version": "1", "n_shingles": 3,
                        "signature": b"\x00\x01"}],
        "overlaps": [{"id": 5, "kind": "sample", "subject_id": 1, "benchmark": "b", "item": "i",
                      "method": "m", "created_at": NOW, "evidence": "e"}],
        "probes": [{"shape": "int", "inputs": "[]", "created_at": NOW}],
        "behaviours": [{"sample_id": 1, "version": "1", "shape": "int", "fingerprint": "f",
                        "twin_id": None}],
    }  # fmt: skip


def counted(jobs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Counters of two workers that add up to the jobs."""
    sums: dict[tuple[str, str], int] = {}
    for row in jobs:
        key = row["stage"], row["state"]
        sums[key] = sums.get(key, 0) + 1
    for (stage, state), n in sums.items():
        yield {"worker_id": 7, "stage": stage, "state": state, "n": n + 1}
        yield {"worker_id": 0, "stage": stage, "state": state, "n": -1}


Content = dict[str, list[dict[str, Any]]]


def content(connection: Connection) -> Content:
    """All rows of all tables of a store, whatever its schema."""
    known = MetaData()
    known.reflect(connection)
    return {
        table.name: sorted(
            (dict(row) for row in connection.execute(table.select()).mappings()), key=repr
        )
        for table in known.tables.values()
        if table.name != "alembic_version"
    }


@pytest.fixture
def old(store: Database) -> Content:
    """What `store` holds, which is at revision 0001 with rows in every table."""
    downgrade(store, "base")
    upgrade(store, "0001")
    known = MetaData()
    with store.write() as connection:
        known.reflect(connection)
        rows = old_rows()
        for table in known.sorted_tables:
            if table.name in rows:
                connection.execute(insert(table), rows[table.name])
        restart_ids(connection, known.sorted_tables)
        return content(connection)


def by_key(content: Content, stage: str) -> dict[tuple[int, int], dict[str, Any]]:
    return {(j["subject_id"], j["variant_id"]): j for j in content["jobs"] if j["stage"] == stage}


def upgraded(store: Database) -> tuple[Content, dict[tuple[int, str], int]]:
    """The content after the upgrade, and (old variant, task) -> variant."""
    upgrade(store, "0002")
    with store.read() as connection:
        new = content(connection)
    ours = [v for v in new["variants"] if v["stage"] != "import"]
    outputs = sorted(v["id"] for v in ours if v["task"] == "predict_output")
    inputs = sorted(v["id"] for v in ours if v["task"] == "predict_input")
    assert outputs == [11, 12, 13, 21, 22]
    ids = {(a, "predict_output"): a for a in outputs}
    ids |= {(1, v["task"]): v["id"] for v in new["variants"] if v["stage"] == "import"}
    return new, ids | {(a, "predict_input"): b for a, b in zip(outputs, inputs, strict=True)}


def test_every_table_has_a_row(old: Content) -> None:
    assert [name for name, rows in old.items() if not rows] == []


def test_an_old_store_is_refused_with_the_command_that_upgrades_it(
    old: Content, store: Database
) -> None:
    assert old
    with pytest.raises(StoreError, match=r"schema 0001.*works with \d{4}.*annoy init"):
        open_store(store.url.render_as_string(hide_password=False))
    upgrade(store)
    open_store(store.url.render_as_string(hide_password=False)).close()


def test_upgrade_keeps_rows_that_it_does_not_map(old: Content, store: Database) -> None:
    new, _ = upgraded(store)
    mapped = {"jobs", "job_counters", "variants", "verdicts", "exports"}
    for name, rows in old.items():
        after = new[NEW_NAMES.get(name, name)]
        if NEW_NAMES.get(name, name) not in mapped:
            renamed = {"rung": "isolation", "open": "is_open", "read": "is_read"}
            renamed |= {"tries": "n_tries"}
            expected = [
                {renamed.get(k, k): "excluded" if v == "aside" else v for k, v in row.items()}
                for row in rows
            ]
            for row in after:
                if name == "turns":
                    del row["sample_id"]
            assert after == sorted(expected, key=repr), name
    assert new["turn_pairs"] == []


def test_upgrade_gives_turns_their_sample(old: Content, store: Database) -> None:
    new, _ = upgraded(store)
    assert {t["id"]: t["sample_id"] for t in new["turns"]} == {1: 1, 2: 1, 3: 2, 4: 1, 5: None}
    assert list(new["turns"][0])[-1] == "sample_id"


def test_upgrade_describes_a_variant_per_task(old: Content, store: Database) -> None:
    new, ids = upgraded(store)
    known = {v["id"]: v for v in new["variants"]}
    for (key, task), name in ids.items():
        stage, described, active = VARIANTS[key]
        expected: dict[str, Any]
        if stage == "import":
            expected = {**described, **({"task": task} if task else {})}
        elif stage == "predict":
            settings = {k: v for k, v in described.items() if not k.startswith("template")}
            expected = {**settings, "task": task, "template": described[f"template_{task}"]}
        else:
            version = described["version"].partition(f"{task} ")[2].partition(",")[0]
            shared = described["version"].partition(", predict_output 1, ")[2]
            expected = {**described, "task": task, "version": f"{version}, {shared}"}
        if (key, task) == (11, "predict_input"):
            expected["split_from"] = variant_digest(11)
        assert known[name] == {
            "id": name, "stage": stage, "digest": digest("variant", stage, expected),
            "description": canonical_json(expected), "active": active, "task": task,
        }  # fmt: skip
    others = [v for v in new["variants"] if not v["task"]]
    assert [{k: v for k, v in o.items() if k != "task"} for o in others] == [
        v for v in old["variants"] if v["stage"] not in ("predict", "verify")
    ]


def test_upgrade_makes_a_predict_job_per_task(old: Content, store: Database) -> None:
    new, ids = upgraded(store)
    jobs = by_key(new, "predict")
    expected = {}
    for (subject, variant), row in by_key(old, "predict").items():
        if variant == 1:
            for task in ("predict_output", "predict_input"):
                expected[subject, ids[1, task]] = row | {"variant_id": ids[1, task]}
            continue
        copy = row | {"variant_id": ids[variant, "predict_input"]}
        if row["reason"] == "same_prompt":
            row, copy = row | {"reason": None}, copy | {"state": "rejected"}
        if row["state"] == "claimed":
            copy |= {"state": "pending", "worker_id": None, "claimed_at": None, "attempts": 0}
        expected[subject, variant] = row
        expected[subject, copy["variant_id"]] = copy
    assert jobs == expected


def test_upgrade_moves_verdicts_and_jobs_of_input_answers(old: Content, store: Database) -> None:
    new, ids = upgraded(store)
    of_old = {row["id"]: row for row in old["verdicts"]}
    for row in new["verdicts"]:
        before = of_old[row["id"]]
        task = before["checker"]
        variant = ids.get((before["variant_id"], task), before["variant_id"])
        assert row == before | {"variant_id": variant}
    expected = {}
    for (subject, variant), row in by_key(old, "verify").items():
        key = ids[variant, "predict_output" if subject == 1 else "predict_input"]
        expected[subject, key] = row | {"variant_id": key}
    assert by_key(new, "verify") == expected


def test_upgrade_renames_reasons_of_generate(old: Content, store: Database) -> None:
    new, _ = upgraded(store)
    reasons = {s: j["reason"] for (s, _), j in by_key(new, "generate").items()}
    assert reasons == {1: "nondeterministic:clock", 2: "no_pairs", 3: None}


def test_upgrade_keeps_counters_true(old: Content, store: Database) -> None:
    new, _ = upgraded(store)
    sums: dict[tuple[str, str], int] = {}
    for row in new["job_counters"]:
        key = row["stage"], row["state"]
        sums[key] = sums.get(key, 0) + row["n"]
    for job in new["jobs"]:
        sums[job["stage"], job["state"]] -= 1
    assert set(sums.values()) == {0}


def test_upgrade_lets_exports_know_the_new_variants(old: Content, store: Database) -> None:
    new, ids = upgraded(store)
    names = {v["id"]: v["digest"] for v in new["variants"]}
    for row in new["exports"]:
        both = [names[ids[20 + row["id"], t]] for t in ("predict_output", "predict_input")]
        assert json.loads(row["seen"]) == {"verdict": 5, "checkers": sorted(both)}


def test_downgrade_gives_equal_rows_back(old: Content, store: Database) -> None:
    first, _ = upgraded(store)
    downgrade(store, "0001")
    assert revision(store) == "0001"
    with store.read() as connection:
        back = content(connection)
    for name, rows in old.items():
        assert back[name] == rows, name
    assert back.keys() == old.keys()
    again, _ = upgraded(store)
    inputs = [
        v["id"]
        for c in (first, again)
        for v in c["variants"]
        if v["task"] == "predict_input" or (v["task"] and v["stage"] == "import")
    ]
    names = {"variant_id", "id"}
    for name, rows in first.items():
        kept, others = (
            sorted(
                ({k: "?" if k in names and v in inputs else v for k, v in r.items()} for r in c),
                key=repr,
            )
            for c in (rows, again[name])
        )
        assert kept == others, name


def test_ids_go_on_behind_those_that_were_copied(old: Content, store: Database) -> None:
    upgrade(store)
    with store.write() as connection:
        connection.execute(
            text(
                "INSERT INTO benchmark_overlaps (kind, subject_id, benchmark, item, method, "
                "created_at, evidence) VALUES ('sample', 1, 'b', 'j', 'm', '', '')"
            )
        )
        assert connection.scalar(text("SELECT MAX(id) FROM benchmark_overlaps")) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE turns SET kind = 'predict_trace' WHERE id = 1", "1 turns of other tasks"),
        ("UPDATE verdicts SET status = 'odd' WHERE id = 1", "1 verdicts of other statuses"),
        ("INSERT INTO turn_pairs VALUES (1, 2, 'shown')", "1 questions about several pairs"),
        ("UPDATE variants SET task = 'predict_trace' WHERE id = 12", "7 jobs of other tasks"),
    ],
)
def test_downgrade_refuses_rows_of_other_tasks(
    old: Content, store: Database, change: str, message: str
) -> None:
    upgrade(store)
    with store.write() as connection:
        connection.execute(text(change))
    with pytest.raises(StoreError, match=message):
        downgrade(store, "0001")
    assert revision(store) == "0002"


def test_downgrade_after_work_asks_open_questions_again(old: Content, store: Database) -> None:
    _, ids = upgraded(store)
    with store.write() as connection:
        connection.execute(
            text(
                "UPDATE jobs SET state = 'done' WHERE stage = 'predict' AND subject_id = 1 "
                "AND variant_id = 12"
            )
        )
        connection.execute(
            text("DELETE FROM jobs WHERE stage = 'predict' AND subject_id = 5 AND variant_id = 12")
        )
    downgrade(store, "0001")
    with store.read() as connection:
        jobs = by_key(content(connection), "predict")
    assert jobs[1, 12]["state"] == "pending"  # its other question is still to be asked
    assert jobs[5, 12]["state"] == "suspect"
    assert not {key for _, key in jobs} & {ids[k, "predict_input"] for k in (11, 12, 13)}


def test_upgrade_gives_the_variants_that_this_version_uses(store: Database) -> None:
    """With default policies, described as the first version would: nothing is done again for it."""
    predict = {
        "max_prompt_chars": 160_000, "samples_per_prompt": 1, "version": 1,
        "template_predict_input": "fb8733078fd1feed96fd50f49703ad83",
        "template_predict_output": "62b425db01fe51037986d0baf7b510f9",
    }  # fmt: skip
    version = FORWARD.replace("parsing 1", f"parsing {sections.VERSION}")
    verify = {"version": version, "tolerance": 1e-3, "same_integer_part": True}
    verify |= {"cpu_seconds": 5.0, "wall_seconds": 15.0, "memory_mb": 1024}
    downgrade(store, "base")
    upgrade(store, "0001")
    with store.write() as connection:
        for stage, described in (("predict", predict), ("verify", verify)):
            connection.execute(
                text(
                    "INSERT INTO variants (stage, digest, description, active) VALUES (:s, :d, :t, 1)"
                ),
                {
                    "s": stage,
                    "d": digest("variant", stage, described),
                    "t": canonical_json(described),
                },
            )
    upgrade(store)
    query = text(
        "SELECT id, task FROM variants WHERE stage IN ('predict', 'verify') AND active = 1"
    )
    with store.write() as connection:
        before = set(connection.execute(query).all())
        plan = load_plan(connection, PIPELINE)
        assert set(connection.execute(query).all()) == before
    used = {p.variant_id for s in PIPELINE if s.task for p in plan.partitions[s.key]}
    assert used == {key for key, _ in before}
    assert len(used) == 4
