from typing import List


class Elevator:
    """An elevator that serves the nearest call first."""

    def __init__(self) -> None:
        self.floor = 0
        self.travelled = 0

    def serve(self, calls: List[int]) -> List[int]:
        """Serve all calls from the ground floor; the answer is the floors in order, then the way in floors."""
        waiting = list(calls)
        order = []
        while waiting:
            nearest = waiting[0]
            for call in waiting:
                if abs(call - self.floor) < abs(nearest - self.floor):
                    nearest = call
            waiting.remove(nearest)
            self.travelled += abs(nearest - self.floor)
            self.floor = nearest
            order.append(nearest)
        return order + [self.travelled]
