def edit_distance(word1: str, word2: str) -> int:
    """Count the fewest insertions, deletions and replacements that turn one word into the other."""
    row = list(range(len(word2) + 1))
    for i, a in enumerate(word1, 1):
        corner, row[0] = row[0], i
        for j, b in enumerate(word2, 1):
            keep = corner + (a != b)
            corner = row[j]
            row[j] = min(keep, row[j] + 1, row[j - 1] + 1)
    return row[-1]


if __name__ == "__main__":
    print(edit_distance("kitten", "sitting"))
    print(edit_distance("flaw", "lawn"))
