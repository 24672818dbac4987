PAIRS = {")": "(", "]": "[", "}": "{"}


def first_unbalanced(brackets: str) -> int:
    """Return the position of the first bracket that does not fit, or -1 if all of them do.

    An opening bracket that is never closed counts as the position after the end.
    """
    stack = []
    for position, sign in enumerate(brackets):
        if sign in "([{":
            stack.append(sign)
        elif sign in PAIRS:
            if not stack or stack.pop() != PAIRS[sign]:
                return position
    return len(brackets) if stack else -1
