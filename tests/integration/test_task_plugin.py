"""A task of another package: found by its entry point, and taken through the whole pipeline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from annoy_store.prompts.template import extract_values
from tests.support.provider import Provider

ROOT = Path(__file__).parent.parent.parent
TASK = '''
"""count_parameters: how many parameters does the function take?"""

import ast
import json

from pydantic import Field
from sqlalchemy import func, select

from annoy_store.db.tables import io_pairs, samples, turn_pairs, turns
from annoy_store.hashing import digest
from annoy_store.interfaces import CheckResult, Question, Task, TaskOptions, rejected
from annoy_store.parsing.final_answer import find_final_answer
from annoy_store.records.queries import not_hidden

TEMPLATE = """How many parameters does this function take?

```python
{{code}}
```

Unit: {{unit}}.
"""


class Options(TaskOptions):
    template: str = Field(TEMPLATE, description="prompt template: bundled name, or @FILE")
    unit: str = Field("parameters", description="what is counted, in words")
    most: int = Field(5, ge=0, description="functions with more parameters are not asked about")


def count(code):
    tree = ast.parse(code)
    [function] = [n for n in tree.body if getattr(n, "name", "") == "main_solution"]
    return len(function.args.args)


def options(policy):
    from annoy_store.tasks.policy import read_options

    return read_options(TASK, policy)


def select_samples(policy):
    other = io_pairs.alias("other")
    first = select(func.min(other.c.id)).where(other.c.sample_id == samples.c.id)
    first = first.correlate(samples).scalar_subquery().label("first_pair")
    return (
        select(samples.c.id.label("subject_id"), samples.c.digest, samples.c.refcode, first)
        .select_from(io_pairs)
        .join(samples, samples.c.id == io_pairs.c.sample_id)
        .where(not_hidden("sample", samples.c.id))
    )


def render(row, policy):
    chosen = options(policy)
    if count(row["refcode"]) > chosen.most:
        return rejected("too_many_parameters")
    values = {"code": row["refcode"], "unit": chosen.unit}
    pairs = ((row["first_pair"], "an example, shown"),)
    return Question(values, digest("sample", row["digest"]), row["subject_id"], pairs=pairs)


def truth():
    chosen = select(turns.c.id.label("turn_id"), samples.c.refcode.label("code"), samples.c.funcname)
    named = turns.join(turn_pairs, turn_pairs.c.turn_id == turns.c.id)
    return chosen.select_from(named.join(samples, samples.c.id == turns.c.sample_id))


def check(answer, truth, sandbox, policy):
    found = find_final_answer(answer.text, "output")
    if found is None:
        return CheckResult("no_answer", "No final answer was found.")
    right = count(truth["code"])
    if found.value == right:
        return CheckResult("correct", "Correct.", predicted=found.text)
    return CheckResult("wrong", "It is another number.", mismatch="value", predicted=found.text)


TASK = Task(
    name="count_parameters", title="count the parameters", subject=samples, trigger=io_pairs.c.id,
    select=select_samples, render=render, truth=truth, check=check, options=Options,
)
'''
FILES = {
    "toy_task.py": TASK,
    "toy_task-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: toy-task\nVersion: 1.0\n",
    "toy_task-1.0.dist-info/entry_points.txt": (
        "[annoy_store.tasks]\ncount_parameters = toy_task:TASK\n"
    ),
}
SOURCES = (
    "def add(a: int, b: int) -> int:\n    return a + b\n\nprint(add(1, 2))\n",
    "def double(x: int) -> int:\n    return 2 * x\n\nprint(double(4))\n",
)
DRIVER = """
import json, sys
from click.testing import CliRunner
from commands import annoy

results = []
for words in json.load(sys.stdin):
    result = CliRunner().invoke(annoy, words, prog_name="annoy")
    results.append([result.exit_code, result.stdout, result.stderr])
json.dump(results, sys.stdout)
"""


class Ran(NamedTuple):
    """How one command ended."""

    code: int
    stdout: str
    stderr: str


Command = Callable[..., list[Ran]]


def counted(messages: Sequence[dict[str, str]]) -> str:
    """Wrong at the first turn, right once there is feedback; other questions get no answer."""
    text = messages[0]["content"]
    if not text.startswith("How many parameters"):
        return "I do not know."
    head = text.partition("def main_solution(")[2].partition(")")[0]
    right = len([name for name in head.split(",") if name.strip()])
    revised = any(m["role"] == "assistant" for m in messages)
    return json.dumps({"output": right if revised else right + 1})


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(answers=counted).serving() as serving:
        yield serving


@pytest.fixture
def annoy(tmp_path: Path) -> Command:
    """The command line, with a package installed that offers one more task."""
    package = tmp_path / "package"
    for name, text in FILES.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(package), str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "ANNOY_STORE_URL": f"sqlite:///{tmp_path}/annoy.db",
    }

    def run(*commands: Sequence[str], check: bool = True) -> list[Ran]:
        done = subprocess.run(
            [sys.executable, "-c", DRIVER],
            input=json.dumps(commands),
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        results = [Ran(*result) for result in json.loads(done.stdout)]
        for words, result in zip(commands, results, strict=True):
            assert not check or result.code == 0, (words, result)
        return results

    return run


def rows(result: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_task_of_another_package_goes_through_the_whole_pipeline(
    annoy: Command, provider: Provider, tmp_path: Path
) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    for number, text in enumerate(SOURCES):
        (sources / f"{number}.py").write_text(text)
    query = "SELECT kind, status_1, last_status, closed FROM v_chains ORDER BY chain_id"
    roles = "SELECT role, COUNT(*) AS n FROM turn_pairs GROUP BY role"
    *_, shown, named, _, plan, _, _, _ = annoy(
        ("ingest", str(sources)),
        ("run", "--teacher", "tracer", "transform", "complete", "parse", "generate"),
        ("policy", "tasks=count_parameters", "count_parameters.unit=arguments"),
        ("run", "--teacher", "openai", "--base-url", provider.url, "-m", "m"),
        ("sql", query, "--format", "jsonl"),
        ("sql", roles, "--format", "jsonl"),
        ("export", "messages", str(tmp_path / "out")),
        ("plan", "--json"),
        ("status", "--json"),
        ("check",),
        ("report", str(tmp_path / "report.html")),
    )
    chains = rows(shown)
    assert len(chains) == 2
    assert {tuple(chain.values()) for chain in chains} == {
        ("count_parameters", "wrong", "correct", 1)
    }
    assert rows(named) == [{"role": "an example, shown", "n": 4}]
    [path] = (tmp_path / "out").glob("*.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(records) == 2
    asked = {m["content"].splitlines()[-1] for r in records for m in r["messages"][:1]}
    assert asked == {"Unit: arguments."}
    assert all(json.loads(r["messages"][-1]["content"])["output"] in (1, 2) for r in records)
    assert "count the parameters" in (tmp_path / "report.html").read_text()
    assert json.loads(plan.stdout)["calls"] == 0


def test_task_policies_are_checked_and_keep_their_rows(annoy: Command) -> None:
    keys = ("sql", "SELECT key, value FROM policies", "--format", "jsonl")
    _, no_task, no_key, bad_value, known, _, reset, _, stored = annoy(
        ("init",),
        ("policy", "tasks=predict_toys"),
        ("policy", "count_parameters.least=1"),
        ("policy", "count_parameters.most=-1"),
        ("policy", "--json"),
        ("policy", "template_predict_output=predict_output_code_last"),
        ("policy", "--json", "predict_output.template="),
        ("policy", "predict_output.template=predict_output_code_last"),
        keys,
        check=False,
    )
    assert (no_task.code, no_key.code, bad_value.code) == (1, 1, 1)
    assert "predict_output, predict_input, count_parameters" in no_task.stderr
    assert "count_parameters.unit" in no_key.stderr
    assert "count_parameters.most" in bad_value.stderr
    listed = {row["key"] for row in json.loads(known.stdout)}
    assert {"predict_output.template", "count_parameters.unit"} <= listed
    [row] = json.loads(reset.stdout)["policy"]
    assert row["value"] == "predict_output"
    older_key = {"key": "template_predict_output", "value": '"predict_output_code_last"'}
    assert rows(stored) == [older_key]


def test_tasks_are_named_only_where_they_may_be() -> None:
    """Stages, exports, report, pages, forecasts, prices and settings know no task by name."""
    may = (
        "annoy_store/benchmark/score.py",  # a benchmark asks for outputs
        "commands/",  # examples in help
        "annoy_store/guide/",  # examples
        "annoy_store/tasks/predict_",
        "annoy_store/inference/backends/tracer/",
        "annoy_store/ingest/codeio/",
        "annoy_store/prompts/templates/",
        "annoy_store/export/formats/",
        "annoy_store/rewards/scores.py",  # an example
    )
    named = [
        path.relative_to(ROOT).as_posix()
        for folder in ("annoy_store", "commands")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in {".py", ".sql", ".html", ".js", ".md"}
        if "predict_output" in (text := path.read_text("utf-8")) or "predict_input" in text
    ]
    assert [path for path in named if not path.startswith(may)] == ["annoy_store/tasks/__init__.py"]


def test_extract_values_reads_no_bundled_place_out_of_a_foreign_template() -> None:
    assert "problem" not in extract_values([{"role": "user", "content": "How many parameters"}])


def test_open_jobs_of_a_disabled_task_are_no_work(annoy: Command, tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(SOURCES[0])
    *_, before, _, _, at, plan, _, _, after = annoy(
        ("ingest", str(tmp_path / "one.py")),
        ("run", "--teacher", "tracer", "transform", "complete", "parse", "generate"),
        ("status", "--json"),
        ("policy", "tasks=count_parameters"),
        ("run", "--teacher", "tracer"),
        ("status", "--json"),
        ("plan", "--json"),
        ("policy", "tasks=predict_output,predict_input,count_parameters"),
        ("run", "--teacher", "tracer"),
        ("status", "--json"),
    )
    queued = json.loads(before.stdout)["stages"]["predict"]["pending"]
    status = json.loads(at.stdout)
    assert status["stages"]["predict"] == {"pending": queued, "done": 1}
    assert status["not_enabled"] == queued > 0
    assert "annoy run" not in status["next"]
    predict = json.loads(plan.stdout)["stages"]["predict"]
    assert (predict["open"], predict["expected"]) == ({}, 0)
    assert json.loads(after.stdout)["not_enabled"] == 0
    assert "pending" not in json.loads(after.stdout)["stages"]["predict"]


def test_policies_that_are_no_tasks_and_no_keys_are_refused(annoy: Command) -> None:
    values = (",", " ", "default,predict_output", "PREDICT_OUTPUT")
    _, _, *refused, hidden, plan, stored = annoy(
        ("init",),
        ("policy", "count_parameters.most=3"),
        *[("policy", f"tasks={value}") for value in values],
        ("policy", "task_options=x"),
        ("plan", "task_options=x"),
        ("sql", "SELECT key FROM policies", "--format", "jsonl"),
        check=False,
    )
    assert [result.code for result in refused] == [1] * len(values)
    assert all("known are: predict_output" in result.stderr for result in refused)
    assert (hidden.code, plan.code) == (1, 1)
    assert rows(stored) == [{"key": "count_parameters.most"}]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("transform", TASK.replace('name="count_parameters"', 'name="transform"'), "cannot be named"),
        ("a-b", TASK.replace('name="count_parameters"', 'name="a-b"'), "cannot be named"),
        ("other", TASK, "has to be a new task of that name"),
        ("other", "TASK = 3\n", "not a Task"),
        ("other", TASK.replace("options=Options", "options=int"), "has to be a class of TaskOptions"),
        ("other", "import sys\n\nsys.exit(0)\n", "of toy-task cannot be loaded: SystemExit"),
        ("other", "import nothing_such\n", "of toy-task cannot be loaded: ModuleNotFoundError"),
    ],
)  # fmt: skip
def test_task_that_cannot_be_taken_is_an_error_with_its_name(
    annoy: Command, tmp_path: Path, name: str, text: str, said: str
) -> None:
    package = tmp_path / "package"
    if "options=int" in text:
        text = text.replace('name="count_parameters"', 'name="other"')
    (package / "toy_task.py").write_text(text)
    entry = f"[annoy_store.tasks]\n{name} = toy_task:TASK\n"
    (package / "toy_task-1.0.dist-info" / "entry_points.txt").write_text(entry)
    helped, refused = annoy(("--help",), ("policy",), check=False)
    assert (helped.code, refused.code) == (0, 1)
    assert f"'{name}'" in refused.stderr
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
