import math
from typing import Dict, List


def summarise(temperatures: List[float]) -> Dict[str, float]:
    """Summarise the temperatures of a week: mean, spread and the longest rise day after day."""
    n = len(temperatures)
    mean = sum(temperatures) / n
    variance = sum((t - mean) ** 2 for t in temperatures) / n
    longest = run = 0
    for before, after in zip(temperatures, temperatures[1:]):
        run = run + 1 if after > before else 0
        longest = max(longest, run)
    return {"mean": mean, "spread": math.sqrt(variance), "rise": longest}
