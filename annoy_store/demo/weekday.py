"""Day arithmetic without the calendar module."""

NAMES = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def weekday(year: int, month: int, day: int) -> str:
    """Return the day of the week on which a date falls, counted from the first of January 1900."""
    if month < 1 or month > 12:
        raise ValueError("no such month")
    days = 0
    for past in range(1900, year):
        days += 366 if is_leap(past) else 365
    for past in range(1, month):
        days += LENGTHS[past - 1]
        if past == 2 and is_leap(year):
            days += 1
    return NAMES[(days + day - 1) % 7]
