"""Uses of what no seed controls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.stages.nondeterminism import KINDS, nondeterministic_call


@pytest.mark.parametrize(
    ("code", "use"),
    [
        ("import time\nx = time.time()", "clock"),
        ("from time import perf_counter as now\nx = now()", "clock"),
        ("import datetime\nx = datetime.datetime.now()", "clock"),
        ("import datetime\nx = datetime.datetime.now().year", "clock"),
        ("from datetime import date\nx = date.today()", "clock"),
        ("import time\nx = time.strftime('%Y')", "clock"),
        ("import time\nx = time.clock_gettime(time.CLOCK_REALTIME)", "clock"),
        ("import time as t\nx = t.clock_gettime_ns(1)", "clock"),
        ("import time\nx = time.thread_time()", "clock"),
        ("from time import *\nx = process_time_ns()", "clock"),
        ("from time import *\nx = ctime()", "clock"),
        ("from time import *\nx = ctime(0)", None),
        ("from datetime import *\nx = datetime.utcnow()", "clock"),
        ("import time\nx = time.asctime()", "clock"),
        ("import timeit\nx = timeit.default_timer()", "clock"),
        ("import time\nclock = time.time\nx = clock()", "clock"),
        ("import time\nx = list(map(time.monotonic_ns, []))", "clock"),
        ("import time\nx = getattr(time, 'time')()", "clock"),
        ("import time\nx = vars(time)", "clock"),
        ("x = __import__('time').time()", "clock"),
        ("import importlib\nx = importlib.import_module('time').time()", "clock"),
        ("from datetime import datetime\nkind = datetime\nx = kind.now()", "clock"),
        ("import pandas as pd\nx = pd.Timestamp.now()", "clock"),
        ("import numpy as np\nx = np.datetime64('now')", "clock"),
        ("import numpy as np\nx = np.datetime64('2020-01-01')", None),
        ("import os\nx = os.times()", "clock"),
        ("import resource\nx = resource.getrusage(0)", "clock"),
        ("from pathlib import Path\nx = Path('/').stat().st_mtime", "clock"),
        ("def f(found):\n    return found.st_atime_ns", "clock"),
        ("import uuid\nx = uuid.uuid4()", "entropy"),
        ("import secrets as s\nx = s.token_hex()", "entropy"),
        ("import os\nx = os.urandom(4)", "entropy"),
        ("import random\nx = random.SystemRandom().random()", "entropy"),
        ("import tempfile\nx = tempfile.mkdtemp()", "entropy"),
        ("import threading\nx = threading.get_ident()", "entropy"),
        ("import numpy as np\nx = np.random.default_rng().random()", "unseeded"),
        ("import numpy as np\nx = np.random.default_rng(seed=None)", "unseeded"),
        ("import random\nx = random.Random()", "unseeded"),
        ("import random\nrandom.seed()", "unseeded"),
        ("import random\nrandom.seed(None)", "unseeded"),
        ("import random\nrandom.seed(5)", None),
        ("import random\ndef f(rng: random.Random): return rng.random()", None),
        ("import time\ntime.sleep(1)", None),
        ("import time\nx = time.strftime('%Y', (2000, 1, 1, 0, 0, 0, 0, 1, 0))", None),
        ("import time\nx = time.gmtime(0)", None),
        ("import random\nx = random.Random(4).random()", None),
        ("import random\nx = random.random()", None),
        ("import time", None),
        ("class time:\n    def time(): return 1\nx = time.time()", None),
        ("import datetime\na, b = datetime.date, datetime.time\nx = a.today()", "clock"),
        ("import datetime\na: type = datetime.date\nx = a.today()", "clock"),
        ("import time\nx = time.localtime(None)", "clock"),
        ("import sys\nx = len(sys.modules)", "host"),
        ("import sys\nx = sys.modules[__name__].f", None),
        ("import posix\nx = posix.cpu_count()", "host"),
        ("import ctypes\nx = ctypes.CDLL(None).time(None)", "host"),
        ("import dis\nx = list(dis.get_instructions(f))", "host"),
        ("import numpy as np\nx = np.version.version", "host"),
        ("x = eval(\"__import__('os').cpu_count()\")", "host"),
        ("exec('import time\\nx = time.time()')", "clock"),
        ("x = eval('1 + 1')", None),
        ("def broken(", None),
    ],
)
def test_nondeterministic_call_finds_the_kind(code: str, use: str | None) -> None:
    assert nondeterministic_call(code) == use


@pytest.mark.parametrize(
    "use",
    [
        *("os.cpu_count()", "os.getppid()", "os.uname().nodename", "os.environ['HOME']"),
        *("os.environ.get('USER')", "os.getenv('LANG')", "os.getcwd()", "os.listdir('.')"),
        *("sorted(os.scandir('/'))", "list(os.walk('/'))", "os.getlogin()", "os.getuid()"),
        *("os.getloadavg()", "os.sysconf('SC_PAGE_SIZE')", "os.statvfs('/')", "os.access('/', 4)"),
        *("os.path.exists('/etc')", "os.path.getsize('/')", "os.path.expanduser('~')"),
        *("os.path.abspath('x')", "os.stat('/').st_size", "os.sched_getaffinity(0)"),
        *("platform.release()", "platform.node()", "platform.python_version()", "platform"),
        *("shutil.disk_usage('/')", "shutil.which('ls')", "sys.version_info[:2]", "sys.version"),
        *("sys.version_info.major", "sys.platform", "sys.executable", "sys.getsizeof(1)"),
        *("sys.byteorder", "sys.path[0]", "sys.implementation.name", "glob.glob('*')"),
        *("socket.gethostname()", "socket.getfqdn()", "getpass.getuser()", "pwd.getpwuid(0)"),
        *("multiprocessing.cpu_count()", "psutil.virtual_memory().total", "locale.getlocale()"),
        *("uuid.getnode()", "numpy.__version__", "pathlib.Path.home()", "pathlib.Path.cwd()"),
        *("list(pathlib.Path('.').iterdir())", "pathlib.Path('/etc').exists()", "__file__"),
        *("open('/etc/hostname').read()", "subprocess.check_output(['ls'])", "os.popen('ls')"),
        *("importlib.metadata.version('pip')", "mimetypes.guess_type('a.py')", "sysconfig"),
        *("getattr(os, 'cpu_' + 'count')()", "resource.getrlimit(0)", "os.__dict__"),
    ],
)
def test_nondeterministic_call_finds_facts_about_the_host(use: str) -> None:
    modules = (
        "os platform shutil sys glob socket getpass pwd multiprocessing psutil locale uuid numpy "
        "pathlib subprocess importlib.metadata mimetypes sysconfig resource"
    )
    imports = f"import {', '.join(modules.split())}\n"
    assert nondeterministic_call(imports) is None
    assert nondeterministic_call(f"{imports}def main_solution(x):\n    return {use}\n") == "host"


@pytest.mark.parametrize(
    "use",
    [
        *("os.path.join('a', 'b')", "os.path.splitext(x)[1]", "os.sep", "os.linesep.join(x)"),
        *("sys.maxsize", "sys.setrecursionlimit(10**6)", "sys.stdin.read()", "sys.exit(1)"),
        *(
            "sys.path.append('..')",
            "open(x)",
            "open('data.txt')",
            "x.now()",
            "x.stat()",
            "x.exists()",
        ),
        *("socket.inet_aton(x)", "shutil.copyfileobj(x, x)", "sys.float_info.epsilon"),
        *("x.group()", "os.fspath(x)", "glob.escape(x)", "re.match(x, x).group(1)"),
    ],
)
def test_nondeterministic_call_accepts_what_depends_on_nothing_outside(use: str) -> None:
    imports = "import os, sys, socket, shutil, glob, re\n"
    assert nondeterministic_call(f"{imports}def main_solution(x):\n    return {use}\n") is None


def test_nondeterministic_call_lets_the_environment_be_written() -> None:
    code = "import os\nos.environ['OMP_NUM_THREADS'] = '1'\ndel os.environ['X']\n"
    assert nondeterministic_call(code) is None


@given(st.text())
def test_nondeterministic_call_never_raises(code: str) -> None:
    assert nondeterministic_call(code) in {None, *KINDS}
