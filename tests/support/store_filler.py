"""Fills a store with made-up history, fast: all tables of the pipeline, related as a run does it.

The rows stand for no real code; their numbers, sizes and proportions do. Used by benchmarks that
need a store of a million answers. SQLite only.
"""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

from sqlalchemy import text

from annoy_store.db.migrate import open_store
from annoy_store.db.sqlite_file import sqlite_module
from annoy_store.db.tables import metadata
from annoy_store.queue.counters import add_to_counters
from annoy_store.queue.variants import load_plan
from annoy_store.stages import PIPELINE

MODELS = ("alpha-large", "beta-small")
WRONG = ("wrong", "wrong", "wrong", "no_answer", "exception", "bad_args", "cpu_timeout")
MISMATCHES = ("value", "off_by_one", "rounding", "order", "length", "type")
ERRORS = (
    ("missing_module", None, "No module named 'pandas'", "pandas"),
    ("missing_module", None, "No module named 'requests'", "requests"),
    ("exception", "KeyError", "'item_{}'", None),
    ("exception", "IndexError", "list index out of range", None),
    ("exception", "ValueError", "could not convert string to float: 'x{}'", None),
    ("cpu_timeout", None, None, None),
)
PAIRS, ASKED = 10, 3
PER_SOURCE = 7.3  # answers that come of one source, roughly
FLUSH = 20_000
_WORDS = "def main_solution return list value input output while for result number total index "


class Filler:
    """Writes histories of sources into a SQLite file, ids going on from what is there."""

    def __init__(self, path: Path, seed: int = 1, refused: float = 0.12) -> None:
        """`refused` is the share of rewritten sources that cannot be parsed."""
        self.random, self.refused = random.Random(seed), refused
        self.variants = self._prepare(path)
        self.db = sqlite_module().connect(str(path), isolation_level=None)
        self.db.execute("PRAGMA synchronous = OFF")
        self.db.execute("PRAGMA cache_size = -400000")
        self.rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self.jobs: dict[tuple[str, str], int] = defaultdict(int)
        self.next = {t.name: self._next(t.name) for t in metadata.sorted_tables if "id" in t.c}
        self.statements: dict[str, str] = {}
        self.texts = [_WORDS * n for n in (3, 8, 15, 25, 45)]

    def _prepare(self, path: Path) -> dict[str, list[int]]:
        store = open_store(f"sqlite:///{path}", create=True)
        with store.write() as connection:
            agenda = load_plan(connection, PIPELINE)
            for model in MODELS:
                row = {"d": f"teacher-{model}", "m": model}
                connection.execute(
                    text(
                        "INSERT OR IGNORE INTO teachers (digest, backend, model, base_url, parameters)"
                        " VALUES (:d, 'openai', :m, '', '{}')"
                    ),
                    row,
                )
                connection.execute(
                    text("INSERT OR IGNORE INTO prices VALUES (:m, '2025', 1.0, 0.1, 4.0)"), row
                )
        store.close()
        return {name: [c.variant_id for c in cases] for name, cases in agenda.partitions.items()}

    def _next(self, table: str) -> int:
        return int(self.db.execute(f"SELECT COALESCE(MAX(id), 0) + 1 FROM {table}").fetchone()[0])

    def fill(self, answers: int) -> None:
        """Add the histories of so many sources that they make about `answers` answers."""
        wanted = self.next["responses"] + answers
        while self.next["responses"] < wanted:
            self._source()
            if len(self.rows["responses"]) >= FLUSH:
                self._flush()
        self._flush()
        self._count()

    def ingest(self, n: int) -> None:
        """Add sources that nobody has planned for."""
        for _ in range(n):
            self._raw()
            if len(self.rows["sources"]) >= FLUSH:
                self._flush()
        self._flush()

    def close(self) -> None:
        self.db.close()

    # Rows ------------------------------------------------------------------------------------

    def add(self, table: str, **values: Any) -> int:
        """Add one row to a table with an id; return the id."""
        key = self.next[table]
        self.next[table] += 1
        if table not in self.statements:
            self.statements[table] = _insert(table, ["id", *values])
        self.rows[table].append((key, *values.values()))
        return key

    def job(
        self,
        stage: str,
        subject: int,
        state: str = "done",
        reason: str | None = None,
        detail: str | None = None,
        case: int = 0,
        task: str = "",
    ) -> None:
        self.jobs[stage, state] += 1
        self.statements["jobs"] = _insert(
            "jobs",
            ["stage", "subject_id", "variant_id", "state", "attempts", "reason", "detail"],
        )
        variant = self.variants[f"{stage}:{task}" if task else stage][case]
        self.rows["jobs"].append((stage, subject, variant, state, 1, reason, detail))

    def _flush(self) -> None:
        self.db.execute("BEGIN")
        for table, rows in self.rows.items():
            self.db.executemany(self.statements[table], rows)
            rows.clear()
        self.db.execute("COMMIT")

    def _count(self) -> None:
        path = self.db.execute("PRAGMA database_list").fetchone()[2]
        store = open_store(f"sqlite:///{path}")
        with store.write() as connection:
            add_to_counters(connection, 0, self.jobs)
        self.jobs.clear()
        store.close()

    # History ---------------------------------------------------------------------------------

    def _text(self) -> str:
        return self.random.choice(self.texts)

    def _source(self) -> None:
        source = self._raw()
        self.job("transform", source)
        response, _ = self._ask("transform", 1, 0, source_id=source)
        if self.random.random() < self.refused:
            return self.job("parse", response, "rejected", "syntax_error", f"line {source % 99}")
        self.job("parse", response)
        return self._sample(source, response)

    def _raw(self) -> int:
        content = self._text()
        source = self.add(
            "sources",
            digest=f"s{self.next['sources']}",
            language="python",
            n_chars=len(content),
            created_at=_time(self.next["sources"]),
            content=content,
        )
        self.add(
            "origins",
            digest=f"o{source}",
            source_id=source,
            origin="made-up",
            repo=f"team{source % 997}/project{source % 8191}",
            path=f"src/file{source}.py",
            licence=("mit", "apache-2.0", "gpl-3.0")[source % 3],
            metadata="{}",
        )
        return source

    def _sample(self, source: int, response: int) -> None:
        sample = self.add(
            "samples",
            digest=f"f{self.next['samples']}",
            funcname="main_solution",
            problem_statement=self.texts[0],
            io_requirements=self.texts[0],
            refcode=self.texts[1],
            input_generator=self.texts[0],
        )
        self.add(
            "sample_origins",
            digest=f"so{sample}",
            sample_id=sample,
            response_id=response,
            source_id=source,
            variant_id=self.variants["parse"][0],
            origin=None,
        )
        if self.random.random() < 0.15:
            outcome, kind, message, module = self.random.choice(ERRORS)
            message = message and message.format(sample)
            self._execution("generate", outcome, kind, message, module, sample_id=sample)
            word = f"{outcome}:{module or kind}" if module or kind else outcome
            return self.job("generate", sample, "rejected", word, message)
        self.job("generate", sample)
        return self._pairs(sample)

    def _execution(
        self,
        purpose: str,
        outcome: str = "ok",
        kind: str | None = None,
        message: str | None = None,
        module: str | None = None,
        *,
        sample_id: int | None = None,
        response_id: int | None = None,
    ) -> int:
        return self.add(
            "executions",
            sample_id=sample_id,
            response_id=response_id,
            purpose=purpose,
            outcome=outcome,
            error_type=kind,
            missing_module=module,
            phase="call",
            cpu_ms=12.5,
            wall_ms=14.0,
            isolation="strong",
            runner_version="1",
            interpreter="py",
            draws=None,
            error_message=message,
        )

    def _pairs(self, sample: int) -> None:
        made, checked = self._execution("generate", sample_id=sample), None
        checked = self._execution("check", sample_id=sample)
        for position in range(PAIRS):
            pair = self.add(
                "io_pairs",
                sample_id=sample,
                position=position,
                input_digest=f"{position}",
                seed=position,
                execution_id=made,
                input='{"x":12345}',
                output='[1,2,3,"abc"]',
            )
            self.add(
                "pair_checks",
                io_pair_id=pair,
                variant_id=self.variants["generate"][0],
                status="stable",
                execution_id=checked,
                lines_executed=self.random.randrange(400),
                shown="no",
            )
            if position < ASKED:
                for case, kind in ((1, "predict_output"), (2, "predict_input")):
                    self.job("predict", pair, task=kind)
                    self._chain(kind, case, sample, pair)

    def _chain(self, kind: str, case: int, sample: int, pair: int) -> None:
        about = {"io_pair_id": pair, "sample_id": sample}
        first, verdict = self._ask(kind, 1, case, **about)
        if verdict is not None:
            self._ask(kind, 2, case, **about, revises_response_id=first, chain_response_id=first)

    def _ask(self, kind: str, number: int, case: int, **about: int) -> tuple[int, int | None]:
        """Ask and judge; return the response, and its verdict when it is wrong."""
        messages = f'[{{"role":"user","content":"{self._text()}"}}]'
        prompt = self.add(
            "prompts",
            digest=f"p{self.next['prompts']}",
            template=kind,
            template_digest="t",
            n_chars=len(messages) - 30,
            messages=messages,
        )
        columns = {"source_id": None, "io_pair_id": None, "revises_response_id": None}
        self.add(
            "turns",
            digest=f"t{prompt}",
            prompt_id=prompt,
            kind=kind,
            number=number,
            **(columns | {"chain_response_id": None, "sample_id": None} | about),
        )
        call = self.add("calls", prompt_id=prompt, sample_no=0, pinned_teacher_id=0)
        self.job("complete", call, case=case)
        response = self._answer(call, len(messages))
        if kind == "transform":
            return response, None
        return response, self._judge(kind, number, response)

    def _answer(self, call: int, length: int) -> int:
        teacher, body = 1 + call % len(MODELS), self._text()
        self.add(
            "attempts",
            call_id=call,
            teacher_id=teacher,
            worker_id=1,
            started_at=_time(call),
            latency_ms=800.0,
            status="ok",
            error_class=None,
            http_status=200,
            prompt_tokens=length // 4,
            cached_tokens=length // 9,
            completion_tokens=len(body) // 4,
            reasoning_tokens=None,
            model=MODELS[teacher - 1],
            error_message=None,
        )
        return self.add(
            "responses",
            call_id=call,
            teacher_id=teacher,
            finish_reason="stop",
            n_chars=len(body),
            created_at=_time(call),
            text=body,
            reasoning=None,
        )

    def _judge(self, kind: str, number: int, response: int) -> int | None:
        self.job("verify", response, task=kind)
        right = self.random.random() < (0.55 if number == 1 else 0.3)
        status = "correct" if right else self.random.choice(WRONG)
        ran = self._execution("verify", response_id=response) if kind == "predict_input" else None
        verdict = self.add(
            "verdicts",
            response_id=response,
            checker=kind,
            variant_id=self.variants[f"verify:{kind}"][0],
            status=status,
            mismatch=self.random.choice(MISMATCHES) if status == "wrong" else None,
            execution_id=ran,
            created_at=_time(response),
            predicted="[1,2]",
            got=None,
            feedback=self.texts[0],
        )
        if right:
            return None
        if number == 1:
            self.job("revise", verdict)
        return verdict


def _insert(table: str, columns: list[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"


def _time(n: int) -> str:
    """A time that moves on by a second per row or so."""
    days, seconds = divmod(n, 86_400)
    return f"2026-01-{1 + days % 28:02d}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:00.000Z"
