"""Bad input: one line that says what to do, exit 1, nothing lost and nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import create_engine, text

from annoy_store.db.migrate import downgrade, open_store
from tests.commands.conftest import CHECKOUT, Annoy

OneLine = Callable[[Result], str]
LOOKING = ["status", "policy", "sql", "retry", "show source:1"]


@pytest.fixture
def files() -> None:
    """One file of every bad kind, and one that is good."""
    Path("good.py").write_text("x = 1\n")
    Path("good.jsonl").write_text('{"content": "x = 2"}\n')
    Path("binary.py").write_bytes(b"\x7fELF\x00\x01")
    Path("empty.py").write_text("")
    Path("empty.jsonl").write_text("")
    Path("large.py").write_text("#" * 131_073)
    Path("column.jsonl").write_text('{"code": "x = 1"}\n')
    Path("broken.jsonl").write_text('{"content": "y = 1"}\n{"content": \n{"content": "y = 2"}\n')
    Path("garbage.parquet").write_bytes(b"PAR1 no")
    Path("cut.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00 no")
    Path("folder").mkdir()
    Path("folder/readme.md").write_text("# no code\n")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere.jsonl", "nowhere.jsonl: there is no such file or folder"),
        ("column.jsonl", "no column 'content'; choose one with --column: code"),
        ("garbage.parquet", "garbage.parquet: broken Parquet"),
        ("cut.jsonl.gz", "cut.jsonl.gz: cannot be read to its end"),
        ("folder", "folder: no file matches *.py (there is 1 .md); choose with --glob"),
    ],
)
def test_a_file_that_cannot_be_taken(annoy: Annoy, path: str, words: str) -> None:
    result = annoy("ingest", path)
    assert result.exit_code == 1
    assert [line for line in result.stderr.splitlines() if words in line]
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("binary.py", "binary:elf"),
        ("empty.py", "empty"),
        ("empty.jsonl", "empty"),
        ("large.py", "too_large"),
    ],
)
def test_a_file_that_is_refused_by_rule(annoy: Annoy, path: str, reason: str) -> None:
    result = annoy("ingest", path)
    assert result.exit_code == 1
    assert result.stdout == "0 new, 0 known, 1 refused\n"
    assert result.stderr.startswith(f"annoy: refused 1 as {reason}, e.g. {path}: ")


@pytest.mark.usefixtures("files")
def test_a_broken_line_is_told_and_the_rest_is_taken(annoy: Annoy) -> None:
    result = annoy("ingest", "broken.jsonl")
    assert (result.exit_code, result.stdout) == (0, "2 new, 0 known, 1 refused\n")
    assert "broken.jsonl line 2: broken JSON" in result.stderr


@pytest.mark.usefixtures("files")
def test_bad_files_among_good_ones(annoy: Annoy) -> None:
    result = annoy("ingest", "good.py", "column.jsonl", "binary.py", "good.jsonl", "--json")
    counts = json.loads(result.stdout)
    assert (counts["new"], counts["refused"]) == (2, {"binary:elf": 1})
    assert result.exit_code == 1
    again = annoy("ingest", "good.py", "nowhere", "good.jsonl")
    assert again.exit_code == 1
    assert again.stdout == ""


@pytest.mark.parametrize("command", LOOKING)
def test_no_store_yet(annoy: Annoy, one_line: OneLine, command: str) -> None:
    line = one_line(annoy(*command.split()))
    assert line == "annoy: there is no store at sqlite:///annoy.db; make one with: annoy init"
    assert not Path("annoy.db").exists()


@pytest.mark.parametrize("command", [*LOOKING, "ingest -"])
@pytest.mark.parametrize(
    ("revision", "words"),
    [("0000", "upgrade it with: annoy init"), ("9999", "upgrade the package with: pip install")],
)
def test_a_store_of_another_schema(
    annoy: Annoy, one_line: OneLine, command: str, revision: str, words: str
) -> None:
    annoy("init")
    _set_revision(revision)
    assert words in one_line(annoy(*command.split()))
    if revision == "9999":
        assert words in one_line(annoy("init"))


def _set_revision(revision: str) -> None:
    engine = create_engine("sqlite:///annoy.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
    engine.dispose()


def test_a_store_without_a_schema_is_made_by_init(annoy: Annoy, one_line: OneLine) -> None:
    annoy("init")
    store = open_store("sqlite:///annoy.db")
    downgrade(store, "base")
    store.close()
    assert "holds no store" in one_line(annoy("status"))
    assert annoy("init").stdout.startswith("created ")
    assert annoy("status").exit_code == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("host=h dbname=d password=secret", "not a store URL"),
        ("mysql://host/db", "use sqlite:///FILE, a path, or postgresql://HOST/DATABASE"),
        ("sqlite://", "a SQLite store must be a file"),
        ("sqlite:///nowhere/annoy.db", "nowhere"),
        ("postgresql://user:secret@127.0.0.1:1/db", "the database server is running"),
        ("postgresql://127.0.0.1:1/db?user=u&password=secret", "the database server is running"),
        ("postgresql://127.0.0.1:1/db?user=u&sslpassword=secret", "the database server is running"),
        ("postgresql://u:secret@127.0.0.1:port/db", "the port must be a number"),
        ("postgresql://u:secret@127.0.0.1:99999/db", "check the port"),
        ("postgresql:/u:secret@127.0.0.1/db", "not a store URL"),
        ("postgres//u:se:c@secret@127.0.0.1/db", "not a store URL"),
        ("sqlite:///q?x/s.db", "no parameters"),
        ("file:annoy.db?mode=memory", "not a store URL"),
        ("u:pw@h/db", "not a store URL"),
        ("sqlite:///file:annoy.db?mode=memory", "no parameters"),
        ("sqlite:///file:annoy", "must be a file"),
    ],
)
def test_a_store_that_cannot_be(annoy: Annoy, one_line: OneLine, url: str, words: str) -> None:
    for command in (("init",), ("ingest", "-"), ("status",)):
        if (url.startswith("sqlite:///"), command) != (True, ("status",)):
            line = one_line(annoy("--store", url, *command))
            assert words in line
            assert "secret" not in line


@pytest.mark.parametrize("command", LOOKING)
def test_a_file_that_is_no_store(annoy: Annoy, one_line: OneLine, command: str) -> None:
    Path("annoy.db").write_bytes(b"no store at all " * 500)
    assert "choose another with --store" in one_line(annoy(*command.split()))


def test_a_locked_store_says_so(annoy: Annoy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's program may hold the file; ours queue at a lock of their own."""
    annoy("init")
    Path("x.py").write_text("x = 1\n")
    monkeypatch.setattr("annoy_store.db.sqlite_file._PRAGMAS", ("busy_timeout = 10",))
    hold = (
        "import sqlite3, sys; c = sqlite3.connect('annoy.db', isolation_level=None)\n"
        "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        result = annoy("ingest", "x.py")
        holder.communicate("")
    assert result.exit_code == 1
    assert "close it, then repeat the command" in result.stderr


@pytest.mark.slow
def test_a_full_disk_says_so(annoy: Annoy) -> None:
    annoy("init")
    Path("x.jsonl").write_text(
        "".join(f'{{"content": "{i:05} {"y" * 5000}"}}\n' for i in range(500))
    )
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from annoy_store.__main__ import main; import sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "sys.argv[1:] = ['ingest', 'x.jsonl']; main()"
    )
    done = _run(code)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("annoy: ")
    assert "free some space" in line or "disk" in line
    assert annoy("status", "--json").exit_code == 0
    assert annoy("ingest", "x.jsonl").stdout.endswith(" 0 refused\n")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    "command",
    [
        "init",
        "ingest x.py",
        "policy tolerance=0.5",
    ],
)
def test_a_folder_that_cannot_be_written(annoy: Annoy, tmp_path: Path, command: str) -> None:
    Path("x.py").write_text("x = 1\n")
    if command.startswith("policy"):
        annoy("init")
        Path("annoy.db.lock").unlink(missing_ok=True)
    for folder in (p for p in (tmp_path, *tmp_path.parents) if "pytest-" in str(p)):
        folder.chmod(0o755)
    code = (
        "import os, sys, alembic.command, alembic.config, sqlalchemy.dialects.sqlite\n"
        "import annoy_store.ingest.sources, annoy_store.queue.variants, annoy_store.stages, pysqlite3.dbapi2\n"
        "import commands, commands.init, commands.ingest, commands.policy, logging.config\n"
        "import alembic.runtime.migration, alembic.ddl.sqlite, difflib, pydantic\n"
        f"os.setuid(65534); sys.argv[1:] = {command.split()!r}\n"
        "commands.annoy.main(prog_name='annoy')"
    )
    done = _run(code)
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("annoy: ")
    assert "can be written" in line or "writable" in line or "another location" in line


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"},
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("sql", "DELETE FROM sources"), "only reading is allowed here"),
        (("sql", "SELECT 1; SELECT 2"), "one statement at a time"),
        (("sql", ""), "the query is empty"),
        (("sql", "SELECT * FROM nowhere"), "list tables and columns with: annoy sql"),
        (("sql", "@nowhere.sql"), "nowhere.sql: no such file"),
        (("show", "nothing"), "is not KIND:ID; kinds are: origin, source"),
        (("show", "source:7"), "there is no source 7"),
        (("policy", "nokey=1"), "unknown policy 'nokey'; known are: max_source_bytes"),
        (("policy", "tolerance=2"), "policy tolerance: Input should be less than 1"),
        (("policy", "template_revise=nowhere"), "unknown template 'nowhere'; known are"),
        (("policy", "template_revise=@nowhere.md"), "cannot read nowhere.md"),
        (("retry", "--like", ""), "--like needs some text"),
    ],
)
def test_a_wrong_wish(annoy: Annoy, one_line: OneLine, args: tuple[str, ...], words: str) -> None:
    annoy("init")
    assert words in one_line(annoy(*args))


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (("ingst",), "ingest"),
        (("batch", "sttaus"), "status"),
        (("bench", "scores"), "score"),
        (("bench", "make", "x.jsonl", "--split", "tset"), "test"),
        (("run", "--teachr", "tracer"), "--teacher"),
        (("export", "codeio", "out", "--prquet"), "--parquet"),
        (("run", "verfy"), "verify"),
        (("rerun", "Generate"), "generate"),
        (("failures", "--stage", "transfrom"), "transform"),
        (("retry", "--state", "faild"), "failed"),
        (("resample", "--kind", "predict_outptu"), "predict_output"),
        (("policy", "tasks=predict_inptu"), "predict_input"),
        (("policy", "toleranc=1"), "tolerance"),
        (("policy", "predict_output.templte=x"), "predict_output.template"),
        (("policy", "template_revise=revize"), "revise"),
        (("plan", "max_turn=3"), "max_turns"),
        (("export", "codio", "out"), "codeio"),
        (("export", "codeio", "out", "--only", "corect"), "correct"),
        (("export", "codeio", "out", "--split", "trian=.9,test=.1"), "train"),
        (("sql", "SELECT 1", "--format", "markdwon"), "markdown"),
        (("sql", "SELECT * FROM v_chain"), "v_chains"),
        (("run", "--teacher", "trace"), "tracer"),
        (("run", "--preset", "deepsek"), "deepseek"),
        (("show", "sampel:1"), "sample"),
        (("show", "random", "wrng"), "wrong"),
        (("show", "random", "rejectd"), "rejected"),
        (("import", ".", "--kind", "sample"), "samples"),
        (("takedown", "sorce:1", "--why", "x"), "source"),
        (("guide", "runing"), "running"),
        (("completion", "bsh"), "bash"),
    ],
)
def test_a_name_of_a_closed_set_is_suggested(
    annoy: Annoy, args: tuple[str, ...], meant: str
) -> None:
    annoy("init")
    result = annoy(*args)
    assert result.exit_code in (1, 2)
    (line,) = result.stderr.splitlines()
    assert f"(did you mean {meant}?)" in line


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [("ANNOY_TEACHER", "tracr", "tracer"), ("ANNOY_PRESET", "deepsek", "deepseek")],
)
def test_a_name_in_a_variable_is_suggested(
    annoy: Annoy, monkeypatch: pytest.MonkeyPatch, name: str, value: str, meant: str
) -> None:
    monkeypatch.setenv(name, value)
    annoy("init")
    assert f"(did you mean {meant}?)" in annoy("run", "-m", "x").stderr


def test_a_wrong_policy_changes_nothing(annoy: Annoy) -> None:
    annoy("init")
    annoy("policy", "max_turns=3", "tolerance=nonsense")
    annoy("policy", "max_turns=3", "template_revise=nowhere")
    assert annoy("sql", "SELECT * FROM policies", "--format", "csv").stdout == "key,value,since\n"
