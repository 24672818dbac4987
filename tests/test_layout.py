"""The layout of the code: which package may import which, and the bounds that keep it readable.

Run as a script it prints the figures: `python -m tests.test_layout`.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "annoy_store"
TESTS = ROOT / "tests"

# Which package may import which; what is not listed is forbidden, under TYPE_CHECKING too.
# An edge or a row is added only in the commit that needs it.
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
maintenance  analysis config db errors files hashing ingest interfaces queue records stages tasks
worker       analysis batch config db errors files hashing inference interfaces queue records sandbox stages
web          analysis db errors interfaces queue records report
"""
MAY_IMPORT = {words[0]: set(words[1:]) for line in TABLE.split("\n") if (words := line.split())}
FREE = {"__init__", "__main__", "api", "commands", "migrations"}  # may import every package
TERMS = {"accounting", "hashing", "input_sampling", "parsing", "staging"}  # of the trade
ONE_PROGRAM = {"annoy_store/sandbox/runner.py"}  # runs alone inside the sandbox, so in one file
IN_THE_SANDBOX = {"runner.py", "sandbox_stepper.py", "sandbox_prober.py"}
MAX_FLAT_FILES = 8
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_FMT_SKIPS = 10


@dataclass(frozen=True)
class Import:
    """One import of ours: the module that imports, the module it imports, and the line."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{_file(self.importer)}:{self.line} imports {_file(self.imported)}"


def _file(module: str) -> str:
    path = sources().get(module)
    return module if path is None else path.relative_to(ROOT).as_posix()


@cache
def sources() -> dict[str, Path]:
    """The modules by the name that they are installed under, but for the demo's sources."""
    folders = {
        "annoy_store": PACKAGE,
        "annoy_store.commands": ROOT / "commands",
        "annoy_store.migrations": ROOT / "migrations",
    }
    return {
        ".".join((prefix, *path.relative_to(folder).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for prefix, folder in folders.items()
        for path in sorted(folder.rglob("*.py"))
        if "demo" not in path.relative_to(folder).parts
    }


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports() -> list[Import]:
    """Every import of one module of ours by another, wherever in the file it stands."""
    return [
        Import(name, target, line)
        for name, path in sources().items()
        for line, targets in _targets(name, path)
        for target in sorted(targets - {name})
    ]


def _targets(name: str, path: Path) -> Iterator[tuple[int, set[str]]]:
    """Line and modules of ours of every import statement."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(name, path, node)
            below = {f"{module}.{alias.name}" for alias in node.names}
            found = below & sources().keys() | ({module} if below - sources().keys() else set())
        else:
            continue
        yield node.lineno, {target for target in found if target.split(".")[0] == "annoy_store"}


def _absolute(name: str, path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def _unit(module: str) -> str:
    """The package (or file at the root) that a module belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def test_every_package_is_in_the_table() -> None:
    assert {_unit(name) for name in sources()} - MAY_IMPORT.keys() - FREE == set()


def test_packages_import_what_the_table_allows() -> None:
    wrong = [
        str(found)
        for found in imports()
        if (importer := _unit(found.importer)) not in FREE
        and (imported := _unit(found.imported)) != importer
        and imported not in MAY_IMPORT.get(importer, set())
    ]
    assert wrong == []


def test_the_table_has_no_circle() -> None:
    done: set[str] = set()
    while ready := {name for name in MAY_IMPORT.keys() - done if MAY_IMPORT[name] <= done}:
        done |= ready
    assert MAY_IMPORT.keys() - done == set()


def circular_imports() -> list[Import]:
    """The imports between modules that import each other, inside packages and across."""
    edges: dict[str, set[str]] = defaultdict(set)
    for found in imports():
        edges[found.importer].add(found.imported)
    while leaves := [name for name, others in edges.items() if not others & edges.keys()]:
        for name in leaves:
            del edges[name]
    reached = {name: _reachable(name, edges) for name in edges}
    return [i for i in imports() if i.importer in reached.get(i.imported, set())]


def _reachable(start: str, edges: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        new = edges.get(todo.pop(), set()) - found
        found |= new
        todo += new
    return found


def test_modules_import_in_no_circle() -> None:
    assert [str(found) for found in circular_imports()] == []


def test_the_runner_imports_the_standard_library_only() -> None:
    names = {
        name.split(".")[0]
        for node in ast.walk(_tree(PACKAGE / "sandbox" / "runner.py"))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "."]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names - set(sys.stdlib_module_names) == set()


def test_dialects_are_named_in_two_files() -> None:
    spelled = re.compile(
        r"sqlalchemy\.dialects|dialect\.name|sqlalchemy import .*\b(sqlite|postgresql)\b"
    )
    found = [p for p in PACKAGE.rglob("*.py") if spelled.search(p.read_text(encoding="utf-8"))]
    assert {str(p.relative_to(PACKAGE)) for p in found} <= {"db/engine.py", "db/sql.py"}


def test_every_package_is_in_the_distribution() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {name for name, path in sources().items() if path.name == "__init__.py"}
    assert found - set(listed) == set()


def test_every_extra_that_is_named_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [path.read_text(encoding="utf-8") for path in (*sources().values(), ROOT / "README.md")]
    named = {
        extra.strip()
        for text in texts
        for found in re.findall(r"annoy-store\[([\w, ]+)\]", text)
        for extra in found.split(",")
    }
    assert named - project["optional-dependencies"].keys() == set()
    assert any(line.startswith("numpy") for line in project["dependencies"])  # splits need it


def test_the_top_level_holds_what_it_should() -> None:
    allowed = {"annoy_store", "migrations", "commands", "tests", "alembic.ini", "pyproject.toml"}
    allowed |= {"README.md", "LICENSE"}
    seen = {path.name for path in ROOT.iterdir() if not path.name.startswith((".", "__"))}
    built = {"build", "dist", "annoy_store.egg-info"} | {"PKG-INFO", "setup.cfg"}  # of an sdist
    assert seen - built <= allowed


def flat_files() -> list[str]:
    """The Python files at the root of the package."""
    return sorted(path.name for path in PACKAGE.glob("*.py"))


def test_few_files_are_at_the_root() -> None:
    assert len(flat_files()) <= MAX_FLAT_FILES, flat_files()


def gerunds() -> list[str]:
    """The modules and packages named by an -ing word that is no term of the trade."""
    parts = {part for name in sources() for part in name.split(".")}
    return sorted(part for part in parts if part.endswith("ing") and part not in TERMS)


def test_modules_are_named_by_nouns() -> None:
    assert gerunds() == []


def file_lengths() -> list[tuple[int, str]]:
    """The lines of every file but the program that has to be one file, the longest first."""
    found = [
        (path.read_text(encoding="utf-8").count("\n"), path.relative_to(ROOT).as_posix())
        for path in sources().values()
        if "migrations" not in path.parts
    ]
    return sorted((pair for pair in found if pair[1] not in ONE_PROGRAM), reverse=True)


def test_files_are_short() -> None:
    assert [pair for pair in file_lengths() if pair[0] > MAX_FILE_LINES] == []


def function_lengths() -> list[tuple[int, str]]:
    """The lines of every function outside migrations, the longest first."""
    found = [
        ((node.end_lineno or 0) - node.lineno + 1, f"{path.relative_to(ROOT)}:{node.name}")
        for path in sources().values()
        if "migrations" not in path.parts
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return sorted(found, reverse=True)


def test_functions_are_short() -> None:
    assert [pair for pair in function_lengths() if pair[0] > MAX_FUNCTION_LINES] == []


def fmt_skips() -> list[str]:
    """Where the formatter is told to leave the code alone."""
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources().values()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"# fmt: (skip|off)", line)
    ]


def test_the_formatter_is_seldom_told_to_skip() -> None:
    assert len(fmt_skips()) <= MAX_FMT_SKIPS, fmt_skips()


def repeated_class_names() -> dict[str, list[str]]:
    """Class names that are defined in more than one file, and where."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sources().values():
        for node in ast.walk(_tree(path)) if path.name not in IN_THE_SANDBOX else ():
            if isinstance(node, ast.ClassDef):
                found[node.name].append(path.relative_to(ROOT).as_posix())
    return {name: places for name, places in found.items() if len(places) > 1}


def test_no_group_is_repeated_possessively() -> None:
    """Python 3.11.0 to 3.11.4 match such patterns wrongly (gh-106052)."""
    possessive = re.compile(r"(?<!\\)\)(?:[*+?]|\{[\d,]*\})\+|\(\?>")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in PACKAGE.rglob("*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if possessive.search(line)
    ]
    assert found == []


def test_class_names_are_unique() -> None:
    assert repeated_class_names() == {}


def orphan_tests() -> list[str]:
    """The test files that stand for no module, but for those of several and of helpers.

    The module has the same path. Its name may be followed by what of it is tested
    (`test_runner_seccomp.py`); the tests of a package's own code have the name of the package.
    """
    return [
        path.relative_to(TESTS).as_posix()
        for path in sorted(TESTS.rglob("test_*.py"))
        if path.relative_to(TESTS).parts[0] not in ("integration", "support")
        and path != Path(__file__)
        and not _is_of_a_module(path.relative_to(TESTS))
    ]


def _is_of_a_module(test: Path) -> bool:
    folders = {
        "commands": [ROOT / "commands", PACKAGE],  # and the program itself, `__main__`
        "migrations": [ROOT / "migrations" / "versions"],
    }.get(str(test.parent), [PACKAGE / test.parent])
    words = test.stem.removeprefix("test_").split("_")
    names = {"_".join(words[:n]) for n in range(1, len(words) + 1)}
    return test.parent.name in names or any(
        (folder / f"{form}.py").is_file()
        for folder in folders
        for name in names
        for form in (name, f"_{name}", f"{name}_", f"__{name}__")
    )


def test_every_test_file_has_its_module() -> None:
    assert orphan_tests() == []


def figures() -> dict[str, object]:
    """The figures that the tests hold, for people."""
    lengths = sorted(length for length, _ in function_lengths())
    between = {(_unit(i.importer), _unit(i.imported)) for i in imports()}
    return {
        "modules": len(sources()),
        "packages": len({_unit(name) for name in sources()}),
        "imports between packages": len({(a, b) for a, b in between if a != b}),
        "imports in a circle": len(circular_imports()),
        "files at the root": flat_files(),
        "modules named by a gerund": gerunds(),
        f"files above {MAX_FILE_LINES} lines": [
            pair for pair in file_lengths() if pair[0] > MAX_FILE_LINES
        ],
        "median function, lines": lengths[len(lengths) // 2],
        "longest function": function_lengths()[0],
        "fmt: skip": len(fmt_skips()),
        "class names in two files": repeated_class_names(),
        "test files without a module": orphan_tests(),
    }


if __name__ == "__main__":
    for name, value in figures().items():
        print(f"{name}: {value}")
