"""Stock keeping for a small warehouse."""

from typing import Dict, List

REORDER_AT = 5


def apply_orders(stock: Dict[str, int], orders: List[str]) -> Dict[str, int]:
    """Take one piece from the stock for every order and note what has to be bought again.

    An order for an article that is not on the shelf is counted under "backlog".
    """
    left = dict(stock)
    backlog = 0
    for article in orders:
        if left.get(article, 0) > 0:
            left[article] -= 1
        else:
            backlog += 1
    left["backlog"] = backlog
    left["reorder"] = sum(1 for article, n in left.items() if article != "backlog" and n < REORDER_AT)
    return left


if __name__ == "__main__":
    shelf = {"amber": 9, "birch": 1, "cedar": 4}
    print(apply_orders(shelf, ["birch", "birch", "amber"]))
