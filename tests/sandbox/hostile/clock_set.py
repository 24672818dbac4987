# all: ok "denied"
import time

def main_solution():
    try:
        time.clock_settime(time.CLOCK_REALTIME, 0)
    except OSError:
        return "denied"
    return "set"
