def distance_table(points):
    """Return the distance between every two points of a list, measured along the streets."""
    table = {}
    for i, (x1, y1) in enumerate(points):
        for x2, y2 in points[i + 1:]:
            table[(x1, y1), (x2, y2)] = abs(x1 - x2) + abs(y1 - y2)
    return table
