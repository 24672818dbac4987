"""`is_stateless` accepts no program that keeps state, and most of those that do not."""

from __future__ import annotations

import pytest

from annoy_store.interfaces import Program
from annoy_store.stages.stateless import is_stateless
from tests.support.stateful_programs import STATEFUL

HARMLESS = {
    "arithmetic": "def f(x):\n    return x + 1\n",
    "constants": "N = 3\nLOW, HIGH = -1, 2 * N\nWORDS = 'a b'\ndef f():\n    return [N, LOW, HIGH, WORDS]\n",
    "local containers": "def f():\n    seen = {}\n    seen['a'] = [1]\n    seen['a'].append(2)\n    return seen\n",
    "a table that is read": (
        "STEPS = [(0, 1), (1, 0)]\nNAMES = {1: 'a'}\nODD = {1, 3}\n"
        "def f():\n    a = [x for x, _ in STEPS] + STEPS[1:] + sorted(STEPS)\n"
        "    for i, step in enumerate(STEPS):\n        a.append(step[i])\n"
        "    return [a, NAMES[1], NAMES.get(2), list(NAMES.items()), 3 in ODD, len(STEPS), *ODD]\n"
    ),
    "a grid that is read to its numbers": "GRID = [[1, 2], [3]]\ndef f():\n    return GRID[0][1] + len(GRID)\n",
    "inputs that are copied": (
        "import json, random\nINPUTS = json.loads('[{}]')\n"
        "def f():\n    return json.loads(json.dumps(random.choice(INPUTS)))\n"
    ),
    "classes": (
        "class Node:\n    limit = 3\n    def __init__(self, value):\n        self.value = value\n"
        "        self.next = None\n    @property\n    def twice(self):\n        return 2 * self.value\n"
        "    @staticmethod\n    def made():\n        return Node(Node.limit)\n"
        "class Leaf(Node):\n    def __init__(self):\n        super().__init__(1)\n        self.__own = 2\n"
        "def f():\n    node = Node(1)\n    node.next = Node.made()\n    node.next.next = Leaf()\n"
        "    return [node.next.twice, type(node).__name__, isinstance(node, (Leaf, Node))]\n"
    ),
    "functions given to functions": (
        "from functools import reduce, cmp_to_key\nfrom collections import defaultdict\n"
        "def twice(x):\n    return 2 * x\ndef add(x, y):\n    return x + y\n"
        "def f():\n    table = defaultdict(list)\n    xs = sorted([3, 1], key=twice)\n"
        "    xs.sort(key=cmp_to_key(add))\n    return [list(map(twice, xs)), reduce(add, xs), table]\n"
    ),
    "closures of one call": (
        "def f(n):\n    seen = []\n    total = 0\n    def visit(node, path=[]):\n        nonlocal total\n"
        "        total += node\n        path.append(node)\n        seen.append(len(path))\n"
        "    visit(n)\n    visit.calls = 1\n    return seen\n"
    ),
    "exceptions": (
        "class Empty(Exception):\n    pass\n"
        "def f():\n    try:\n        raise Empty('x')\n    except Empty as error:\n        return str(error)\n"
        "    except (KeyError, ValueError):\n        raise\n"
    ),
    "annotations": (
        "from typing import Dict, List, Optional\nclass Node:\n    pass\n"
        "def f(x: List[int] = None, n: Optional[Node] = None) -> 'Dict[str, int] | None':\n"
        "    y: List[Node] = []\n    return y\n"
    ),
    "the seeded generator": "import random\ndef f():\n    random.shuffle([1])\n    return random.gauss(0, 1)\n",
    "iterators of one call": (
        "import itertools\ndef steps():\n    yield from itertools.count()\n"
        "def f():\n    numbers = steps()\n    return [next(numbers), next(numbers)]\n"
    ),
    "a heap of one call": "import heapq as h\ndef f():\n    q = [3, 1]\n    h.heapify(q)\n    return h.heappop(q)\n",
    "a main block": "seen = 1\ndef f():\n    return 1\nif __name__ == '__main__':\n    seen = []\n    seen.append(open('x'))\n",
}


@pytest.mark.parametrize("name", STATEFUL)
def test_is_stateless_refuses(name: str) -> None:
    compile(STATEFUL[name], name, "exec")
    assert not is_stateless(Program(STATEFUL[name]))


@pytest.mark.parametrize("name", STATEFUL)
def test_is_stateless_refuses_as_a_generator(name: str) -> None:
    assert not is_stateless(
        Program("def main_solution(x):\n    return x\n", generator=STATEFUL[name])
    )


@pytest.mark.parametrize("name", HARMLESS)
def test_is_stateless_accepts(name: str) -> None:
    compile(HARMLESS[name], name, "exec")
    assert is_stateless(Program(HARMLESS[name]))
    assert is_stateless(Program(HARMLESS[name], generator=HARMLESS[name]))


def test_stateful_programs_are_many() -> None:
    assert len(STATEFUL) >= 60


@pytest.mark.parametrize(
    "generator",
    [
        "def input_generator():\n    SEEN.append(1)\n    return {'x': len(SEEN)}\n",
        "def input_generator():\n    main_solution.n = 1\n    return {'x': 1}\n",
        "def input_generator():\n    return {'x': change(SEEN)}\n",
        "def input_generator(seen=SEEN):\n    return {'x': 1}\n",
        "MINE = SEEN\ndef input_generator():\n    MINE.append(1)\n    return {'x': len(SEEN)}\n",
        "def input_generator():\n    seen = SEEN\n    return {'x': 1}\n",
        "from solution import SEEN\ndef input_generator():\n    return {'x': len(SEEN)}\n",
    ],
)
def test_is_stateless_refuses_a_generator_that_changes_the_code(generator: str) -> None:
    code = (
        "SEEN = [1]\ndef change(x):\n    x.append(1)\ndef main_solution(x):\n    return SEEN[0]\n"
    )
    harmless = "def input_generator():\n    return {'x': SEEN[0]}\n"
    assert is_stateless(Program(code, generator=harmless))
    assert not is_stateless(Program(code, generator=generator))


@pytest.mark.parametrize("code", ["def f(:\n", "x = '\0'\n", "(" * 500 + ")" * 500, "\ud800"])
def test_is_stateless_refuses_what_it_cannot_read(code: str) -> None:
    assert not is_stateless(Program(code))
