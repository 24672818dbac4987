"""Writes a transform answer: the chosen function as a closed module, its texts and its generator.

Only text is handled here; the code in it is run in the sandbox only, later and by other stages.
"""

from __future__ import annotations

import ast
import itertools

from annoy_store.inference.backends.tracer.choose_function import Candidate, choose_function
from annoy_store.inference.backends.tracer.generator_code import (
    parameter_expressions,
    render_generator,
)
from annoy_store.inference.backends.tracer.problem_statement import (
    io_description,
    problem_statement,
)
from annoy_store.inference.backends.tracer.source_file import SourceFile, Unsuitable, read_source
from annoy_store.inference.backends.tracer.value_types import ValueType

_TREE = """class TreeNode:
    def __init__(self, val=0, left=None, right=None):
        self.val = val
        self.left = left
        self.right = right
"""
_BUILD_TREE = """def build_tree(values):
    nodes = [None if value is None else TreeNode(value) for value in values]
    waiting = nodes[::-1]
    root = waiting.pop() if waiting else None
    for node in nodes:
        if node is not None:
            if waiting:
                node.left = waiting.pop()
            if waiting:
                node.right = waiting.pop()
    return root


def tree_values(root):
    values, level = [], [root]
    while any(node is not None for node in level):
        values += [None if node is None else node.val for node in level]
        level = [child for node in level if node for child in (node.left, node.right)]
    return values
"""
_LINKED = """class ListNode:
    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next
"""
_BUILD_LINKED = """def build_list(values):
    head = None
    for value in reversed(values):
        node = ListNode(value)
        node.next = head
        head = node
    return head


def list_values(node):
    values = []
    while node is not None:
        values.append(node.val)
        node = node.next
    return values
"""
_ANNOTATED = {"int", "float", "str", "bool", "list", "dict"}


def write_transform_answer(code: str) -> str:
    """Return the answer for a source file.

    Args:
        code: The text of the file; it need not be valid Python.

    Returns:
        The four sections, or the line that says why no function is suitable.
    """
    try:
        source = read_source(code)
        return _answer(choose_function(source), source)
    except Unsuitable as reason:
        return f"No suitable function\n{reason}.\n"
    except RecursionError:
        return "No suitable function\nits code is nested too deeply to follow.\n"


def _answer(candidate: Candidate, source: SourceFile) -> str:
    drawn = parameter_expressions(candidate.parameters, candidate.topic)
    sections = (
        ("Main Function", _fenced(_module(candidate, source))),
        ("Input Output Description", io_description(candidate, drawn)),
        ("Input Generator", _fenced(render_generator(drawn))),
        ("Problem Statement", problem_statement(candidate)),
    )
    return "\n\n".join(f"## {title}\n{body}" for title, body in sections) + "\n"


def _fenced(code: str) -> str:
    fence = "````" if "```" in code else "```"
    return f"{fence}python\n{code.rstrip()}\n{fence}"


def _module(candidate: Candidate, source: SourceFile) -> str:
    future = [
        s for s in source.tree.body if isinstance(s, ast.ImportFrom) and s.module == "__future__"
    ]
    kept = [source.statement_text(s) for s in (*future, *candidate.dependencies.statements)]
    additions = [line for line in candidate.dependencies.additions if line not in source.lines]
    parts = [*kept[: len(future)], *additions, *_node_parts(candidate), *kept[len(future) :]]
    parts.append(_main(candidate))
    return _spaced(parts)


def _spaced(parts: list[str]) -> str:
    """Join statements, with two blank lines around definitions."""
    text = parts[0]
    for before, part in itertools.pairwise(parts):
        is_block = any(p.startswith(("def ", "class ", "@", "# main")) for p in (before, part))
        text += ("\n\n\n" if is_block else "\n") + part.rstrip()
    return text


def _node_parts(candidate: Candidate) -> list[str]:
    """Return the node classes that judges provide, if the file lacks them, and their builders."""
    kinds, missing = _node_kinds(candidate), candidate.dependencies.node_classes
    kept = {getattr(stmt, "name", "") for stmt in candidate.dependencies.statements}
    parts = []
    for kind, name, maker, builder in (
        ("tree", "TreeNode", _TREE, _BUILD_TREE),
        ("linked", "ListNode", _LINKED, _BUILD_LINKED),
    ):
        if kind in kinds or name in missing:
            parts += [] if name in kept else [maker]
            parts += [builder] if kind in kinds else []
    return [part.rstrip() for part in parts]


def _node_kinds(candidate: Candidate) -> set[str]:
    value_types = [parameter.value_type for parameter in candidate.parameters]
    value_types += [item for value_type in value_types for item in value_type.items]
    value_types += [candidate.return_type] if candidate.return_type else []
    return {value_type.kind for value_type in value_types} & {"tree", "linked"}


def _main(candidate: Candidate) -> str:
    if candidate.func.name == "main_solution" and candidate.owner is None:
        return ""
    names = ", ".join(_signature(p.name, p.value_type) for p in candidate.parameters)
    values = [_converted(p.name, p.value_type) for p in candidate.parameters]
    lines = ["# main function", f"def main_solution({names}):"]
    call = f"{_callee(candidate)}({', '.join(values)})"
    lines += [f"    {line}" for line in _ending(candidate, call)]
    return "\n".join(lines)


def _signature(name: str, value_type: ValueType) -> str:
    kind = value_type.kind if value_type.kind in _ANNOTATED else "list"
    return f"{name}: {kind}"


def _callee(candidate: Candidate) -> str:
    if candidate.owner is None:
        return candidate.func.name
    marks = {ast.unparse(node) for node in candidate.func.decorator_list}
    maker = "" if marks & {"staticmethod", "classmethod"} else "()"
    return f"{candidate.owner.name}{maker}.{candidate.func.name}"


def _converted(name: str, value_type: ValueType) -> str:
    """Return the expression that converts the JSON value to what the function expects."""
    if value_type.kind in ("tuple", "set"):
        return f"{value_type.kind}({name})"
    if value_type.kind == "tree":
        return f"build_tree({name})"
    if value_type.kind == "linked":
        return f"build_list({name})"
    if (
        value_type.kind == "list"
        and value_type.items
        and value_type.items[0].kind in ("tuple", "linked")
    ):
        inner = _converted("item", value_type.items[0])
        return f"[{inner} for item in {name}]"
    if (
        value_type.kind == "dict"
        and len(value_type.items) == 2
        and value_type.items[0].kind == "int"
    ):
        return f"{{int(key): value for key, value in {name}.items()}}"
    return name


def _ending(candidate: Candidate, call: str) -> list[str]:
    if candidate.result in ("list", "sorted"):
        return [f"return {candidate.result}({call})"]
    if candidate.result != "return":
        return [call, f"return {candidate.result}"]
    if candidate.return_type and candidate.return_type.kind == "tree":
        return [f"return tree_values({call})"]
    if candidate.return_type and candidate.return_type.kind == "linked":
        return [f"return list_values({call})"]
    return [f"return {call}"]
