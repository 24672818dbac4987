"""Represent text as sets of hashed token n-grams (shingles), for near-duplicates and overlaps.

Decisions
- Tokens of code leave out whitespace, comments and the kind of quotes, so that a reformatted file
  is the same file; only a file of nothing but comments is compared by their words. With `renamed`,
  every identifier that is not a keyword counts as one and the same.
- A token is hashed by CRC-32 and an n-gram by a well-mixed 64-bit polynomial: no package, no seed,
  the same on every machine. Two n-grams of a million files share a hash by chance once in about ten
  thousand.
"""

from __future__ import annotations

import keyword
import re
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]

_CODE = re.compile(
    r'"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    r"|#[^\n]*|\w+|[^\w\s]"
)
_WORD = re.compile(r"[^\W\d_]+")
_KEPT = frozenset(keyword.kwlist) | frozenset(keyword.softkwlist)
_IGNORED = -1  # a token that is ignored
_MAX_CACHED = 1 << 19
_MULTIPLIER, _MIX = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9


class _TokenHashes(dict[str, int]):
    """Hashes of tokens by token; cleared when it grows too large."""

    def __init__(self, hashed: Callable[[str], int]) -> None:
        super().__init__()
        self._hashed = hashed

    def __missing__(self, token: str) -> int:
        if len(self) > _MAX_CACHED:
            self.clear()
        value = self[token] = self._hashed(token)
        return value


def _plain(token: str) -> int:
    if token[0] == "#":
        return _IGNORED
    if token[0] in "\"'":
        token = '"' + token.strip("\"'")
    return zlib.crc32(token.encode("utf-8", "surrogatepass"))


def _renamed(token: str) -> int:
    is_name = token.isidentifier() and token not in _KEPT
    return 1 if is_name else _plain(token)


_PLAIN, _RENAMED = _TokenHashes(_plain), _TokenHashes(_renamed)


def code_tokens(code: str, *, renamed: bool = False) -> Any:
    """Return the hashes of the tokens of source code, in order.

    Args:
        code: Source code.
        renamed: Treat all identifiers as equal.

    Returns:
        Array of 64-bit hashes.
    """
    import numpy as np

    memory = _RENAMED if renamed else _PLAIN
    hashes = np.fromiter(map(memory.__getitem__, _CODE.findall(code)), np.int64)
    counting = hashes[hashes != _IGNORED].astype(np.uint64)
    return counting if len(counting) or not len(hashes) else word_hashes(split_words(code))


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation, digits and whitespace."""
    return _WORD.findall(text.lower())


def word_hashes(words: list[str]) -> Any:
    """Return the hashes of words as an array."""
    import numpy as np

    return np.fromiter(map(_PLAIN.__getitem__, words), np.int64).astype(np.uint64)


def ngram_hashes(tokens: Any, length: int) -> Any:
    """Return a 64-bit hash of every n-gram of `length` tokens.

    Args:
        tokens: Array of token hashes.
        length: Tokens per n-gram.

    Returns:
        Array of hashes; a shorter text is one n-gram, an empty one none.
    """
    import numpy as np

    if not len(tokens):
        return tokens
    length = min(length, len(tokens))
    count = len(tokens) - length + 1
    total = np.full(count, length, np.uint64)
    with np.errstate(over="ignore"):
        for i in range(length):
            total = total * np.uint64(_MULTIPLIER) + tokens[i : i + count]
        total ^= total >> np.uint64(29)
        total *= np.uint64(_MIX)
        return total ^ (total >> np.uint64(32))


def shingles(code: str, *, renamed: bool = False, length: int = 5) -> Any:
    """Return the distinct token n-gram hashes of source code, sorted.

    Args:
        code: Source code.
        renamed: Treat all identifiers as equal.
        length: Tokens per n-gram.
    """
    import numpy as np

    return np.unique(ngram_hashes(code_tokens(code, renamed=renamed), length))


def jaccard(a: Any, b: Any) -> float:
    """Return the Jaccard index of two sorted arrays of distinct hashes, from 0 to 1."""
    import numpy as np

    common = len(np.intersect1d(a, b, assume_unique=True))
    either = len(a) + len(b) - common
    return common / either if either else 1.0
