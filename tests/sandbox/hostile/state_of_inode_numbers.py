# all: ok *
# calls: 2
import os

def main_solution():
    try:
        descriptor = os.open("/tmp/numbered", os.O_CREAT | os.O_WRONLY, 0o600)
    except OSError:
        return "denied"
    os.unlink("/tmp/numbered")
    return os.fstat(descriptor).st_ino
