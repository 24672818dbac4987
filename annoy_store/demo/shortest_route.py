from collections import deque
from typing import Dict, List


def shortest_route(graph: Dict[str, List[str]], start: str = "A", goal: str = "E") -> List[str]:
    """Find a shortest way through a graph from start to goal, as the list of the nodes passed.

    If there is none, the list is empty.
    """
    came_from = {start: None}
    waiting = deque([start])
    while waiting:
        node = waiting.popleft()
        if node == goal:
            break
        for neighbour in graph.get(node, []):
            if neighbour not in came_from:
                came_from[neighbour] = node
                waiting.append(neighbour)
    if goal not in came_from:
        return []
    route = []
    node = goal
    while node is not None:
        route.append(node)
        node = came_from[node]
    return route[::-1]


if __name__ == "__main__":
    print(shortest_route({"A": ["B", "C"], "B": ["D"], "C": ["D"], "D": ["E"], "E": []}, "A", "E"))
    print(shortest_route({"A": ["D"], "B": ["A"], "C": ["E"], "D": ["C"], "E": ["B"]}, "B", "C"))
