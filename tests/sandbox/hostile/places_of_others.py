# all: ok []
import os
import sys

def done(attempts):
    found = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            continue
        found.append(name)
    return found

PATHS = ["/var", "/run", "/var/run/docker.sock", "/run/user", "/mnt", "/media", "/boot", "/srv",
         "/sys", "/proc", "/lost+found", "/var/log", "/var/lib", "/etc/ssh", "/run/secrets"]

def main_solution():
    return done({path: lambda path=path: os.listdir(path) for path in PATHS if not sys.prefix.startswith(path + "/")})
