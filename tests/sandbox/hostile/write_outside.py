# all: ok ["denied", "denied", "denied", "denied", "denied"]
import os

def attempt(what, *arguments):
    try:
        what(*arguments)
    except OSError:
        return "denied"
    return "done"

def main_solution():
    outside = "@OUTSIDE@"
    return [
        attempt(open, outside + "/new.txt", "w"),
        attempt(open, outside + "/secret.txt", "a"),
        attempt(os.unlink, outside + "/secret.txt"),
        attempt(os.mkdir, outside + "/folder"),
        attempt(os.chmod, outside + "/secret.txt", 0o777),
    ]
