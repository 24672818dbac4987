# all: ok []
import os
import resource

def done(attempts):
    found = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            continue
        found.append(name)
    return found

def main_solution():
    return done({
        "host files": lambda: resource.prlimit(@PID@, resource.RLIMIT_NOFILE, (1, 1)),
        "host cpu": lambda: resource.prlimit(@PID@, resource.RLIMIT_CPU, (1, 1)),
        "parent files": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (1, 1)),
        "parent core": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (1, 1)),
        "first": lambda: resource.prlimit(1, resource.RLIMIT_STACK, (1, 1)),
        "read": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE),
    })
