"""Puts together one program of the fenced blocks under one heading.

Decisions
- Several blocks are one program, in their order. Of blocks that define the wanted function the last
  one counts; an earlier block then only adds what the program lacks, without the function.
- Where blocks are marked as Python, others count only if they bind a name that the program lacks.
- A block is an example, and left out, if the others use none of its names and it calls the wanted
  function, or only states and prints values.
- A definition broken in two by a fence is whole again if its parts are valid Python together.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from annoy_store.parsing.fences import Fence
from annoy_store.parsing.python_code import bindings, mend_spaces, try_parse_module

_PYTHON = re.compile(r"python[\d.]*|py\d*|ipython\d*")
_FUTURE = re.compile(r"(?m)^from __future__ import [^\n]+\n?")


@dataclass(frozen=True)
class _Block:
    rank: int  # 0 marked as Python, 1 not marked, 2 marked as something else
    text: str
    tree: ast.Module | None

    @cached_property
    def bound(self) -> dict[str, ast.AST]:
        """Names that the block binds when it is loaded, each with the last node that does."""
        return dict(bindings(self.tree)) if self.tree else {}

    @cached_property
    def loaded(self) -> set[str]:
        """Names that the block reads, in any scope."""
        parts = ast.walk(self.tree) if self.tree else ()
        return {n.id for n in parts if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}

    @cached_property
    def lacking(self) -> set[str]:
        """Names that the block reads and binds in no scope."""
        own = set(self.bound)
        for node in ast.walk(self.tree) if self.tree else ():
            if isinstance(node, ast.arg):
                own.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                own.add(node.id)
        return self.loaded - own - vars(builtins).keys()


def join_blocks(fences: Sequence[Fence], function: str) -> str | None:
    """Return the code of the fences under one heading; None if they are all blank.

    Args:
        fences: The fences, in order.
        function: Name of the function that the program has to define.

    Returns:
        The program, or where none defines the function the code that comes nearest: the block that
        mentions its definition, else the first.
    """
    blocks = _mended([_block(fence) for fence in fences if fence.text.strip()])
    if not blocks:
        return None
    defining = [n for n, block in enumerate(blocks) if function in block.bound]
    if not defining:
        return next((b.text for b in blocks if f"def {function}" in b.text), blocks[0].text)
    rank = min(blocks[n].rank for n in defining)
    defining = [n for n in defining if blocks[n].rank == rank]
    parts = _chosen(blocks, defining, function)
    chosen = _with_lacking(blocks, parts)
    drafts = chosen - parts
    return _joined(
        [
            _without(block, function) if n in drafts else block.text
            for n, block in enumerate(blocks)
            if n in chosen
        ]
    )


def _block(fence: Fence) -> _Block:
    text = mend_spaces(fence.text)
    rank = 1 if not fence.language else 0 if _PYTHON.fullmatch(fence.language) else 2
    return _Block(rank, text, try_parse_module(text))


def _mended(blocks: Sequence[_Block]) -> list[_Block]:
    """Join neighbours of which one is no valid Python, where both are together."""
    whole: list[_Block] = []
    for block in blocks:
        before = whole[-1] if whole else None
        if before and before.rank == block.rank and not (before.tree and block.tree):
            text = f"{before.text}\n{block.text}"
            if tree := try_parse_module(text):
                whole[-1] = _Block(block.rank, text, tree)
                continue
        whole.append(block)
    return whole


def _chosen(blocks: Sequence[_Block], defining: Sequence[int], function: str) -> set[int]:
    """Return the indices of the blocks that are the program, whether it lacks names or not."""
    last = blocks[defining[-1]]
    wraps = not isinstance(last.bound[function], ast.FunctionDef) and function in last.loaded
    start = 0 if wraps or len(defining) == 1 else defining[-1]
    times_read = Counter(name for block in blocks for name in block.loaded)
    parts = {
        n
        for n, block in enumerate(blocks)
        if n >= start and block.rank == last.rank and _is_part(block, times_read, function)
    }
    return parts | set(defining if wraps else defining[-1:])


def _is_part(block: _Block, times_read: Counter[str], function: str) -> bool:
    """Return whether a block that does not define the function belongs to the program.

    Args:
        block: The block.
        times_read: In how many blocks each name is read.
        function: Name of the function.
    """
    if block.tree is None or function in block.bound:
        return False
    if any(times_read[name] > (name in block.loaded) for name in block.bound):
        return True
    return function not in block.loaded and not all(map(_only_shows, block.tree.body))


def _only_shows(node: ast.stmt) -> bool:
    """Return whether a statement only asserts, prints or states a value."""
    if not isinstance(node, (ast.Assert, ast.Expr)):
        return False
    calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    return all(isinstance(called, ast.Name) and called.id == "print" for called in calls)


def _with_lacking(blocks: Sequence[_Block], chosen: Collection[int]) -> set[int]:
    """Return the chosen blocks and those that bind names which they lack."""
    binder = {name: n for n, block in enumerate(blocks) for name in block.bound}  # the last one
    found, waiting = set(chosen), list(chosen)
    bound = {name for n in chosen for name in blocks[n].bound}
    while waiting:
        for name in blocks[waiting.pop()].lacking - bound:
            n = binder.get(name)
            if n is not None and n not in found:
                found.add(n)
                waiting.append(n)
                bound |= blocks[n].bound.keys()
    return found


def _without(block: _Block, function: str) -> str:
    """Return the text of a block without the definitions of a function at its top level."""
    lines: list[str | None] = list(block.text.split("\n"))
    for node in block.tree.body if block.tree else ():
        if isinstance(node, ast.FunctionDef) and node.name == function:
            start = min([node.lineno, *(part.lineno for part in node.decorator_list)])
            for n in range(start - 1, node.end_lineno or start):
                lines[n] = None
    return "\n".join(line for line in lines if line is not None).strip("\n")


def _joined(texts: Sequence[str]) -> str:
    """Join blocks; `from __future__` has to come first."""
    future = [line.strip() for text in texts[1:] for line in _FUTURE.findall(text)]
    rest = [texts[0], *(_FUTURE.sub("", text) for text in texts[1:])]
    return "\n\n".join(part.strip("\n") for part in ["\n".join(future), *rest] if part.strip())
