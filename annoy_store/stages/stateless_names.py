"""The names that `stateless` accepts: syntax, builtins, modules of the standard library, methods.

Decision: what is not listed is refused, also what came with a later Python. Nothing listed gives a
program an object that outlives a call and that it could change, apart from the shared generators of
`random`, which are seeded anew for each call.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SYNTAX = frozenset(
    (
        *(ast.Module, ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Delete, ast.Pass),
        *(ast.FunctionDef, ast.Lambda, ast.ClassDef, ast.arguments, ast.arg, ast.Return),
        *(ast.For, ast.While, ast.If, ast.Break, ast.Continue, ast.Raise, ast.Assert),
        *(ast.Try, ast.ExceptHandler, ast.Import, ast.ImportFrom, ast.alias, ast.Nonlocal),
        *(ast.BoolOp, ast.NamedExpr, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Dict, ast.Set),
        *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension),
        *(ast.Yield, ast.YieldFrom, ast.Compare, ast.Call, ast.keyword, ast.FormattedValue),
        *(ast.JoinedStr, ast.Constant, ast.Attribute, ast.Subscript, ast.Starred, ast.Name),
        *(ast.List, ast.Tuple, ast.Slice, ast.Load, ast.Store, ast.Del, ast.And, ast.Or),
        *ast.operator.__subclasses__(),
        *ast.unaryop.__subclasses__(),
        *ast.cmpop.__subclasses__(),
    )
)

EXCEPTIONS = _names(
    "ValueError KeyError IndexError TypeError ZeroDivisionError AttributeError StopIteration "
    "OverflowError ArithmeticError LookupError AssertionError NotImplementedError UnicodeError"
)
"""Exceptions that a program may catch: never one by which it could notice how much memory is left."""

BUILTINS = EXCEPTIONS | _names(
    "abs all any ascii bin bool bytearray bytes callable chr complex dict divmod enumerate filter "
    "float format frozenset hasattr hex int isinstance issubclass iter len list map max min next "
    "object oct ord pow print property range repr reversed round set slice sorted staticmethod str "
    "sum super tuple type zip Exception RuntimeError NotImplemented Ellipsis __name__"
)
DUNDERS = _names(
    "__init__ __str__ __repr__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __hash__ __len__ __iter__ "
    "__next__ __reversed__ __contains__ __getitem__ __setitem__ __delitem__ __bool__ __call__ "
    "__add__ __radd__ __iadd__ __sub__ __rsub__ __isub__ __mul__ __rmul__ __imul__ __truediv__ "
    "__rtruediv__ __floordiv__ __mod__ __pow__ __neg__ __pos__ __abs__ __invert__ __and__ __or__ "
    "__xor__ __lshift__ __rshift__ __int__ __float__ __index__ __round__ __format__ __name__"
)
"""Methods that a class may define, and the only attributes of this form that a program may read."""

HIDDEN_ATTRIBUTES = _names(
    "gi_frame gi_code gi_yieldfrom cr_frame ag_frame f_globals f_locals f_builtins f_back f_code "
    "tb_frame tb_next mro __hash__ default_factory fget fset fdel func_globals func_defaults im_func im_self"
)
"""Attributes that lead to functions, classes and namespaces."""

CONSTANTS: Mapping[str, frozenset[str]] = {
    "math": _names("pi e inf nan tau"),
    "string": _names(
        "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits octdigits punctuation "
        "printable whitespace"
    ),
    "sys": _names("maxsize"),
    "re": _names("I M S X A IGNORECASE MULTILINE DOTALL VERBOSE ASCII"),
}
FUNCTIONS: Mapping[str, frozenset[str]] = {
    "math": _names(
        "acos acosh asin asinh atan atan2 atanh cbrt ceil comb copysign cos cosh degrees dist erf "
        "erfc exp exp2 expm1 fabs factorial floor fmod frexp fsum gamma gcd hypot isclose isfinite "
        "isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 modf perm pow prod radians "
        "remainder sin sinh sqrt sumprod tan tanh trunc"
    ),
    "random": _names(
        "random randint randrange choice choices sample shuffle uniform triangular gauss "
        "normalvariate betavariate expovariate gammavariate lognormvariate getrandbits"
    ),
    "json": _names("loads dumps"),
    "collections": _names("deque defaultdict Counter OrderedDict"),
    "heapq": _names("heappush heappop heapify heapreplace heappushpop merge nlargest nsmallest"),
    "bisect": _names("bisect bisect_left bisect_right insort insort_left insort_right"),
    "itertools": _names(
        "accumulate batched chain combinations combinations_with_replacement compress count cycle "
        "dropwhile filterfalse groupby islice pairwise permutations product repeat starmap "
        "takewhile zip_longest"
    ),
    "functools": _names("reduce cmp_to_key"),
    "operator": _names(
        "add sub mul truediv floordiv mod neg xor and_ or_ not_ lt le eq ne gt ge itemgetter"
    ),
    "re": _names("compile match fullmatch search sub subn findall finditer split escape"),
    "string": frozenset(),
    "sys": frozenset(),
    "copy": _names("copy deepcopy"),
    "fractions": _names("Fraction"),
    "statistics": _names("mean median mode pstdev pvariance stdev variance"),
    "typing": _names(
        "Any Callable Deque Dict DefaultDict FrozenSet Generator Hashable Iterable Iterator List "
        "Mapping MutableMapping MutableSequence Optional Sequence Set Text Tuple Type Union"
    ),
}
"""Functions and classes by the modules that a program may import."""

ANYTHING_READ = _names("len str repr print json.dumps copy.deepcopy")
"""Functions that only read what they are given, however deep, and return nothing of it."""

ELEMENTS_READ = _names(
    "sum min max sorted any all list tuple set frozenset dict enumerate zip map filter reversed iter "
    "random.choices random.sample collections.deque collections.Counter math.prod math.gcd math.fsum "
    "functools.reduce bisect.bisect bisect.bisect_left bisect.bisect_right itertools.product "
    "itertools.chain itertools.cycle itertools.permutations itertools.combinations"
)
"""Functions that only read what they are given, and return its elements."""

READING_METHODS = _names("get items keys values index count copy")

TAKES_FUNCTION: Mapping[str, int] = {
    "super": 0,
    "map": 0,
    "filter": 0,
    "isinstance": 1,
    "issubclass": 1,
    "collections.defaultdict": 0,
    "functools.reduce": 0,
    "functools.cmp_to_key": 0,
    "itertools.starmap": 0,
    "itertools.accumulate": 1,
    "itertools.takewhile": 0,
    "itertools.dropwhile": 0,
    "itertools.filterfalse": 0,
}
"""At which position a function or class may be given to these, which call it and keep it hidden."""

TAKES_KEY = _names("sorted min max heapq.nlargest heapq.nsmallest itertools.groupby")

MAKES_CONSTANT = _names(
    "abs bool bytes chr complex float frozenset int len ord pow range round str tuple re.compile"
) | {f"math.{name}" for name in FUNCTIONS["math"]}
"""Functions that make a constant of constants, or of a container of constants."""

MAKES_CONTAINER = _names("list set dict sorted")
