"""How to draw a plausible value of a shape: one line of generator code, and the same in words.

The generator draws from `random` alone, so the seed that the sandbox sets decides every value.
Values stay small: fewer than 20 items, strings under 100 characters, under 1 KB in all.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from annoy_store.teachers._parameters import Parameter
from annoy_store.teachers._shapes import Shape

WORDS = (
    "amber birch cedar delta ember fjord grove heron iris jade kite lotus maple north olive pearl"
).split()


@dataclass(frozen=True)
class Recipe:
    """A Python expression that draws a value, what it draws in words, and lines it needs before."""

    draw: str
    words: str
    before: tuple[str, ...] = ()


def generator(recipes: Sequence[tuple[str, Recipe]]) -> str:
    """Return the text of a module that defines `input_generator`."""
    body = []
    for name, recipe in recipes:
        body += [f"    {line}" for line in recipe.before]
        body.append(f"    {_local(name)} = {recipe.draw}")
    text = "\n".join(body)
    head = ["import random"]
    if "WORDS" in text:
        head += ["", f"WORDS = {WORDS!r}"]
    names = ", ".join(f'"{name}": {_local(name)}' for name, _ in recipes)
    return "\n".join(
        [*head, "", "", "def input_generator():", text, f"    return {{{names}}}", ""]
    )


def _local(name: str) -> str:
    """Return the generator's variable for a parameter; what it draws with keeps its own name."""
    taken = name in ("random", "WORDS", "row_length", "node_count") or hasattr(builtins, name)
    return f"{name}_" if taken else name


def recipes(parameters: Sequence[Parameter], topic: str) -> list[tuple[str, Recipe]]:
    """Return how to draw each parameter; `topic` is what the function's names and words say."""
    found: list[tuple[str, Recipe]] = []
    container: Parameter | None = None
    for parameter in parameters:
        related = _related(parameter, container)
        if container is None and parameter.shape.kind in ("list", "str"):
            container = parameter
        found.append((parameter.name, related or _recipe(parameter, topic)))
    return found


def _related(parameter: Parameter, container: Parameter | None) -> Recipe | None:
    """Tie an index, a count or a target to the list that it is about."""
    if container is None or parameter.shape.kind != "int":
        return None
    local = _local(container.name)
    for rule, draw, words in _RELATED:
        if not re.fullmatch(rule, parameter.name.lower()):
            continue
        if "[*" in draw and container.shape.item.kind != "int":
            return None
        text = draw.format(length=f"len({local})", container=local)
        return Recipe(text, words.format(container=container.name))
    return None


_RELATED = (
    (r"n|size|length|len_?\w*|count", "{length}", "the length of `{container}`"),
    (
        r"k|r|window|w|shift|steps?",
        "random.randint(1, max(1, {length}))",
        "a whole number from 1 to the length of `{container}`",
    ),
    (r"low|left|start|lo|l|begin", "0", "0, the first position of `{container}`"),
    (r"high|right|end|hi", "{length} - 1", "the last position of `{container}`"),
    (
        r"target|key|x|val|value|item|element|needle|search\w*",
        "random.choice([*{container}, random.randint(1, 40)])",
        "a value that is often one of `{container}`",
    ),
    (
        r"i|j|idx|index|pos|position",
        "random.randrange(max(1, {length}))",
        "a position in `{container}`",
    ),
)


def _recipe(parameter: Parameter, topic: str) -> Recipe:
    draw = _DRAWS.get(parameter.shape.kind, _int)
    return draw(parameter.shape, parameter.name.lower(), list(parameter.examples), topic)


# Numbers and truth values --------------------------------------------------------------------

_INT_RANGES: tuple[tuple[str, int, int], ...] = (
    (r"year\w*", 1900, 2100),
    (r"month", 1, 12),
    (r"day", 1, 28),
    (r"hours?|h", 0, 23),
    (r"minutes?|seconds?|mins?|secs?", 0, 59),
    (r"age", 1, 90),
    (r"base|radix", 2, 10),
    (r"\w*index|idx|pos|position", 0, 5),
    (r"exp(onent)?|power|depth|level|degree|disks?|discs?|height|order", 1, 6),
    (r"rows?|cols?|columns?|width|m", 2, 7),
    (r"shift|offset|key|rot(ation)?|step|k", 1, 12),
    (r"[xyz]\d?|dx|dy", -12, 24),
    (r"capacity|amount|total|target|budget|goal|money|change", 5, 60),
    (r"price|cost|salary|income|balance|distance|weight", 5, 500),
    (r"limit|max_?\w*|upper|upto|n_?max|stop|end", 10, 60),
    (r"seed", 1, 1000),
)


def _int(shape: Shape, name: str, examples: list[Any], topic: str) -> Recipe:
    if shape.choices:
        return _choice(shape.choices)
    low, high = _int_bounds(shape, name, examples, topic)
    return Recipe(f"random.randint({low}, {high})", f"a whole number from {low} to {high}")


def _int_bounds(
    shape: Shape, name: str, examples: list[Any], topic: str
) -> tuple[int, int]:
    low, high = _named_bounds(name, topic)
    numbers = [n for n in examples if isinstance(n, int) and abs(n) <= 10_000]
    if numbers:
        low, high = min(low, *numbers), max(*numbers, min(numbers) + 12)
    if shape.low is not None:
        low = max(int(shape.low), low)
    if shape.high is not None:
        high = min(int(shape.high), high)
    return (low, high) if low <= high else (low, low + 9)


def _named_bounds(name: str, topic: str) -> tuple[int, int]:
    for rule, low, high in _INT_RANGES:
        if re.fullmatch(rule, name):
            return low, high
    if re.search(r"hanoi|queens|permut|ackermann|catalan|subset|combinat|recurs", topic):
        return 1, 6
    if re.search(r"fib|climb|stair|pascal|triangle|collatz|partition|staircase", topic):
        return 1, 16
    if re.search(r"factorial|power|pow\b", topic):
        return 0, 10
    if re.search(r"prime|divisor|factor|perfect|digit|armstrong|palindrom|happy|gcd|lcm", topic):
        return 1, 500
    if re.search(r"binary|bits?\b|hamming|convert|roman", topic):
        return 1, 255
    return (1, 20) if name in ("n", "num", "number", "size") else (1, 40)


def _float(shape: Shape, name: str, examples: list[Any], topic: str) -> Recipe:
    numbers = [float(n) for n in examples if isinstance(n, (int, float)) and abs(n) < 1e6]
    low, high = (0.5, 50.0)
    if re.search(r"prob|rate|ratio|tax|percent|alpha|beta|epsilon|tol", name):
        low, high = 0.01, 0.5
    elif re.search(r"temp|celsius|fahrenheit|lat|lon", name):
        low, high = -20.0, 40.0
    elif re.search(r"angle|theta|degrees", name):
        low, high = 0.0, 180.0
    if numbers:
        low, high = min(numbers) * 0.5, max(numbers) * 1.5 + 1
    if shape.low is not None:
        low = max(low, float(shape.low))
    high = max(high, low + 1)
    return Recipe(
        f"round(random.uniform({low:g}, {high:g}), 2)",
        f"a number from {low:g} to {high:g} with two decimals",
    )


def _bool(shape: Shape, name: str, examples: list[Any], topic: str) -> Recipe:
    return Recipe("random.random() < 0.5", "true or false")


def _choice(choices: Sequence[Any]) -> Recipe:
    texts = ", ".join(map(repr, choices))
    return Recipe(f"random.choice([{texts}])", f"one of {texts}")


# Text ----------------------------------------------------------------------------------------


def _letters(alphabet: str, low: int, high: int, words: str) -> Recipe:
    return Recipe(
        f'"".join(random.choice({alphabet!r}) for _ in range(random.randint({low}, {high})))',
        f"{words}, {low} to {high} characters long",
    )


_TEXTS: tuple[tuple[str, Recipe], ...] = (
    (r"roman", Recipe(
        '"".join(random.choice(part) for part in '
        '(["", "M", "MM"], ["", "C", "CD", "D", "CM"], ["X", "XL", "LX", "XC"], '
        '["I", "IV", "V", "VII", "IX"]))',
        "a Roman numeral",
    )),
    (r"brackets?|paren|balanced|brace", _letters("()[]{}", 2, 10, "a text of brackets")),
    (r"\bbin|\bbits?\b", _letters("01", 1, 8, "a text of binary digits")),
    (r"\bhex", _letters("0123456789abcdef", 1, 4, "a text of hexadecimal digits")),
    (r"\bdna|\brna|nucleotide|codon", _letters("ACGT", 4, 16, "a text of the letters A, C, G and T")),
    (r"isbn|luhn|card|digits", _letters("0123456789", 4, 12, "a text of digits")),
    (r"\bdate|\bdob", Recipe(
        'f"{random.randint(1950, 2030)}-{random.randint(1, 12):02d}-{random.randint(1, 28):02d}"',
        "a date as YYYY-MM-DD",
    )),
    (r"\btime\b|clock", Recipe(
        'f"{random.randint(0, 23):02d}:{random.randint(0, 59):02d}"', "a time of day as HH:MM"
    )),
    (r"\bips?\b|ipv4|ip_addr", Recipe(
        '".".join(str(random.randint(0, 260)) for _ in range(4))', "four numbers with dots between"
    )),
    (r"e?mail", Recipe(
        'random.choice(WORDS) + random.choice(["@", "."]) + random.choice(WORDS) + ".org"',
        "something like a mail address",
    )),
    (r"expression|\bexpr|calculat|postfix|infix|equation|evaluat", Recipe(
        '"".join(str(random.randint(1, 9)) + random.choice("+-*") for _ in '
        'range(random.randint(1, 4))) + str(random.randint(1, 9))',
        "sums and products of small numbers",
    )),
    (r"\bpath|\bdir", Recipe(
        '"/" + "/".join(random.choice(["..", ".", *WORDS[:5]]) for _ in '
        'range(random.randint(1, 6)))',
        "a path with slashes",
    )),
    (r"palindrom", Recipe(
        '(lambda half: half + random.choice([half[::-1], half[-2::-1], "ab"]))'
        '("".join(random.choice("abcxyz") for _ in range(random.randint(2, 5))))',
        "a word that often reads the same backwards",
    )),
    (r"sentence|text|words|message|phrase|paragraph|title|string_of|line", Recipe(
        '" ".join(random.choice(WORDS) for _ in range(random.randint(2, 6)))',
        "2 to 6 words with blanks between",
    )),
)
_ANY_WORD = _letters("abcdeiorst", 3, 10, "lower-case letters")


def _str(shape: Shape, name: str, examples: list[Any], topic: str) -> Recipe:
    if shape.choices:
        return _choice(shape.choices)
    texts = [text for text in examples if isinstance(text, str) and 0 < len(text) < 90]
    if texts:
        return _like(list(dict.fromkeys(texts))[:8])
    if re.fullmatch(r"c|ch|char|letter|symbol", name):
        return Recipe('random.choice("abcdeiorst")', "one letter")
    for where in (name, topic):
        for rule, recipe in _TEXTS:
            if re.search(rule, where.replace("_", " ")):
                return recipe
    return _from_alphabet(shape.alphabet) or _ANY_WORD


def _like(texts: list[str]) -> Recipe:
    """Draw a text that is built as one of the examples: digit for digit, letter for letter."""
    letters = "".join(sorted({c for text in texts for c in text if c.isalpha()})) or "abc"
    digits = "".join(sorted({c for text in texts for c in text if c.isdigit()})) or "0"
    if len(digits) > 2:
        digits = "0123456789"
    return Recipe(
        f'"".join(random.choice({digits!r}) if c.isdigit() else random.choice({letters!r}) '
        f"if c.isalpha() and random.random() < 0.4 else c for c in random.choice({texts!r}))",
        f"a text built like {texts[0]!r}",
    )


def _from_alphabet(alphabet: str) -> Recipe | None:
    shown = "".join(c for c in alphabet if c.isprintable())
    if re.search(r"[()\[\]{}]", shown) or len(re.sub(r"\W", "", shown)) >= 3:
        return _letters(shown, 3, 10, f"a text of the characters {shown!r}")
    if re.search(r"[,;:|/-]", shown):
        mark = re.search(r"[,;:|/-]", shown)
        sign = mark[0] if mark else ","
        return Recipe(
            f'{sign!r}.join(random.choice(WORDS) for _ in range(random.randint(2, 5)))',
            f"2 to 5 words with {sign!r} between",
        )
    return None


# Containers ----------------------------------------------------------------------------------


def _list(shape: Shape, name: str, examples: list[Any], topic: str) -> Recipe:
    item = shape.item
    inner = [part for value in examples if isinstance(value, (list, tuple, set)) for part in value]
    if item.kind == "list":
        return _grid(item, name, inner, topic)
    part = _element(item, name, inner, topic)
    low, high = _lengths(examples)
    many = f"[{part.draw} for _ in range(random.randint({low}, {high}))]"
    words = f"a list of {low} to {high} values, each {part.words}"
    if shape.kind == "set":
        return Recipe(f"sorted(set({many}))", f"{words}, all different")
    if _is_sorted(name, topic) and item.kind in ("int", "float", "str"):
        return Recipe(f"sorted({many})", f"{words}, in rising order")
    if "permut" in topic or "unique" in topic or "distinct" in topic:
        return Recipe(f"random.sample(range(1, 30), random.randint({low}, {min(high, 6)}))", words)
    return Recipe(many, words)


def _is_sorted(name: str, topic: str) -> bool:
    return bool(
        re.search(r"sorted (array|list|integer|in |non)|binary ?_?search|ascending order", topic)
        or "sorted" in name
    ) and not re.search(r"\b\w*sort\b", topic)


def _lengths(examples: list[Any]) -> tuple[int, int]:
    sizes = [len(value) for value in examples if hasattr(value, "__len__") and len(value) < 20]
    if not sizes:
        return 3, 8
    low = min(max(1, min(sizes)), 12)
    return low, min(15, max(*sizes, low + 4))


def _element(item: Shape, name: str, inner: list[Any], topic: str) -> Recipe:
    if item.kind in ("int", "float"):
        numbers = [n for n in inner if isinstance(n, (int, float)) and abs(n) <= 10_000]
        if numbers and item.kind == "int":
            low, high = int(min(numbers)), int(max(numbers))
            high = high if set(numbers) <= {0, 1} else max(high, low + 8)
            return Recipe(f"random.randint({low}, {high})", f"a whole number from {low} to {high}")
        if item.kind == "int":
            low = -20 if re.search(r"subarray|kadane|negative|max_?sum|profit", topic) else 1
            return Recipe(f"random.randint({low}, 40)", f"a whole number from {low} to 40")
        return _float(item, name, inner, topic)
    if item.kind == "str" and not inner and not item.choices:
        return Recipe("random.choice(WORDS)", "a short word")
    return _recipe(Parameter(name, item, tuple(inner)), topic)


def _grid(item: Shape, name: str, rows: list[Any], topic: str) -> Recipe:
    """Draw a list of rows of one width; pairs for edges and intervals, squares where it is said."""
    cells = [cell for row in rows if isinstance(row, (list, tuple)) for cell in row]
    part = _element(item.item, name, cells, topic)
    if item.item.kind == "list":
        part = Recipe("random.randint(0, 9)", "a whole number from 0 to 9")
    widths = {len(row) for row in rows if hasattr(row, "__len__")}
    if re.search(r"edge|interval|pair|point|coord|prereq", name) or widths == {2}:
        return _pairs(name, part)
    if not cells and re.search(r"grid|island|maze|board|image", f"{name} {topic}"):
        part = Recipe("random.randint(0, 1)", "0 or 1")
    if widths == {9}:
        return Recipe(f"[[{part.draw} for _ in range(9)] for _ in range(9)]", "9 rows of 9")
    square = re.search(r"determinant|rotat|transpos|n x n|nxn|square|diagonal|spiral|magic", topic)
    rows_text = "row_length" if square else "random.randint(2, 4)"
    return Recipe(
        f"[[{part.draw} for _ in range(row_length)] for _ in range({rows_text})]",
        f"{'as many' if square else '2 to 4'} rows of {'' if square else 'the same '}"
        f"2 to 4 values, each {part.words}",
        ("row_length = random.randint(2, 4)",),
    )


def _pairs(name: str, part: Recipe) -> Recipe:
    if "interval" in name:
        draw = "[start, start + random.randint(1, 8)]"
        return Recipe(
            f"[{draw} for start in [random.randint(0, 20) for _ in range(random.randint(2, 6))]]",
            "2 to 6 pairs [start, end]",
        )
    return Recipe(
        f"[[{part.draw}, {part.draw}] for _ in range(random.randint(2, 6))]",
        f"2 to 6 pairs, each part {part.words}",
    )


def _tuple(shape: Shape, name: str, examples: list[Any], topic: str) -> Recipe:
    if not shape.items:
        return _list(shape, name, examples, topic)
    parts = [_element(item, name, [], topic) for item in shape.items[:8]]
    return Recipe(
        f"[{', '.join(part.draw for part in parts)}]",
        "a list of " + ", ".join(part.words for part in parts),
    )


def _dict(shape: Shape, name: str, examples: list[Any], topic: str) -> Recipe:
    shown = [value for value in examples if isinstance(value, dict) and 0 < len(value) < 15]
    if shown and all(isinstance(value, dict) for value in shown):
        texts = [value for value in shown if len(repr(value)) < 400][:4]
        if texts and shape.item.kind not in ("int", "float"):
            return Recipe(f"random.choice({texts!r})", "one of the tables that the code shows")
    if shape.item.kind == "list" or re.search(r"graph|adjac|neighbo", f"{name} {topic}"):
        return _graph(shape)
    keys = list(dict.fromkeys(key for value in shown for key in value))[:12] or None
    source = repr(keys) if keys and len(keys) > 1 else "WORDS"
    most = min(6, len(keys)) if keys and len(keys) > 1 else 6
    item = shape.item if shape.items else Shape("int")
    part = _element(item, name, [v for value in shown for v in value.values()], topic)
    return Recipe(
        f"{{key: {part.draw} for key in random.sample({source}, random.randint(2, {most}))}}",
        f"a table of 2 to {most} entries, each value {part.words}",
    )


def _graph(shape: Shape) -> Recipe:
    key = shape.items[0].kind if len(shape.items) == 2 else "str"
    names = "range(5)" if key == "int" else '"ABCDE"'
    return Recipe(
        f"{{key: sorted(random.sample([n for n in {names} if n != key], random.randint(1, 3))) "
        f"for key in {names}}}",
        "a graph of five nodes, each with the list of its neighbours",
    )


def _tree(shape: Shape, name: str, examples: list[Any], topic: str) -> Recipe:
    draw = "[random.randint(1, 30)] + [random.choice([None, *range(1, 30)]) for _ in range(node_count)]"
    if re.search(r"bst|search tree", topic):
        draw = "(lambda v: [v[3], v[1], v[5], v[0], v[2], v[4], v[6]])(sorted(random.sample(range(1, 40), 7)))"
        return Recipe(draw, "a binary search tree of 7 values, level by level")
    return Recipe(
        draw, "a binary tree, level by level, null for a missing child", ("node_count = random.randint(2, 8)",)
    )


def _linked(shape: Shape, name: str, examples: list[Any], topic: str) -> Recipe:
    many = "[random.randint(1, 20) for _ in range(random.randint(2, 8))]"
    if "sorted" in topic or "merge" in topic:
        return Recipe(f"sorted({many})", "the values of a linked list in rising order")
    return Recipe(many, "the values of a linked list, first to last")


_DRAWS: dict[str, Callable[[Shape, str, list[Any], str], Recipe]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "str": _str,
    "list": _list,
    "set": _list,
    "tuple": _tuple,
    "dict": _dict,
    "tree": _tree,
    "linked": _linked,
}
