# all: ok ["denied", "denied", "denied", "denied"]
import os

def attempt(what):
    try:
        what()
    except OSError:
        return "denied"
    return "done"

def main_solution():
    path = os.__file__
    return [
        attempt(lambda: os.chmod(path, os.stat(path).st_mode & 0o7777)),
        attempt(lambda: os.utime(path, (1, 1))),
        attempt(lambda: os.truncate(path, os.stat(path).st_size)),
        attempt(lambda: os.setxattr(path, "user.annoy", b"1")),
    ]
