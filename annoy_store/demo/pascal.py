def pascal_rows(height):
    """Yield the rows of Pascal's triangle, top row first."""
    row = [1]
    for _ in range(height):
        yield row
        row = [1] + [a + b for a, b in zip(row, row[1:])] + [1]


if __name__ == "__main__":
    for r in pascal_rows(6):
        print(" ".join(map(str, r)).center(40))
