# all: ok "done"
import os

def main_solution():
    for number in range(2000):
        try:
            os.close(os.open(f"/tmp/f{number}", os.O_CREAT | os.O_WRONLY))
        except OSError:
            break
    return "done"
