def luhn_ok(digits: str) -> bool:
    """Check the last digit of a card number by the Luhn rule."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        if place % 2 == 1:
            value *= 2
            if value > 9:
                value -= 9
        total += value
    return total % 10 == 0
