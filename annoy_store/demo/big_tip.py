def big_tip(bills):
    """Return the first bill of an evening that was rounded up by more than a hundred."""
    for bill in bills:
        rounded = (bill + 9) // 10 * 10
        if rounded - bill > 100:
            return bill
    return None
