# all: ok []
import ctypes
import os
import platform

ARM = platform.machine() == "aarch64"
libc = ctypes.CDLL(None, use_errno=True)

def raw(intel, arm, *arguments):
    """Make a system call by its number; what this machine does not have fails."""
    number = arm if ARM else intel
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    if number < 0 or libc.syscall(ctypes.c_long(number), *wide) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def failed(status):
    if status != 0:
        raise OSError(status, "refused")

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
        "system": lambda: failed(libc.system(b"true")),
        "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "spawn by name": lambda: os.posix_spawnp("true", ["true"], {}),
        "popen": lambda: os.popen("true").close(),
        "fork": lambda: os.fork(),
        "pty": lambda: os.fork(),
        "exec": lambda: os.execv("/bin/true", ["true"]),
    })
