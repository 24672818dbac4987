"""What export tests start from: samples with pairs, and chains of answers that were judged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.sql import upsert
from annoy_store.db.tables import (
    benchmark_comparisons,
    calls,
    io_pairs,
    pair_checks,
    responses,
    sample_origins,
    samples,
    sources,
    teachers,
    turns,
    variants,
    verdicts,
)
from annoy_store.hashing import compact_json, digest
from annoy_store.interfaces import NewRow
from annoy_store.prompts.template import load_template
from annoy_store.records.digests import teacher_digest
from annoy_store.records.prompts import new_calls, new_prompt, new_turn
from tests.support import factories

Judged = tuple[str, str | None]  # an answer's text and its verdict; None was not judged
FEEDBACK = {"correct": "Success.", "wrong": "The output is not the one expected."}


def verify_variant(connection: Connection, version: str = "one", active: int = 1) -> int:
    """The variant under which answers are judged."""
    named = digest("variant", "verify", version)
    found = connection.scalar(select(variants.c.id).where(variants.c.digest == named))
    if found is None:
        row = {"stage": "verify", "digest": named, "description": version, "active": active}
        connection.execute(insert(variants).values(row))
        found = connection.scalar(select(variants.c.id).where(variants.c.digest == named))
    return int(found or 0)


def teacher(connection: Connection, model: str = "tracer") -> int:
    named = teacher_digest("tracer", model, "", {})
    row = {"digest": named, "backend": "tracer", "model": model, "base_url": "", "parameters": "{}"}
    return insert_rows(connection, [NewRow(teachers, row)])["teachers"][0]


def sampled(
    name: str,
    pairs: int = 2,
    repo: str | None = None,
    licence: str = "mit",
    code: str | None = None,
) -> list[NewRow]:
    """A sample with a source, its origin and stable pairs."""
    refcode = code or f"def main_solution(x):\n    return '{name}' * x\n"
    source = factories.source(f"# {name}\n" + refcode)
    sample = factories.sample(refcode, problem=f"What does {name} give?")
    origin = factories.origin(source, repo or f"team/{name}", f"{name}.py", licence)
    made = NewRow(sample_origins, _origin_of(sample, source))
    return [origin, made, *(factories.io_pair(sample, {"x": i}, name * i, i) for i in range(pairs))]


def _origin_of(sample: NewRow, source: NewRow) -> dict[str, Any]:
    named = digest("sample_origin", sample.values["digest"], source.values["digest"])
    values = {"digest": named, "sample_id": sample, "source_id": source, "response_id": None}
    return values | {"variant_id": None, "origin": None}


def pairs_of(rows: Sequence[NewRow]) -> list[NewRow]:
    return [row for row in rows if row.table.name == "io_pairs"]


def checked(
    connection: Connection,
    pair: NewRow | int,
    status: str = "stable",
    lines: int = 7,
    version: str = "one",
) -> NewRow:
    """A check of a pair under a version of `generate`."""
    variant = generate_variant(connection, version)
    values = {"io_pair_id": pair, "variant_id": variant, "status": status}
    values |= {"execution_id": None, "lines_executed": lines, "shown": "no"}
    return NewRow(pair_checks, values)


def generate_variant(connection: Connection, version: str = "one") -> int:
    named = digest("variant", "generate", version)
    found = connection.scalar(select(variants.c.id).where(variants.c.digest == named))
    if found is None:
        row = {"stage": "generate", "digest": named, "description": version, "active": 1}
        connection.execute(insert(variants).values(row))
        found = connection.scalar(select(variants.c.id).where(variants.c.digest == named))
    return int(found or 0)


def check_again(store: Database, status: str, version: str, like: str = "%") -> None:
    """Check pairs again under a version of `generate`: of the samples with such a problem."""
    own = select(samples.c.id).where(samples.c.problem_statement.like(like))
    with store.write() as connection:
        pairs = connection.scalars(select(io_pairs.c.id).where(io_pairs.c.sample_id.in_(own))).all()
        rows = [checked(connection, pair, status, version=version) for pair in pairs]
        insert_rows(connection, rows)


def chain(
    connection: Connection,
    pair: NewRow,
    answers: Sequence[Judged],
    kind: str = "predict_output",
    sample_no: int = 0,
    question: str | None = None,
    model: str = "tracer",
) -> list[NewRow]:
    """A first prediction turn about a pair, with its answers, verdicts and revisions.

    The pair is stable unless a later row says otherwise.
    """
    shown = pair.values["input" if kind == "predict_output" else "output"]
    sample = pair.values["sample_id"].values
    words = question or f"{sample['problem_statement']} {kind}: {shown}"
    messages = [{"role": "user", "content": words}]
    rows: list[NewRow] = []
    first: NewRow | None = None
    before: NewRow | None = None
    for number, (text, status) in enumerate(answers, 1):
        asked = new_prompt(messages, load_template("transform"))
        about = compact_json(
            [sample["digest"], pair.values["input_digest"], sample_no * (number > 1)]
        )
        why = new_turn(
            asked,
            kind,
            number,
            about,
            io_pair_id=pair,
            sample_id=pair.values["sample_id"],
            revises_response_id=before,
            chain_response_id=first,
        )
        call = new_calls(asked, sample_no + 1)[sample_no if number == 1 else 0]
        answer = factories.response(call, text, teacher(connection, model))
        rows += [why, answer]
        if status is not None:
            rows.append(verdict(connection, answer, status))
        first, before = first or answer, answer
        said = FEEDBACK.get(status or "wrong", "It failed.")
        messages = [
            *messages,
            {"role": "assistant", "content": text},
            {"role": "user", "content": f"{said} Do it again."},
        ]
    return [*rows, checked(connection, pair)]


def verdict(
    connection: Connection, answer: NewRow | int, status: str, version: str = "one"
) -> NewRow:
    values = {"response_id": answer, "checker": "prediction", "status": status, "mismatch": None}
    values |= {"variant_id": verify_variant(connection, version), "execution_id": None}
    values |= {"created_at": factories.NOW, "predicted": None, "got": None}
    return NewRow(verdicts, values | {"feedback": FEEDBACK.get(status, "It failed.")})


def fill(store: Database, names: Sequence[str] = ("ant", "bee", "cow"), **options: Any) -> None:
    """Per name a sample with two pairs and, of each: right at once, repaired, wrong twice."""
    with store.write() as connection:
        for name in names:
            fill_one(connection, name, **options)


def fill_one(connection: Connection, name: str, **options: Any) -> None:
    rows = sampled(name, **options)
    first, second = pairs_of(rows)[:2]
    said = json.dumps({"output": name})
    rows += chain(connection, first, [(f"I see. {said}", "correct")])
    rows += chain(connection, second, [("no idea", "wrong"), (f"Now. {said}", "correct")])
    rows += chain(
        connection, second, [("{}", "wrong"), ("{} again", "wrong")], kind="predict_input"
    )
    rows += [checked(connection, first, lines=3), checked(connection, second, lines=40)]
    insert_rows(connection, rows)


def compare(store: Database, benchmark: str = "b.jsonl") -> None:
    """Say that a benchmark was compared with all that is there."""
    compared = {"source_id": sources, "sample_id": samples, "io_pair_id": io_pairs}
    with store.write() as connection:
        last = {n: connection.scalar(select(func.max(t.c.id))) or 0 for n, t in compared.items()}
        row = {"benchmark": benchmark, "n_items": 1, "created_at": factories.NOW}
        upsert(connection, benchmark_comparisons, row | last)


def add_answer(
    connection: Connection,
    prompt_id: int,
    sample_no: int,
    text: str,
    status: str | None,
    model: str = "tracer",
    finish_reason: str = "stop",
) -> int:
    """A further answer to a prompt, with its verdict."""
    values = {"prompt_id": prompt_id, "sample_no": sample_no, "pinned_teacher_id": 0}
    call, whose = NewRow(calls, values), teacher(connection, model)
    answer = factories.response(call, text, whose, finish_reason)
    judged = [verdict(connection, answer, status)] if status else []
    return insert_rows(connection, [answer, *judged])["responses"][0]


def add_siblings(store: Database) -> None:
    """Beside every answer but those to `predict_input` one that went the other way."""
    with store.write() as connection:
        asked = connection.execute(
            select(turns.c.prompt_id, responses.c.text, verdicts.c.status)
            .join(calls, calls.c.prompt_id == turns.c.prompt_id)
            .join(responses, responses.c.call_id == calls.c.id)
            .join(verdicts, verdicts.c.response_id == responses.c.id)
            .where(turns.c.kind == "predict_output")
            .order_by(turns.c.digest)
        ).all()
        for prompt_id, text, status in asked:
            other = "wrong" if status == "correct" else "correct"
            add_answer(connection, prompt_id, 1, f"{text} (the other way)", other)


def share_prompts(store: Database) -> None:
    """Let each prompt be asked for a second pair too, as imported files do: a turn for each."""
    with store.write() as connection:
        for row in connection.execute(select(turns).order_by(turns.c.id)).mappings().all():
            own = io_pairs.c.sample_id == row["sample_id"]
            other = select(func.min(io_pairs.c.id)).where(own, io_pairs.c.id != row["io_pair_id"])
            values = {k: v for k, v in row.items() if k != "id"}
            values |= {"digest": f"again {row['digest']}", "io_pair_id": connection.scalar(other)}
            insert_rows(connection, [NewRow(turns, values)])


def chain_ids(store: Database) -> list[int]:
    with store.read() as connection:
        return list(connection.scalars(select(responses.c.id).order_by(responses.c.id)))
