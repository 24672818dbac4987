DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def to_base(number: int, base: int) -> str:
    """Write a number in another base between 2 and 16."""
    if base < 2:
        raise ValueError("base too small")
    if base > 16:
        raise ValueError("base too large")
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    number = abs(number)
    digits = []
    while number:
        number, rest = divmod(number, base)
        digits.append(DIGITS[rest])
    return sign + "".join(reversed(digits))
