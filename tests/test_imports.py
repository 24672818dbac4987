"""Which package may import which, and that nothing imports in a circle."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "annoy_store"
TABLE = """
errors
config
hashing
interfaces   config
parsing      hashing
plugins      errors
files        errors
prompts      errors hashing
db           errors hashing interfaces
sandbox      errors hashing interfaces
records      config db errors hashing interfaces prompts
queue        config db errors hashing interfaces prompts records
tasks        config db errors hashing interfaces parsing plugins prompts records
stages       config db errors hashing interfaces parsing plugins prompts records tasks
inference    config db errors hashing interfaces parsing plugins prompts queue records sandbox
dedup        db errors files hashing interfaces records tasks
batch        config db errors inference interfaces queue records stages
ingest       config db errors files hashing interfaces parsing plugins prompts queue records stages tasks
analysis     config db errors hashing inference interfaces queue records stages tasks
export       config db dedup errors files hashing interfaces parsing plugins prompts records tasks
benchmark    config db errors files hashing inference interfaces parsing prompts records tasks
rewards      config errors hashing interfaces parsing sandbox tasks
report       analysis benchmark db errors
maintenance  analysis db errors files hashing ingest interfaces queue records stages
worker       batch config db errors files hashing inference interfaces queue records sandbox stages
web          analysis db errors interfaces queue records report
"""
ALLOWED = {words[0]: set(words[1:]) for line in TABLE.split("\n") if (words := line.split())}
FREE = {"__init__", "__main__", "api", "demo"}  # what may import everything, and what is no module


def packages() -> list[str]:
    """Every package, and every file at the root."""
    names = {
        path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")
    }
    return sorted(names - FREE)


def files(name: str) -> list[Path]:
    folder = PACKAGE / name
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{name}.py"]


def module_name(path: Path) -> str:
    relative = path.relative_to(ROOT).with_suffix("")
    return ".".join(relative.parts).removesuffix(".__init__")


MODULES = {module_name(path) for path in PACKAGE.rglob("*.py") if "demo" not in path.parts}


def imports(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports, also inside functions and for types only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "annoy_store":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module or ""
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("annoy_store."))


@pytest.mark.parametrize("name", packages())
def test_a_package_imports_what_the_table_allows(name: str) -> None:
    assert name in ALLOWED, f"{name} has no row in the table"
    for path in files(name):
        for module in imports(path):
            other = module.split(".")[1] if "." in module else ""
            assert other in ALLOWED[name] | {name}, f"{path.relative_to(ROOT)} imports {module}"


def test_modules_import_in_no_circle() -> None:
    wants = {
        module_name(p): set(imports(p)) - {module_name(p)} for n in packages() for p in files(n)
    }
    while leaves := [name for name, others in wants.items() if not others & set(wants)]:
        for name in leaves:
            del wants[name]
    assert wants == {}


def test_the_runner_imports_nothing_of_ours() -> None:
    assert list(imports(PACKAGE / "sandbox" / "runner.py")) == []


def test_dialects_are_named_in_two_files() -> None:
    spelled = re.compile(
        r"sqlalchemy\.dialects|dialect\.name|sqlalchemy import .*\b(sqlite|postgresql)\b"
    )
    found = [p for p in PACKAGE.rglob("*.py") if spelled.search(p.read_text(encoding="utf-8"))]
    assert {str(p.relative_to(PACKAGE)) for p in found} <= {"db/engine.py", "db/sql.py"}


def test_packages_are_all_in_the_distribution() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {module_name(path) for path in PACKAGE.rglob("__init__.py")}
    assert found - set(listed) == set()


def test_the_top_level_holds_what_it_should() -> None:
    allowed = {"annoy_store", "migrations", "commands", "tests", "alembic.ini", "pyproject.toml"}
    allowed |= {"README.md", "LICENSE"}
    seen = {path.name for path in ROOT.iterdir() if not path.name.startswith((".", "__"))}
    built = {"build", "dist", "annoy_store.egg-info"}
    assert seen - built <= allowed
