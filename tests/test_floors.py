"""A file imports only from lower floors or its own folder, and dialects have two homes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "annoy_store"
FLOORS: tuple[str, ...] = (
    "errors identity",
    """tables contracts settings parsing matching wording values restless braces literals data_files
    views progress turns""",
    "engines schema database sandbox tracing endpoints teachers",
    """policies planning rehoming counting ledger workforce writing wanting executing drawing
    asking checkers hands standing pricing budgeting thrift pacing roster""",
    # the rest: the stages, the loop, and what is built beside it
)
ROOF = "__main__"


def modules() -> list[str]:
    """Every room of the package: a file, or a folder of files of one shape."""
    return sorted(
        {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")}
        - {"__init__", "commands", "migrations", "demo"}
    )


def floor(name: str) -> int:
    if name == ROOF:
        return len(FLOORS) + 1
    return next((i for i, names in enumerate(FLOORS) if name in names.split()), len(FLOORS))


def imports(path: Path) -> Iterator[str]:
    """The rooms of the package that a file imports, also inside functions, but not for types."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "annoy_store":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("annoy_store."):
            yield (node.module or "").split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("annoy_store."):
                    yield alias.name.split(".")[1]


def files(name: str) -> list[Path]:
    folder = PACKAGE / name
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{name}.py"]


@pytest.mark.parametrize("name", modules())
def test_a_room_imports_from_lower_floors(name: str) -> None:
    for path in files(name):
        for other in imports(path):
            assert floor(other) <= floor(name), f"{path.name} imports {other} from a higher floor"


def test_nothing_goes_round_in_circles() -> None:
    wants = {name: {i for f in files(name) for i in imports(f)} - {name} for name in modules()}
    while leaves := [name for name, others in wants.items() if not others & set(wants)]:
        for name in leaves:
            del wants[name]
    assert wants == {}


def test_every_room_that_is_named_is_there() -> None:
    named = {name for names in FLOORS for name in names.split()}
    assert named <= set(modules())


def test_the_runner_of_the_sandbox_imports_nothing_of_ours() -> None:
    assert list(imports(PACKAGE / "sandbox" / "runner.py")) == []


def test_dialects_are_named_in_two_files() -> None:
    spelled = re.compile(
        r"sqlalchemy\.dialects|dialect\.name|sqlalchemy import .*\b(sqlite|postgresql)\b"
    )
    named = {p.name for p in PACKAGE.rglob("*.py") if spelled.search(p.read_text(encoding="utf-8"))}
    assert named <= {"engines.py", "database.py"}


def test_the_top_level_is_what_it_should_be() -> None:
    allowed = {"annoy_store", "migrations", "commands", "tests", "alembic.ini", "pyproject.toml"}
    allowed |= {"README.md", "LICENSE"}
    seen = {path.name for path in ROOT.iterdir() if not path.name.startswith((".", "__"))}
    built = {"build", "dist", "annoy_store.egg-info"}
    assert seen - built <= allowed
