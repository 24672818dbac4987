"""Roman numerals, both ways."""

VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def roman_to_int(numeral: str) -> int:
    """Return the number that a Roman numeral stands for.

    A letter that stands before a greater one is subtracted, every other one is added.

    >>> roman_to_int("XIV")
    14
    >>> roman_to_int("MCMXCIV")
    1994
    >>> roman_to_int("CDXLVIII")
    448
    """
    total = 0
    for this, following in zip(numeral, numeral[1:] + " "):
        value = VALUES[this]
        if VALUES.get(following, 0) > value:
            total -= value
        else:
            total += value
    return total
