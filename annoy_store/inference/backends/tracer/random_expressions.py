"""Python expressions that generate one random number or text, with a description of each.

The expressions use `random` alone, so the seed that the sandbox sets decides every value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from annoy_store.inference.backends.tracer.value_types import ValueType

WORDS = (
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heron",
    "iris",
    "jade",
    "kite",
    "lotus",
    "maple",
    "north",
    "olive",
    "pearl",
)


@dataclass(frozen=True)
class RandomExpression:
    """A Python expression that generates a value.

    Attributes:
        code: The expression.
        description: What it generates, in words.
        setup_lines: Statements that it needs before it.
    """

    code: str
    description: str
    setup_lines: tuple[str, ...] = ()


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


def int_expression(
    value_type: ValueType, name: str, examples: list[Any], topic: str
) -> RandomExpression:
    """Return an expression for whole numbers.

    Args:
        value_type: The type, with bounds and choices.
        name: The name of the parameter in lower case.
        examples: Values found in the file.
        topic: Words about the function in lower case.
    """
    if value_type.choices:
        return _choice(value_type.choices)
    low, high = _int_bounds(value_type, name, examples, topic)
    return RandomExpression(
        f"random.randint({low}, {high})", f"a whole number from {low} to {high}"
    )


def _int_bounds(
    value_type: ValueType, name: str, examples: list[Any], topic: str
) -> tuple[int, int]:
    low, high = _named_bounds(name, topic)
    numbers = [n for n in examples if isinstance(n, int) and abs(n) <= 10_000]
    if numbers:
        low, high = min(low, *numbers), max(*numbers, min(numbers) + 12)
    if value_type.low is not None:
        low = max(int(value_type.low), low)
    if value_type.high is not None:
        high = min(int(value_type.high), high)
    return (low, high) if low <= high else (low, low + 9)


def _named_bounds(name: str, topic: str) -> tuple[int, int]:
    for rule, low, high in _INT_RANGES:
        if re.fullmatch(rule, name):
            return low, high
    if re.search(r"hanoi|queens|permut|ackermann|catalan|subset|combinat", topic):
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


def float_expression(
    value_type: ValueType, name: str, examples: list[Any], topic: str
) -> RandomExpression:
    """Return an expression for numbers with a fraction; see `int_expression` for the arguments."""
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
    if value_type.low is not None:
        low = max(low, float(value_type.low))
    high = max(high, low + 1)
    return RandomExpression(
        f"round(random.uniform({low:g}, {high:g}), 2)",
        f"a number from {low:g} to {high:g} with two decimals",
    )


def bool_expression(
    value_type: ValueType, name: str, examples: list[Any], topic: str
) -> RandomExpression:
    """Return an expression for truth values; see `int_expression` for the arguments."""
    return RandomExpression("random.random() < 0.5", "true or false")


def _choice(choices: Sequence[Any]) -> RandomExpression:
    texts = ", ".join(map(repr, choices))
    return RandomExpression(f"random.choice([{texts}])", f"one of {texts}")


# Text ----------------------------------------------------------------------------------------


def _letters(alphabet: str, low: int, high: int, words: str) -> RandomExpression:
    return RandomExpression(
        f'"".join(random.choice({alphabet!r}) for _ in range(random.randint({low}, {high})))',
        f"{words}, {low} to {high} characters long",
    )


_TEXTS: tuple[tuple[str, RandomExpression], ...] = (
    (
        r"roman",
        RandomExpression(
            '"".join(random.choice(part) for part in '
            '(["", "M", "MM"], ["", "C", "CD", "D", "CM"], ["X", "XL", "LX", "XC"], '
            '["I", "IV", "V", "VII", "IX"]))',
            "a Roman numeral",
        ),
    ),
    (r"brackets?|paren|balanced|brace", _letters("()[]{}", 2, 10, "a text of brackets")),
    (r"\bbin|\bbits?\b", _letters("01", 1, 8, "a text of binary digits")),
    (r"\bhex", _letters("0123456789abcdef", 1, 4, "a text of hexadecimal digits")),
    (
        r"\bdna|\brna|nucleotide|codon",
        _letters("ACGT", 4, 16, "a text of the letters A, C, G and T"),
    ),
    (r"isbn|luhn|card|digits", _letters("0123456789", 4, 12, "a text of digits")),
    (
        r"\bdate|\bdob",
        RandomExpression(
            'f"{random.randint(1950, 2030)}-{random.randint(1, 12):02d}-{random.randint(1, 28):02d}"',
            "a date as YYYY-MM-DD",
        ),
    ),
    (
        r"\btime\b|clock",
        RandomExpression(
            'f"{random.randint(0, 23):02d}:{random.randint(0, 59):02d}"', "a time of day as HH:MM"
        ),
    ),
    (
        r"\bips?\b|ipv4|ip_addr",
        RandomExpression(
            '".".join(str(random.randint(0, 260)) for _ in range(4))',
            "four numbers with dots between",
        ),
    ),
    (
        r"e?mail",
        RandomExpression(
            'random.choice(WORDS) + random.choice(["@", "."]) + random.choice(WORDS) + ".org"',
            "something like a mail address",
        ),
    ),
    (
        r"expression|\bexpr|calculat|postfix|infix|equation|evaluat",
        RandomExpression(
            '"".join(str(random.randint(1, 9)) + random.choice("+-*") for _ in '
            "range(random.randint(1, 4))) + str(random.randint(1, 9))",
            "sums and products of small numbers",
        ),
    ),
    (
        r"\bpath|\bdir",
        RandomExpression(
            '"/" + "/".join(random.choice(["..", ".", *WORDS[:5]]) for _ in '
            "range(random.randint(1, 6)))",
            "a path with slashes",
        ),
    ),
    (
        r"palindrom",
        RandomExpression(
            '(lambda half: half + random.choice([half[::-1], half[-2::-1], "ab"]))'
            '("".join(random.choice("abcxyz") for _ in range(random.randint(2, 5))))',
            "a word that often reads the same backwards",
        ),
    ),
    (
        r"sentence|text|words|message|phrase|paragraph|title|string_of|line",
        RandomExpression(
            '" ".join(random.choice(WORDS) for _ in range(random.randint(2, 6)))',
            "2 to 6 words with blanks between",
        ),
    ),
)
_ANY_WORD = _letters("abcdeiorst", 3, 10, "lower-case letters")


def str_expression(
    value_type: ValueType, name: str, examples: list[Any], topic: str
) -> RandomExpression:
    """Return an expression for texts; see `int_expression` for the arguments."""
    if value_type.choices:
        return _choice(value_type.choices)
    texts = [text for text in examples if isinstance(text, str) and 0 < len(text) < 90]
    if texts:
        return _like(list(dict.fromkeys(texts))[:8])
    if re.fullmatch(r"c|ch|char|letter|symbol", name):
        return RandomExpression('random.choice("abcdeiorst")', "one letter")
    for where in (name, topic):
        for rule, expression in _TEXTS:
            if re.search(rule, where.replace("_", " ")):
                return expression
    return _from_alphabet(value_type.alphabet) or _ANY_WORD


def _like(texts: list[str]) -> RandomExpression:
    """Return an expression for texts like the examples: digit for digit, letter for letter."""
    letters = "".join(sorted({c for text in texts for c in text if c.isalpha()})) or "abc"
    digits = "".join(sorted({c for text in texts for c in text if c.isdigit()})) or "0"
    if len(digits) > 2:
        digits = "0123456789"
    return RandomExpression(
        f'"".join(random.choice({digits!r}) if c.isdigit() else random.choice({letters!r}) '
        f"if c.isalpha() and random.random() < 0.4 else c for c in random.choice({texts!r}))",
        f"a text built like {texts[0]!r}",
    )


def _from_alphabet(alphabet: str) -> RandomExpression | None:
    shown = "".join(c for c in alphabet if c.isprintable())
    if re.search(r"[()\[\]{}]", shown) or len(re.sub(r"\W", "", shown)) >= 3:
        return _letters(shown, 3, 10, f"a text of the characters {shown!r}")
    if re.search(r"[,;:|/-]", shown):
        mark = re.search(r"[,;:|/-]", shown)
        sign = mark[0] if mark else ","
        return RandomExpression(
            f"{sign!r}.join(random.choice(WORDS) for _ in range(random.randint(2, 5)))",
            f"2 to 5 words with {sign!r} between",
        )
    return None
