"""Detects what no seed controls: clocks, entropy, unseeded generators, facts about the host.

Decisions
- Pairs of such code are unstable even if two runs agreed, because they may agree by chance, and
  facts about the host are the same in both runs and others on the next machine.
- A use counts, called or passed on, wherever it stands; an import alone does not. `random` and
  `numpy.random` themselves are seeded, so two runs with different seeds show whether they matter.
- Of modules that are mostly about the outside (`os`, `sys`, `time`), what is known to depend on
  nothing outside is listed, so that a function that nobody thought of counts. A bare use of such a
  module counts too: it hides which of its functions is meant.
- Code in a text that is given to `eval` or `exec` is examined like the rest.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from annoy_store.parsing.python_code import parse_module
from annoy_store.stages.indirect_uses import code_in_texts, indirect_uses

KINDS = ("clock", "entropy", "unseeded", "host")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Modules, what their uses are, and which of their names depend on nothing outside.
_MODULES: dict[str, tuple[str, frozenset[str]]] = {
    "time": (
        "clock",
        _names(
            "sleep struct_time mktime strptime localtime gmtime ctime asctime strftime tzset "
            "CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID"
        ),
    ),
    "timeit": ("clock", _names("")),
    "os": (
        "host",
        _names(
            "path sep altsep extsep pathsep linesep curdir pardir devnull defpath name error fspath "
            "fsencode fsdecode PathLike strerror abort _exit EX_OK urandom getrandom getpid times"
        ),
    ),
    "os.path": (
        "host",
        _names(
            "join basename dirname split splitext splitdrive splitroot normpath normcase commonpath "
            "commonprefix isabs sep altsep extsep pathsep curdir pardir devnull defpath"
        ),
    ),
    "sys": (
        "host",
        _names(
            "maxsize maxunicode float_info int_info hash_info stdin stdout stderr __stdin__ __stdout__ "
            "__stderr__ argv path modules exit intern setrecursionlimit getrecursionlimit exc_info "
            "excepthook displayhook settrace gettrace setprofile getprofile _getframe "
            "set_int_max_str_digits get_int_max_str_digits setswitchinterval getswitchinterval "
            "dont_write_bytecode tracebacklimit call_tracing is_finalizing getdefaultencoding"
        ),
    ),
    "sys.path": ("host", _names("append insert extend remove")),
    "glob": ("host", _names("escape has_magic translate")),
    "secrets": ("entropy", _names("compare_digest")),
    "tempfile": ("entropy", _names("")),
}
_MODULES["sys.modules"] = ("host", _names("get pop setdefault"))
_MODULES["posixpath"] = _MODULES["os.path"]
_MODULES["posix"] = _MODULES["os"]
_MODULES.update(
    {
        name: ("host", frozenset())
        for name in _names(
            "platform getpass pwd grp spwd locale sysconfig site subprocess resource tracemalloc "
            "mimetypes importlib.metadata importlib.resources importlib_metadata pkg_resources psutil "
            "distro cpuinfo netifaces GPUtil pynvml requests httpx aiohttp urllib3 urllib.request "
            "http.client ftplib smtplib telnetlib fileinput dis opcode ctypes.util"
        )
    }
)

# Names by the class or module right before them.
_OWNED: dict[str, dict[str, frozenset[str]]] = {
    "clock": {
        "datetime": _names("now utcnow today"),
        "date": _names("today"),
        "Timestamp": _names("now utcnow today"),
        "timezone": _names("now localtime localdate"),
        "Time": _names("now"),
        "Period": _names("now"),
        "arrow": _names("now utcnow"),
        "pendulum": _names("now today tomorrow yesterday"),
        "os": _names("times"),
        "resource": _names("getrusage"),
        "utils": _names("formatdate make_msgid localtime"),
    },
    "entropy": {
        "uuid": _names("uuid1 uuid4 uuid6 uuid7 uuid8"),
        "os": _names("urandom getrandom getpid"),
        "random": _names("SystemRandom"),
        "threading": _names("get_ident get_native_id"),
        "_thread": _names("get_ident get_native_id"),
        "ssl": _names("RAND_bytes RAND_pseudo_bytes"),
        "Random": _names("get_random_bytes new"),
        "Fernet": _names("generate_key"),
        "bcrypt": _names("gensalt"),
        "crypt": _names("mksalt"),
    },
    "host": {
        "Path": _names("cwd home"),
        "uuid": _names("getnode"),
        "shutil": _names("disk_usage which get_terminal_size"),
        "multiprocessing": _names("cpu_count current_process active_children parent_process"),
        "gc": _names("get_count get_stats get_objects get_referrers get_referents"),
        "util": _names("find_spec find_library"),
        "inspect": _names("getfile getsourcefile getabsfile"),
        "ctypes": _names("CDLL PyDLL cdll pydll pythonapi"),
        "version": _names("version full_version short_version release git_revision"),
        "expat": _names("EXPAT_VERSION version_info features native_encoding"),
        "keyword": _names("kwlist softkwlist"),
        "joblib": _names("cpu_count"),
        "django": _names("get_version"),
        "mmap": _names("PAGESIZE ALLOCATIONGRANULARITY"),
        "tz": _names("tzlocal gettz"),
        "signal": _names("valid_signals"),
        "pkgutil": _names("iter_modules walk_packages find_loader get_loader"),
        "zoneinfo": _names("available_timezones TZPATH"),
        "ssl": _names("OPENSSL_VERSION OPENSSL_VERSION_INFO OPENSSL_VERSION_NUMBER"),
        "sqlite3": _names("sqlite_version sqlite_version_info version"),
        "zlib": _names("ZLIB_VERSION ZLIB_RUNTIME_VERSION"),
        "hashlib": _names("algorithms_available"),
        "unicodedata": _names("unidata_version"),
        "cuda": _names("is_available device_count get_device_name"),
        "socket": _names(
            "socket create_connection create_server gethostname getfqdn gethostbyname sethostname "
            "gethostbyname_ex gethostbyaddr getaddrinfo getnameinfo getservbyname getservbyport "
            "getprotobyname if_nameindex has_ipv6"
        ),
    },
}
_ABOUT_MODULES = _names("__version__ __file__ __path__ __spec__ __cached__ __loader__")
_STAT_TIMES = _names("st_atime st_mtime st_ctime st_birthtime")
_STAT_FIELDS = _names(
    "st_ino st_dev st_nlink st_uid st_gid st_mode st_size st_blksize st_blocks st_rdev st_flags"
)
_PATH_METHODS = _names(
    "iterdir glob rglob stat lstat expanduser resolve absolute exists is_file is_dir is_symlink "
    "is_mount samefile read_text read_bytes write_text write_bytes touch mkdir unlink rmdir owner group"
)
_NOW_WITHOUT_ARGUMENT = {"localtime": 1, "gmtime": 1, "ctime": 1, "asctime": 1, "strftime": 2}
_SEEDED_BY_ARGUMENT = _names(
    "default_rng RandomState Random SeedSequence PCG64 PCG64DXSM MT19937 Philox SFC64 seed"
)


def nondeterministic_call(code: str) -> str | None:
    """Return the kind of the first use in `code` that no seed controls.

    Args:
        code: Python source; it need not be valid.

    Returns:
        `clock`, `entropy`, `unseeded` or `host`; None if there is no such use.
    """
    try:
        tree = parse_module(code)
        inner = (nondeterministic_call(text) for text in code_in_texts(tree) if text != code)
        return next(_uses(tree), None) or next(filter(None, inner), None)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _uses(tree: ast.AST) -> Iterator[str]:
    """Yield the kind of each use. Of `a.b.c` the longest chain counts, and no part by itself."""
    imported = dict(_imported(tree))
    imported.update(_renamed(tree, imported))
    modules = {path.split(".")[0] for path in imported.values()}
    with_paths = "pathlib" in modules
    yield from indirect_uses(tree, modules)
    within: set[int] = set()
    for node in ast.walk(tree):  # parents come before their children
        if isinstance(node, ast.Subscript) and _hides_nothing(node, imported):
            within.add(id(node.value))
        if isinstance(node, ast.Attribute):
            within.add(id(node.value))
            kind = _of_attribute(node.attr, with_paths)
            if kind and isinstance(node.ctx, ast.Load):
                yield kind
        if isinstance(node, ast.Call) and (kind := _of_call(node, imported)):
            yield kind
        if id(node) not in within and isinstance(node, ast.Name | ast.Attribute | ast.Call):
            path = _path(node, imported) if _is_loaded(node) else []
            if kind := _of_path(path):
                yield kind


def _hides_nothing(node: ast.Subscript, imported: dict[str, str]) -> bool:
    """Return whether an item is written, or is one known module: neither shows the container."""
    return not isinstance(node.ctx, ast.Load) or _path(node.value, imported) == ["sys", "modules"]


def _is_loaded(node: ast.expr) -> bool:
    return isinstance(getattr(node, "ctx", ast.Load()), ast.Load)


def _of_attribute(name: str, with_paths: bool) -> str | None:
    """Return the kind of an attribute by its name, whatever has it."""
    if name.removesuffix("_ns") in _STAT_TIMES:
        return "clock"
    return "host" if name in _STAT_FIELDS or (with_paths and name in _PATH_METHODS) else None


def _of_path(path: list[str]) -> str | None:
    """Return the kind of a dotted name that begins with an import."""
    if path == ["__file__"] or any(name in _ABOUT_MODULES for name in path[1:]):
        return "host"
    for kind, owners in _OWNED.items():
        if any(name in owners.get(owner, ()) for owner, name in itertools.pairwise(path)):
            return kind
    for length in range(len(path), 0, -1):
        known = _MODULES.get(".".join(path[:length]))
        if known is not None:
            kind, harmless = known
            return None if path[length : length + 1] and path[length] in harmless else kind
    return None


def _of_call(call: ast.Call, imported: dict[str, str]) -> str | None:
    """Return the kind of a call whose arguments decide."""
    path = _path(call.func, imported)
    name = path[-1] if len(path) > 1 else ""
    times = [a for a in call.args if not (isinstance(a, ast.Constant) and a.value is None)]
    if path[:1] == ["time"] and len(times) < _NOW_WITHOUT_ARGUMENT.get(name, 0):
        return "clock"
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    seeded = any(not (isinstance(a, ast.Constant) and a.value is None) for a in given)
    return "unseeded" if name in _SEEDED_BY_ARGUMENT and not seeded else None


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield each local name with the dotted name that it was imported from."""
    yield "__file__", "__file__"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                top = name.name.split(".")[0]
                yield name.asname or top, name.name if name.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for name in node.names:
                if name.name == "*":
                    yield from _all_of(node.module)
                else:
                    yield name.asname or name.name, f"{node.module}.{name.name}"


def _all_of(module: str) -> Iterator[tuple[str, str]]:
    """Yield the names that `from module import *` may bring and that matter here."""
    names = {"datetime", "date"} if module == "datetime" else {"SystemRandom", *_SEEDED_BY_ARGUMENT}
    names |= set(_NOW_WITHOUT_ARGUMENT) if module == "time" else set()
    for owners in _OWNED.values():
        names |= owners.get(module.rpartition(".")[2], frozenset())
    names |= _STARRED.get(module, frozenset())
    yield from ((name, f"{module}.{name}") for name in names)


_STARRED = {
    "time": _names(
        "time time_ns perf_counter perf_counter_ns monotonic monotonic_ns process_time "
        "process_time_ns thread_time thread_time_ns clock_gettime clock_gettime_ns"
    ),
    "timeit": _names("timeit repeat default_timer Timer"),
    "os": _names(
        "environ getenv getcwd listdir scandir walk stat lstat system popen cpu_count getppid "
        "uname getlogin getuid getgid getloadavg path"
    ),
    "os.path": _names("exists isfile isdir getsize getmtime abspath realpath expanduser"),
    "sys": _names("version version_info platform executable byteorder getsizeof"),
    "platform": _names("system node release version machine processor platform python_version"),
    "glob": _names("glob iglob"),
    "secrets": _names("choice token_hex token_bytes token_urlsafe randbelow randbits"),
    "subprocess": _names("run Popen call check_output check_call getoutput"),
}


def _renamed(tree: ast.AST, imported: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the names that are given to what was imported: `now = datetime.datetime`."""
    for target, value in _assigned(tree):
        path = _path(value, imported)
        if isinstance(target, ast.Name) and path:
            yield target.id, ".".join(path)


def _assigned(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield the targets of assignments with their values, one by one where both are written out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    yield from zip(target.elts, node.value.elts, strict=False)
                yield target, node.value
        elif isinstance(node, ast.NamedExpr | ast.AnnAssign) and node.value is not None:
            yield node.target, node.value


def _path(node: ast.expr, imported: dict[str, str]) -> list[str]:
    """Return the dotted name, from its module on, of what `node` says; [] if it is something else."""
    if isinstance(node, ast.Name):
        return imported[node.id].split(".") if node.id in imported else []
    if isinstance(node, ast.Attribute):
        owner = _path(node.value, imported)
        return [*owner, node.attr] if owner else []
    if not isinstance(node, ast.Call) or not node.args:
        return []
    if isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) > 1:
        owner, name = _path(node.args[0], imported), _text(node.args[1])
        return [*owner, name] if owner and name else []
    imports = isinstance(node.func, ast.Name) and node.func.id == "__import__"
    if imports or _path(node.func, imported) in (["importlib", "import_module"], ["__import__"]):
        return [part for part in _text(node.args[0]).split(".") if part]
    return []
