import re

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def parse_duration(text: str) -> int:
    """Turn a duration such as 1h30m into seconds.

    >>> parse_duration("1h30m")
    5400
    >>> parse_duration("2d4h15s")
    187215
    >>> parse_duration("45m10s")
    2710
    """
    seconds = 0
    for amount, unit in re.findall(r"(\d+)([dhms])", text):
        seconds += int(amount) * UNITS[unit]
    return seconds
