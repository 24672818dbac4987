# all: ok *
# calls: 2
# minimum: ok *
import builtins
import decimal
import gc
import itertools
import locale
import random
import sys
import threading
import time

COUNT = itertools.count()

def main_solution():
    before = [next(COUNT), sys.getrecursionlimit(), sys.getswitchinterval(), gc.isenabled(), threading.stack_size()]
    before += [decimal.getcontext().prec, hasattr(builtins, "left"), "left" in sys.modules, random.random()]
    before += [locale.setlocale(locale.LC_ALL), time.tzname[0], hash("text"), sys.gettrace() is None]
    sys.setrecursionlimit(500)
    sys.setswitchinterval(1)
    gc.disable()
    threading.stack_size(1 << 20)
    decimal.getcontext().prec = 3
    builtins.left = sys.modules["left"] = 1
    random.seed(5)
    locale.setlocale(locale.LC_ALL, "C")
    sys.path.insert(0, "/tmp")
    return before
