from datetime import datetime


def days_left(year: int, month: int, day: int) -> int:
    """Return how many days a token that ends on a date is still good for."""
    end = datetime(year, month, day)
    left = (end - datetime.now()).days
    if left < 0:
        return 0
    return left
