def phase_lock(phase: int, step: int) -> int:
    """Turn a dial by step until it stands at its phase again, and count the turns."""
    turns = 0
    angle = phase + 1
    while angle != phase:
        angle += step if angle > phase else 360
        turns += 1
    return turns
