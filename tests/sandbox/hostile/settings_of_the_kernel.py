# all: ok []
import os

def done(attempts):
    found = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            continue
        found.append(name)
    return found

PATHS = ["/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger", "/proc/self/oom_score_adj",
         "/proc/self/attr/current", "/proc/1/oom_score_adj", "/sys/power/state", "/sys/fs/cgroup/cgroup.procs",
         "/sys/kernel/mm/ksm/run", "/sys/block/vda/queue/scheduler", "/proc/self/mem", "/proc/self/uid_map"]

def main_solution():
    return done({path: lambda path=path: open(path, "r+b", buffering=0).close() for path in PATHS})
