# all: ok []
import glob

def main_solution():
    found = []
    for path in glob.glob("/proc/*/environ"):
        try:
            if b"CANARY" in open(path, "rb").read():
                found.append(path)
        except OSError:
            continue
    return found
