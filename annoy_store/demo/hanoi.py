# towers of hanoi

def hanoi(n, source="A", target="C", spare="B"):
    """Move n discs from one peg to another; the answer is the list of the moves."""
    if n == 0:
        return []
    moves = hanoi(n - 1, source, spare, target)
    moves.append(source + target)
    return moves + hanoi(n - 1, spare, target, source)


print(len(hanoi(5)), "moves")
