"""A reverse Polish calculator."""


def evaluate_rpn(expression: str) -> int:
    """Evaluate an expression in reverse Polish notation, whole numbers only.

    >>> evaluate_rpn("3 4 + 2 *")
    14
    >>> evaluate_rpn("8 2 7 * -")
    -6
    >>> evaluate_rpn("9 1 5 + +")
    15
    """
    stack = []
    for token in expression.split():
        if token in ("+", "-", "*"):
            right, left = stack.pop(), stack.pop()
            stack.append({"+": left + right, "-": left - right, "*": left * right}[token])
        else:
            stack.append(int(token))
    if len(stack) != 1:
        raise ValueError("values are left over")
    return stack[0]
