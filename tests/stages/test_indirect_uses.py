"""Uses of clocks and host facts that no imported name shows."""

from __future__ import annotations

import ast

import pytest

from annoy_store.stages.indirect_uses import code_in_texts, indirect_uses


def uses(code: str, *modules: str) -> set[str]:
    return set(indirect_uses(ast.parse(code), modules))


@pytest.mark.parametrize(
    ("code", "use"),
    [
        ("x = db.execute(\"select date('now')\")", "clock"),
        ("x = db.execute('SELECT current_timestamp')", "clock"),
        ("x = db.execute('select strftime(\"%Y\", datetime())')", "clock"),
        ("x = db.execute('select sqlite_version()')", "host"),
        ("class D(datetime): pass\nx = D.now()", "clock"),
        ("E = datetime(1970, 1, 1)\nx = type(E).today()", "clock"),
        ("x = pd.Timestamp('now')", "clock"),
        ("x = np.datetime64('Today')", "clock"),
        ("x = np.array(['today'], dtype='datetime64[D]')", "clock"),
        ("x = self.random.Random()", "unseeded"),
        ("x = threading.current_thread().native_id", "entropy"),
        ("x = io.open('/etc/hostname')", "host"),
        ("P = '/etc/hostname'\nx = open(P)", "host"),
        ("x = open(file='/etc/hostname')", "host"),
        ("x = open(f'/proc/{n}')", "host"),
        ("x = Path('/etc/hostname').open()", "host"),
        ("x = np.loadtxt('/etc/hostname')", "host"),
        ("x = sys.modules['json'].__file__", "host"),
        ("x = ThreadPoolExecutor()._max_workers", "host"),
        ("x = len(f.__code__.co_code)", "host"),
        ("x = id(a) % 16", "entropy"),
        ("x = id(a) < id(b)", "entropy"),
        ("x = sorted(xs, key=id)", "entropy"),
        ("x = min(xs, key=lambda o: (o.n, id(o)))", "entropy"),
        ("heapq.heappush(heap, (cost, id(o), o))", "entropy"),
        ("x = hash(object()) % 2", "entropy"),
    ],
)
def test_indirect_uses_are_found(code: str, use: str) -> None:
    assert uses(code, "sqlite3", "datetime", "threading") == {use}


@pytest.mark.parametrize(
    "code",
    [
        "seen.add(id(a))",
        "x = id(a) == id(b)",
        "def f(id):\n    return id % 2 + id(3) % 2",
        "x = hash('a') % 2",
        "x = Path('/usr/bin').name",
        "x = open('data.txt')",
        "class Clock:\n    def now(self): return 5\nx = Clock().now()",
        "x = self.now + 1",
        "x = np.array(['now', 'later'])",
        "x = random.Random(5)",
        "x = db.execute('select day from days')",
        "x = 'the current_date of now'",
    ],
)
def test_indirect_uses_leave_out_what_depends_on_nothing(code: str) -> None:
    assert uses(code, "sqlite3", "datetime", "threading") == set()


def test_code_in_texts_finds_what_is_evaluated() -> None:
    assert list(code_in_texts(ast.parse("eval('a')\nexec('b', {})\nf('c')\neval(d)"))) == ["a", "b"]
