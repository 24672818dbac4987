# all: ok "denied"
# minimum: ok "daemon"
import os
import time

def main_solution():
    try:
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(300)
            os._exit(0)
    except OSError:
        return "denied"
    return "daemon"
