# Conway's game of life on a small board with dead borders


def neighbours(board, r, c):
    alive = 0
    for dr in (-1, 0, 1):
        for dc in (-1, 0, 1):
            if (dr, dc) != (0, 0) and 0 <= r + dr < len(board) and 0 <= c + dc < len(board[0]):
                alive += board[r + dr][c + dc]
    return alive


def next_board(board):
    """Return the next generation: a living cell stays with two or three neighbours, a dead one wakes with three."""
    fresh = []
    for r, row in enumerate(board):
        fresh.append([])
        for c, cell in enumerate(row):
            alive = neighbours(board, r, c)
            fresh[r].append(1 if alive == 3 or (cell and alive == 2) else 0)
    return fresh
