"""The errors this package raises on purpose.

    AnnoyError
      UsageError               the user can correct it; the message says what to type next
        StoreError             the store is missing, too old, too new or not writable
      JobReturned              a job is returned as it was; the attempts made for it are kept
        EndpointUnavailable    an endpoint answers no calls at all; the run ends
        CallPostponed          the call is not sent now: the run stops, or a budget is used up
      LeaseLost                this worker was declared dead; other workers hold its jobs
      SandboxError             the sandbox itself failed; never a verdict about the code in it

Any other exception that a stage raises is a bug: its job is settled as `failed` with the type and
the message, and the run goes on.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

_KEY = r"(?:api|access|secret|private|auth|subscription|account|encryption|signing)[_-]?key"
_SECRET_WORD = rf"[\w-]*(?:password|passwd|pwd|passphrase|secret|token|{_KEY})(?:[_-]?key)?"
_TOKEN = r"(?:api|auth|access|bearer|refresh|session|security|csrf|hf)[_-]token"
_NAMED = rf"[\w-]*(?:password|passwd|passphrase|{_KEY}|{_TOKEN}|[_-]secret)"  # as in a header
_END = r"""(?=[:;,.)\]}]?(?:[\s&'"]|$))"""  # punctuation after a secret is part of the message
_VALUE = (
    r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\*\*\*(?=[\s:;,.)\]}&'"]|$)|"""
    rf"""[^\s&'"]+?{_END})"""
)
_QUERY_WORD = r"[\w%.-]*(?:key|sig|code|auth|cred|access|pass|pwd)[\w%.-]*"
_SECRETS = (
    (re.compile(r"(/{1,3}[^\s:@/?#]*:)\S+@"), r"\1***@"),
    (re.compile(r"(//[^\s:@/?#\[]*:)(?!\*|\d+(?:\W|$))[^\n'\"]*@(?=[\w\[])"), r"\1***@"),
    (re.compile(r"(?<![\w/*])([A-Za-z_][\w.+-]*:)[^\s@/:]+@(?=[\w\[])"), r"\1***@"),  # no scheme
    (re.compile(r"(//[^\s:@/?#\[]+:)(?!\d+(?:\W|$)|\*)[^\s@/?#'\"]+"), r"\1***"),  # no host
    (re.compile(rf"(?i)(?<![\w-])({_SECRET_WORD}\s*(?:=|%3D)\s*){_VALUE}"), r"\1***"),
    (re.compile(rf"(?i)([?&]{_QUERY_WORD}=)[^\s&'\"#]+?(?=[#]|{_END})"), r"\1***"),
    (re.compile(rf"(?i)(['\"]{_SECRET_WORD}['\"]\s*:\s*){_VALUE}"), r"\1***"),
    (re.compile(rf"(?i)(?<![\w-])({_NAMED}:[ \t]+){_VALUE}"), r"\1***"),
    (re.compile(rf"(?i)(?<![\w-])(--{_SECRET_WORD}\s+)(?!-){_VALUE}"), r"\1***"),
    (
        re.compile(
            r"(?i)\b(authorization['\"]?\s*[:=]\s*(['\"])(?:\w+ )?)(?:(?!\2)[^\\]|\\.)+(?=\2)"
        ),
        r"\1***",
    ),
    (re.compile(r"(?i)\b(authorization\s*[:=]\s*(?:\w+ )?)[^\s'\"]+"), r"\1***"),
    (re.compile(r"(?i)\b((?:set-)?cookie:\s*)[^\n'\"]+"), r"\1***"),
)


class AnnoyError(Exception):
    """An error that this package raises on purpose."""


class UsageError(AnnoyError):
    """An error that the user can correct; the message says what to do next."""


class StoreError(UsageError):
    """The store cannot be used as it is."""


class JobReturned(AnnoyError):
    """A job is returned as it was.

    Args:
        message: why, as a sentence.
        rows: what was made for the job so far and is kept: a teacher's attempts, a stage's rows.
    """

    def __init__(self, message: str = "", rows: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.rows = rows


class EndpointUnavailable(JobReturned):
    """An endpoint answers no calls at all (key, credit, unknown model); the run ends."""


class CallPostponed(JobReturned):
    """A call is not sent now: the run stops, or a budget is used up."""


class LeaseLost(AnnoyError):
    """This worker was declared dead; it writes nothing more and stops."""


class SandboxError(AnnoyError):
    """The sandbox itself failed, not the code in it; the job may be retried."""


def unknown_name(what: str, name: str, known: Iterable[str], see: str = "") -> str:
    """Return the message about a name that is none of a closed set.

    Args:
        what: What it names, such as `task`.
        name: The name that was given.
        known: The names that exist.
        see: The command that lists them, where they are too many for a message.
    """
    names = list(known)
    rest = f"see: {see}" if see else f"known are: {', '.join(names)}"
    return f"unknown {what} {name!r}{did_you_mean(name, names)}; {rest}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean X?)` for a name that is like one of the known ones, else nothing."""
    by_lower_case = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), list(by_lower_case), 1)
    return f" (did you mean {by_lower_case[near[0]]}?)" if near else ""


def mask_secrets(text: str) -> str:
    """Return a text with passwords and keys masked, in whatever place of a URL they stand.

    Args:
        text: a message, a URL, or settings as `name=value`.
    """
    for pattern, masked in _SECRETS:
        text = pattern.sub(masked, text)
    return text
