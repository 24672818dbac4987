"""Programs that keep state from one call to the next, each in a way of its own.

Each text is a module with a function `f` that differs from call to call, or would if its process
did more; it is the body of both a program and a generator.
"""

from __future__ import annotations

_TEXT = """
# a global number
n = 0
def f():
    global n
    n += 1
    return n
# a list that grows
seen = []
def f():
    seen.append(1)
    return len(seen)
# an alias of a list
seen = []
def f():
    alias = seen
    alias.append(1)
    return len(seen)
# an alias at the level of the module
seen = []
alias = seen
def f():
    alias.append(1)
    return len(seen)
# a list that two names get at once
one = two = []
def f():
    one.append(1)
    return len(two)
# a dict as a cache
cache = {}
def f():
    cache[len(cache)] = 1
    return len(cache)
# setdefault
cache = {}
def f():
    return cache.setdefault(len(cache), len(cache))
# update of a dict
cache = {}
def f():
    cache.update({len(cache): 1})
    return len(cache)
# an inner list
grid = [[0], [0]]
def f():
    grid[0][0] += 1
    return grid[0][0]
# an alias of an inner list
grid = [[0], [0]]
def f():
    row = grid[0]
    row.append(1)
    return len(grid[0])
# inner lists by iteration
grid = [[0], [0]]
def f():
    for row in grid:
        row.append(1)
    return len(grid[0])
# inner lists by a comprehension
grid = [[0], [0]]
def f():
    return [row.append(1) or len(row) for row in grid]
# inner lists of a tuple
grid = ([0], [0])
def f():
    grid[0].append(1)
    return len(grid[0])
# inner lists by values
rows = {'a': [0]}
def f():
    for row in rows.values():
        row.append(1)
    return len(rows['a'])
# inner lists by get
rows = {'a': [0]}
def f():
    rows.get('a').append(1)
    return len(rows['a'])
# an inner list by random.choice
import random
rows = [[0]]
def f():
    random.choice(rows).append(1)
    return len(rows[0])
# inner lists by max
rows = [[0]]
def f():
    max(rows).append(1)
    return len(rows[0])
# inner lists by sorted
rows = [[0]]
def f():
    sorted(rows)[0].append(1)
    return len(rows[0])
# a slice that keeps inner lists
rows = [[0], [1]]
def f():
    rows[1:][0].append(1)
    return len(rows[1])
# a copy that keeps inner lists
import copy
rows = [[0]]
def f():
    copy.copy(rows)[0].append(1)
    return len(rows[0])
# a list given to a function
rows = [0]
def change(x):
    x.append(1)
def f():
    change(rows)
    return len(rows)
# a list returned by a function
rows = [0]
def give():
    return rows
def f():
    give().append(1)
    return len(rows)
# a list by a conditional expression
rows = [0]
def f():
    (rows if True else []).append(1)
    return len(rows)
# a list by or
rows = [0]
def f():
    (None or rows).append(1)
    return len(rows)
# a list by a walrus
rows = [0]
def f():
    (x := rows).append(1)
    return len(x)
# a list in a tuple
rows = [0]
def f():
    (rows, 1)[0].append(1)
    return len(rows)
# a list by a comparison
rows = [0]
class Taker:
    def __eq__(self, other):
        other.append(1)
        return True
def f():
    Taker() == rows
    return len(rows)
# a list by a method of its class
rows = [0]
def f():
    list.append(rows, 1)
    return len(rows)
# an item assigned by a method of its class
rows = [0]
def f():
    list.__setitem__(rows, 0, rows[0] + 1)
    return rows[0]
# an item by operator
import operator
rows = [0]
def f():
    operator.setitem(rows, 0, rows[0] + 1)
    return rows[0]
# a bound method kept at the level of the module
rows = []
push = rows.append
def f():
    push(1)
    return len(rows)
# a bound method given to map
rows = []
def f():
    list(map(rows.append, [1]))
    return len(rows)
# a heap
import heapq
heap = []
def f():
    heapq.heappush(heap, 1)
    return len(heap)
# a shuffled list
import random
cards = [1, 2, 3, 4, 5]
def f():
    random.shuffle(cards)
    return cards[0]
# a sorted list
cards = [3, 2, 1]
def f():
    first = cards[0]
    cards.sort()
    return first
# a slice that is assigned
rows = [0]
def f():
    rows[1:] = [0] * len(rows)
    return len(rows)
# an item that is deleted
rows = [0] * 99
def f():
    del rows[0]
    return len(rows)
# a loop with an item as its target
rows = [0]
def f():
    for rows[0] in range(rows[0] + 2):
        pass
    return rows[0]
# a set
seen = set()
def f():
    seen.add(len(seen))
    return len(seen)
# a deque
from collections import deque
queue = deque([1, 2, 3])
def f():
    queue.rotate(1)
    return queue[0]
# a Counter
from collections import Counter
counts = Counter()
def f():
    counts['a'] += 1
    return counts['a']
# a defaultdict that grows by reading
from collections import defaultdict
seen = defaultdict(int)
def f():
    seen[len(seen)]
    return len(seen)
# a bytearray
data = bytearray(1)
def f():
    data[0] += 1
    return data[0]
# an iterator
numbers = iter(range(100))
def f():
    return next(numbers)
# itertools.count
import itertools
numbers = itertools.count()
def f():
    return next(numbers)
# itertools.cycle
import itertools
numbers = itertools.cycle([1, 2, 3])
def f():
    return next(numbers)
# a generator function that was called
def counting():
    n = 0
    while True:
        yield n
        n += 1
numbers = counting()
def f():
    return next(numbers)
# a generator expression
numbers = (n for n in range(100))
def f():
    return next(numbers)
# map at the level of the module
numbers = map(abs, range(100))
def f():
    return next(numbers)
# zip, enumerate and reversed
numbers = enumerate(reversed([1, 2, 3]))
def f():
    return next(numbers)[1]
# an iterator in a default argument
def f(numbers=iter(range(100))):
    return next(numbers)
# a default argument
def f(seen=[]):
    seen.append(1)
    return len(seen)
# a default argument by keyword
def f(*, seen={}):
    seen[len(seen)] = 1
    return len(seen)
# a default argument of a method
class Box:
    def put(self, seen=[]):
        seen.append(1)
        return len(seen)
def f():
    return Box().put()
# a default argument of a lambda
count = lambda seen=[]: seen.append(1) or len(seen)
def f():
    return count()
# a module's list as a default argument
rows = []
def f(seen=rows):
    seen.append(1)
    return len(seen)
# lru_cache with results that are changed
import functools
@functools.lru_cache
def made():
    return []
def f():
    made().append(1)
    return len(made())
# functools.cache
from functools import cache
@cache
def made():
    return []
def f():
    made().append(1)
    return len(made())
# a decorator with a memory
def memo(g):
    known = {}
    def inner():
        known[len(known)] = 1
        return len(known)
    return inner
@memo
def f():
    return 1
# a closure
def counter():
    n = 0
    def count():
        nonlocal n
        n += 1
        return n
    return count
f = counter()
# a closure over a list
def counter():
    seen = []
    return lambda: seen.append(1) or len(seen)
f = counter()
# functools.partial
import functools
def count(seen):
    seen.append(1)
    return len(seen)
f = functools.partial(count, [])
# an attribute of a function
def f():
    f.calls = getattr(f, 'calls', 0) + 1
    return f.calls
# an attribute of a function by an alias
def g():
    return 1
g.calls = 0
def f():
    me = g
    me.calls += 1
    return g.calls
# an attribute of a function by max
def g():
    return 1
def f():
    me = max(g, key=str)
    me.calls = me.calls + 1 if hasattr(me, 'calls') else 0
    return me.calls
# an attribute of a function from a list
def g():
    return 1
def f():
    for me in [g]:
        me.calls = me.calls + 1 if hasattr(me, 'calls') else 0
    return me.calls
# an attribute of a function that copy returns
import copy
def g():
    return 1
def f():
    me = copy.copy(g)
    me.calls = me.calls + 1 if hasattr(me, 'calls') else 0
    return me.calls
# an attribute of a function that reduce returns
import functools
def g():
    return 1
def f():
    me = functools.reduce(None, [], g)
    me.calls = me.calls + 1 if hasattr(me, 'calls') else 0
    return me.calls
# an attribute of a function behind a defaultdict
from collections import defaultdict
def g():
    return 1
def f():
    me = defaultdict(g).default_factory
    me.calls = me.calls + 1 if hasattr(me, 'calls') else 0
    return me.calls
# a class attribute
class Box:
    n = 0
def f():
    Box.n += 1
    return Box.n
# a list of a class
class Box:
    seen = []
    def put(self):
        self.seen.append(1)
        return len(self.seen)
def f():
    return Box().put()
# a class attribute by type
class Box:
    n = 0
    def put(self):
        type(self).n += 1
        return self.n
def f():
    return Box().put()
# a class attribute by __class__
class Box:
    n = 0
    def put(self):
        self.__class__.n += 1
        return self.n
def f():
    return Box().put()
# a class attribute by a class method
class Box:
    n = 0
    @classmethod
    def put(cls):
        cls.n += 1
        return cls.n
def f():
    return Box.put()
# a class attribute by an alias of the class
class Box:
    n = 0
def f():
    kind = Box
    kind.n += 1
    return Box.n
# a class attribute by the class as an argument
class Box:
    n = 0
def grow(kind):
    kind.n += 1
    return kind.n
def f():
    return grow(Box)
# a class in a class
class Outer:
    class Inner:
        n = 0
    def put(self):
        self.Inner.n += 1
        return self.Inner.n
def f():
    return Outer().put()
# an attribute of a static method
class Box:
    @staticmethod
    def give():
        return 1
    def put(self):
        me = self.give
        me.calls = me.calls + 1 if hasattr(me, 'calls') else 0
        return me.calls
def f():
    return Box().put()
# an attribute of a method, by its class
class Box:
    size = 1
    def give(self):
        return 1
def f():
    me = Box.give
    me.calls = me.calls + 1 if hasattr(me, 'calls') else 0
    return me.calls
# a method that is replaced
class Box:
    def give(self):
        return 1
def f():
    found = Box().give()
    Box.give = lambda self: found + 1
    return found
# a single instance
class Box:
    def __init__(self):
        self.n = 0
box = Box()
def f():
    box.n += 1
    return box.n
# an instance made by __new__
class Box:
    made = None
    def __new__(cls):
        if cls.made is None:
            cls.made = object.__new__(cls)
        return cls.made
def f():
    box = Box()
    box.n = box.n + 1 if hasattr(box, 'n') else 0
    return box.n
# a metaclass
class Meta(type):
    def __call__(cls):
        cls.n = cls.n + 1 if hasattr(cls, 'n') else 0
        return cls.n
class Box(metaclass=Meta):
    pass
def f():
    return Box()
# a descriptor
class Count:
    def __init__(self):
        self.n = 0
    def __get__(self, owner, kind):
        self.n += 1
        return self.n
class Box:
    n = Count()
def f():
    return Box().n
# an enum member
from enum import Enum
class Kind(Enum):
    A = 1
def f():
    Kind.A.n = getattr(Kind.A, 'n', 0) + 1
    return Kind.A.n
# a finalizer
n = [0]
class Box:
    def __del__(self):
        n[0] += 1
def f():
    Box()
    return n[0]
# subclasses that are registered
class Base:
    known = []
    def __init_subclass__(cls):
        Base.known.append(cls)
def f():
    class Sub(Base):
        pass
    return len(Base.known)
# subclasses that the base knows
class Base:
    pass
def f():
    kinds = type('Sub', (Base,), {})
    return len(Base.__subclasses__())
# globals()
def f():
    globals()['n'] = globals().get('n', 0) + 1
    return n
# vars of a function
def f():
    vars(f)['n'] = vars(f).get('n', 0) + 1
    return vars(f)['n']
# exec
n = 0
def f():
    exec('global n; n += 1')
    return n
# the namespace by a frame
n = 0
def steps():
    yield 1
def f():
    space = steps().gi_frame.f_globals
    space['n'] += 1
    return n
# the namespace by a function
n = 0
def f():
    f.__globals__['n'] += 1
    return n
# the namespace by a traceback
n = 0
def f():
    try:
        1 // 0
    except ZeroDivisionError as error:
        space = error.__traceback__.tb_frame.f_globals
    space['n'] += 1
    return n
# the module itself
import sys
def f():
    me = sys.modules['solution']
    me.n = getattr(me, 'n', 0) + 1
    return me.n
# the module by import
n = 0
def f():
    import solution
    solution.n += 1
    return n
# an attribute of a module
import math
def f():
    math.n = getattr(math, 'n', 0) + 1
    return math.n
# a name in builtins
import builtins
def f():
    builtins.n = getattr(builtins, 'n', 0) + 1
    return builtins.n
# the builtins of the module
def f():
    __builtins__['n'] = 1
    return len(__builtins__)
# a module of ours in sys.modules
import sys
def f():
    sys.modules['n%d' % len(sys.modules)] = sys
    return len(sys.modules)
# the environment
import os
def f():
    os.environ['N'] = str(int(os.environ.get('N', 0)) + 1)
    return os.environ['N']
# a file
import os
def f():
    with open('/tmp/n', 'a') as file:
        file.write('x')
    return os.path.getsize('/tmp/n')
# a temporary folder
import tempfile
def f():
    return tempfile.mkdtemp()
# an open file
import io
file = io.StringIO('abc')
def f():
    return file.read(1)
# standard output
import sys
def f():
    sys.stdout.n = getattr(sys.stdout, 'n', 0) + 1
    return sys.stdout.n
# a generator of random numbers of its own
import random
dice = random.Random(7)
def f():
    return dice.random()
# a generator of numpy of its own
import numpy as np
dice = np.random.default_rng(7)
def f():
    return float(dice.random())
# settings of numpy
import numpy as np
def f():
    old = np.get_printoptions()['precision']
    np.set_printoptions(precision=old + 1)
    return old
# the state of random
import random
start = random.getstate()
def f():
    random.setstate(start)
    return random.random()
# the decimal context
import decimal
def f():
    decimal.getcontext().prec += 1
    return decimal.getcontext().prec
# the recursion limit
import sys
def f():
    sys.setrecursionlimit(sys.getrecursionlimit() + 1)
    return sys.getrecursionlimit()
# warnings
import warnings
def f():
    warnings.simplefilter('ignore')
    return len(warnings.filters)
# a thread
import threading
def f():
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return threading.active_count()
# a context variable
import contextvars
n = contextvars.ContextVar('n', default=0)
def f():
    n.set(n.get() + 1)
    return n.get()
# a signal handler
import signal
def f():
    old = signal.getsignal(signal.SIGALRM)
    signal.signal(signal.SIGALRM, lambda *_: None)
    return str(old)
# the counts of the garbage collector
import gc
def f():
    return gc.get_count()
# references to an object
import sys
keep = []
def f():
    return sys.getrefcount(keep)
# weak references
import weakref
known = weakref.WeakValueDictionary()
def f():
    return len(known)
# logging handlers
import logging
def f():
    logging.getLogger().addHandler(logging.NullHandler())
    return len(logging.getLogger().handlers)
# the address of an object
def f():
    return id(object())
# a hash of an object
def f():
    return object().__hash__()
# memory that is left
def f():
    try:
        return len(bytearray(900 << 20))
    except MemoryError:
        return 0
# memory that is left, by any exception
def f():
    try:
        return len(bytearray(900 << 20))
    except Exception:
        return 0
# memory that is left, by finally
def f():
    try:
        return len(bytearray(900 << 20))
    finally:
        return 0
# star import
from random import *
def f():
    seed(1)
    return random()
# a statement at the level of the module
seen = []
for n in range(3):
    seen.append(n)
def f():
    return seen.pop()
"""

STATEFUL: dict[str, str] = {
    name.strip(): body
    for part in _TEXT.split("\n# ")[1:]
    for name, _, body in [part.partition("\n")]
}
"""Modules with a function `f`, by the way in which they keep state."""
