"""Tells by its syntax tree whether a program keeps nothing from one call to the next.

Such a program may do several calls in one process. What a call could leave behind is what outlives
it: the module's names, functions with their attributes and defaults, classes, and what imported
modules hold.

Decisions
- A whitelist: whatever is not known to be harmless counts as state, for then only time is lost.
- Names are judged wherever they stand, whether or not a function has a variable of that name.
- Module names are bound to constants, to functions and classes without decorators, or to containers
  written out; the latter are only read: by subscript, `in`, iteration and functions that are known to read.
- A container in a container could be changed by way of the outer one, so the levels are counted,
  and only what is below the last one may go anywhere.
- Functions and classes are called, raised, caught and subclassed, and given to functions that are
  known to call them; nowhere else may they go, so no variable stands for one and gets an attribute.
- Nothing may be caught by which a program notices that memory runs out, since a call that is not the
  first of its process finds a little less.
- `if __name__ == "__main__"` is not run, and so not examined.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping, Sequence

from annoy_store.interfaces import Program
from annoy_store.parsing.python_code import UNPARSABLE, parse_module
from annoy_store.stages import stateless_names as known
from annoy_store.stages.stateless_bindings import (
    Binding,
    KeepsState,
    callee,
    module_bindings,
    require,
    value_depth,
)


def is_stateless(program: Program) -> bool:
    """Return whether a program and its generator certainly keep nothing from call to call."""
    try:
        code = _without_main(parse_module(program.code))
        nodes = _nodes(code)
        names = module_bindings(code, nodes, {})
        _Examination(nodes, names).run(nodes)
        if program.generator is not None:
            generator = _without_main(parse_module(program.generator))
            own = _nodes(generator)
            names = {**names, **module_bindings(generator, own, names)}
            _Examination(nodes + own, names).run(own)
    except (KeepsState, *UNPARSABLE):
        return False
    return True


def _without_main(tree: ast.Module) -> ast.Module:
    """Return a module without the block that is run as a program only."""
    tree.body = [node for node in tree.body if not _is_main(node)]
    return tree


def _nodes(tree: ast.Module) -> list[ast.AST]:
    """Return all nodes of a module. Raises KeepsState if one is of an unknown type."""
    nodes = list(ast.walk(tree))
    require(known.SYNTAX.issuperset(map(type, nodes)))
    return nodes


def _is_main(node: ast.stmt) -> bool:
    if not isinstance(node, ast.If) or node.orelse:
        return False
    return ast.unparse(node.test) in ("__name__ == '__main__'", "'__main__' == __name__")


class _Examination:
    """Examines the nodes of one module; raises KeepsState at the first that may keep something."""

    def __init__(self, nodes: Sequence[ast.AST], names: Mapping[str, Binding]) -> None:
        self.names = names
        self.parents = {id(c): node for node in nodes for c in ast.iter_child_nodes(node)}
        self.bound = set(_bound(nodes)) | names.keys()
        classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
        self.methods = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        self.static = {c.name for c in classes} | {
            node.name
            for node in nodes
            if isinstance(node, ast.FunctionDef)
            and any(getattr(d, "id", "") == "staticmethod" for d in node.decorator_list)
        }
        self.class_constants = {
            target.id
            for c in classes
            for part in c.body
            for target in _targets(part)
            if isinstance(target, ast.Name)
        }
        self.annotations = {
            id(part) for node in nodes for a in _annotations(node) for part in ast.walk(a)
        }

    def run(self, nodes: Sequence[ast.AST]) -> None:
        """Examine the nodes of a module."""
        examine = {
            kind: getattr(self, name)
            for kind in known.SYNTAX
            if hasattr(self, name := f"_examine_{kind.__name__.lower()}")
        }
        for node in nodes:
            if type(node) in examine:
                examine[type(node)](node)

    # Definitions

    def _examine_functiondef(self, node: ast.FunctionDef) -> None:
        require(not _is_special(node.name) or node.name in known.DUNDERS)
        for decorator in node.decorator_list:
            name = getattr(decorator, "id", "")
            setter = isinstance(decorator, ast.Attribute) and decorator.attr == "setter"
            require(setter or (name in {"staticmethod", "property"} and name not in self.bound))
            require(isinstance(self._parent(node), ast.ClassDef))

    def _examine_arguments(self, node: ast.arguments) -> None:
        if not self._in_a_function(self._parent(node)):
            for default in filter(None, (*node.defaults, *node.kw_defaults)):
                require(value_depth(default, self.names) == 0)

    def _examine_arg(self, node: ast.arg) -> None:
        require(not _is_special(node.arg))

    def _examine_classdef(self, node: ast.ClassDef) -> None:
        require(not node.keywords and not node.decorator_list)
        require(all(isinstance(base, ast.Name) for base in node.bases))
        for part in node.body:
            if isinstance(part, ast.Assign | ast.AnnAssign):
                require(all(isinstance(target, ast.Name) for target in _targets(part)))
                require(part.value is None or value_depth(part.value, self.names) == 0)
            elif isinstance(part, ast.Expr):
                require(isinstance(part.value, ast.Constant))
            else:
                require(isinstance(part, ast.FunctionDef | ast.ClassDef | ast.Pass))

    def _examine_try(self, node: ast.Try) -> None:
        require(not node.finalbody)

    def _examine_excepthandler(self, node: ast.ExceptHandler) -> None:
        require(node.type is not None)
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        for kind in kinds:
            name = getattr(kind, "id", "")
            of_its_own = name in self.names and self.names[name].kind == "class"
            require(of_its_own or (name in known.EXCEPTIONS and name not in self.bound))

    # Names

    def _examine_attribute(self, node: ast.Attribute) -> None:
        require(not _is_special(node.attr) or node.attr in known.DUNDERS)
        require(node.attr not in known.HIDDEN_ATTRIBUTES)
        if not isinstance(node.ctx, ast.Load):
            require(isinstance(node.value, ast.Name | ast.Attribute | ast.Subscript))
            self._examine_target(node.value)
        elif node.attr in self.static:
            require(self._is_called(node))

    def _examine_subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._examine_target(node.value)

    def _examine_target(self, owner: ast.expr) -> None:
        """Examine what gets an attribute or an item: never what the module or a class holds."""
        while isinstance(owner, ast.Attribute | ast.Subscript):
            require(not isinstance(owner, ast.Attribute) or owner.attr not in self.static)
            owner = owner.value
        if isinstance(owner, ast.Name):
            require(owner.id not in self.names and owner.id != "cls")

    def _examine_name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            require(not _is_special(node.id))
            return
        binding = self.names.get(node.id)
        if binding is None:
            is_builtin = hasattr(builtins, node.id) or _is_special(node.id)
            require(node.id in known.BUILTINS or (not is_builtin and node.id in self.bound))
            if node.id == "type":
                self._examine_type(node)
        elif binding.kind == "data":
            self._examine_data(node, binding.depth)
        elif binding.kind == "module":
            self._examine_member(node, binding.path)
        elif binding.kind in {"function", "class"}:
            self._examine_callable(node)

    def _examine_type(self, node: ast.Name) -> None:
        """Accept `type(x) == ..` and `type(x).__name__`: nothing else may hold the class."""
        call = self._parent(node)
        require(isinstance(call, ast.Call) and call.func is node and len(call.args) == 1)
        user = self._parent(call)
        require(isinstance(user, ast.Compare | ast.Attribute))
        require(not isinstance(user, ast.Attribute) or user.attr == "__name__")

    def _examine_member(self, node: ast.Name, module: str) -> None:
        member = self._parent(node)
        require(isinstance(member, ast.Attribute) and isinstance(member.ctx, ast.Load))
        assert isinstance(member, ast.Attribute)
        if member.attr not in known.CONSTANTS.get(module, ()):
            require(member.attr in known.FUNCTIONS[module])
            self._examine_callable(member)

    def _examine_callable(self, node: ast.expr) -> None:
        """Accept a function or class where nothing but a call can come of it."""
        parent = self._parent(node)
        if id(node) in self.annotations or self._is_called(node):
            return
        if isinstance(parent, ast.Attribute):  # a class
            constants = self.class_constants - self.methods
            require(self._is_called(parent) or parent.attr in constants)
        elif isinstance(parent, ast.keyword):
            call = self._parent(parent)
            assert isinstance(call, ast.Call)
            sorts = isinstance(call.func, ast.Attribute) and call.func.attr == "sort"
            takes_key = self._callee(call) in known.TAKES_KEY
            require(parent.arg == "key" and (takes_key or (sorts and "sort" not in self.methods)))
        elif isinstance(parent, ast.Call):
            at = known.TAKES_FUNCTION.get(self._callee(parent))
            require(at is not None and node in parent.args[at : at + 1])
        elif isinstance(parent, ast.Tuple):
            user = self._parent(parent)
            checks = isinstance(user, ast.Call) and self._callee(user) == "isinstance"
            require(checks or isinstance(user, ast.ExceptHandler))
        else:
            require(isinstance(parent, ast.Raise | ast.ExceptHandler | ast.ClassDef))

    # Containers of the module

    def _examine_data(self, node: ast.expr, depth: int) -> None:
        """Accept a container, or a part of one, where it is only read."""
        parent = self._parent(node)
        if isinstance(parent, ast.Subscript) and parent.value is node:
            is_slice = isinstance(parent.slice, ast.Slice)
            if depth > 1:
                self._examine_data(parent, depth - (not is_slice))
        elif isinstance(parent, ast.Call):
            self._examine_reader(node, parent, depth)
        elif isinstance(parent, ast.Attribute):
            require(parent.attr in known.READING_METHODS and depth == 1)
            require(self._is_called(parent))
        elif isinstance(parent, ast.Compare):  # `==` would give it to a method of the other side
            require(depth == 1 and [type(op) for op in parent.ops] in ([ast.In], [ast.NotIn]))
        else:
            flat = (ast.For, ast.comprehension, ast.Starred, ast.Dict)
            require(depth == 1 and isinstance(parent, flat))
            require(not isinstance(parent, ast.For) or parent.iter is node)
            require(not isinstance(parent, ast.Dict) or node not in _present(parent))

    def _examine_reader(self, node: ast.expr, call: ast.Call, depth: int) -> None:
        name = self._callee(call)
        require(node in call.args)
        if name == "random.choice":
            if depth > 1:
                self._examine_data(call, depth - 1)
        else:
            joins = isinstance(call.func, ast.Attribute) and call.func.attr == "join"
            reads = name in known.ELEMENTS_READ or (joins and _is_text(call.func))
            require(name in known.ANYTHING_READ or (depth == 1 and reads))

    # The tree

    def _parent(self, node: ast.AST) -> ast.AST:
        return self.parents[id(node)]

    def _is_called(self, node: ast.AST) -> bool:
        parent = self._parent(node)
        return isinstance(parent, ast.Call) and parent.func is node

    def _callee(self, call: ast.Call) -> str:
        return callee(call, self.names, self.bound)

    def _in_a_function(self, node: ast.AST) -> bool:
        """Return whether a definition is made anew by each call."""
        while not isinstance(node, ast.Module):
            node = self._parent(node)
            if isinstance(node, ast.FunctionDef | ast.Lambda):
                return True
        return False


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _present(node: ast.Dict) -> list[ast.expr]:
    """Return the keys and the values of a dict display that have a key: what `**` merges has none."""
    pairs = zip(node.keys, node.values, strict=True)
    return [part for key, value in pairs if key is not None for part in (key, value)]


def _is_text(node: ast.expr) -> bool:
    owner = node.value if isinstance(node, ast.Attribute) else node
    return isinstance(owner, ast.Constant) and isinstance(owner.value, str)


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def _annotations(node: ast.AST) -> Iterator[ast.expr]:
    found = [getattr(node, "annotation", None), getattr(node, "returns", None)]
    for annotation in found:
        if isinstance(annotation, ast.expr):
            plain = (ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.Tuple, ast.List)
            join = (ast.BinOp, ast.BitOr, ast.expr_context)
            require(all(isinstance(part, plain + join) for part in ast.walk(annotation)))
            yield annotation


def _bound(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Yield the names that anything in the program binds."""
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler) and node.name:
            yield node.name
