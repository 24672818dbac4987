"""Request fields that an endpoint refuses for a model: how a refusal names them, and what is left out.

Decisions
- A field that is refused by name is left out from then on, for this endpoint and model. Only fields
  that were sent count, so a message that names others, or advises one, changes nothing.
- A value out of range is the user's to change; a field whose only accepted value is its default is
  left out.
- Never left out are the messages, the model, and a limit of the length that was given: the limit is
  tried under its other name.

Sources: errors of OpenAI (`unsupported_parameter`, `unsupported_value`, `unknown_parameter`),
Mistral, vLLM and Azure (`extra_forbidden` of pydantic), Gemini (`Unknown name "seed"`), Groq
(`property 'seed' is unsupported`), xAI (`does not support parameter presencePenalty`), LiteLLM and
Anthropic, as reported in public issues.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

LENGTH_FIELDS = ("max_tokens", "max_completion_tokens")
SENT_FIELDS = ("temperature", "top_p", "seed", "random_seed", "stream", *LENGTH_FIELDS)
KEPT_FIELDS = frozenset(
    {"messages", "model", *LENGTH_FIELDS, "max_output_tokens", "max_new_tokens", "num_predict"}
)
_STATUSES = (400, 404, 405, 415, 422, 500, 501)  # gateways pass a refusal on as 500
_FLAGS = {
    "temperature": "--temperature (`none` omits it)",
    "top_p": "--top-p",
    "seed": "--seed",
    "random_seed": "--seed",
    "model": "--model",
    **dict.fromkeys(LENGTH_FIELDS, "--max-tokens, or its name with --max-tokens-field"),
}
_MAX_READ_CHARS = 2000
_ADVICE = re.compile(
    r"(?:[.,;!?]|\n)\s*(?:did you mean|(?:please )?(?:use|try)|expected"
    r"|(?:the )?(?:valid|allowed|supported|available|permitted))\b[^\n]*",
    re.I,
)
_WORD = (
    r"(?:parameters?|fields?|arguments?|names?|propert(?:y|ies)|keys?|options?|inputs?|supplied)"
)
_REFUSED = re.compile(
    r"unsupported|n[o']t support|not (?:been )?(?:permitted|allowed|available|recogni[sz]ed|accepted)"
    r"|un(?:known|recogni[sz]ed|expected)|extra[_ ](?:forbidden|inputs?|fields?)|value_error\.extra"
    r"|additional propert|cannot find field|no such|deprecated|no longer|forbidden"
    rf"|invalid {_WORD}",
    re.I,
)
_ONLY_DEFAULT = re.compile(
    r"\bonly\b[^.]{0,40}\b(?:allowed|supported|accepted|valid)|only be (?:set to )?1\b"
    r"|\bmust be (?:set to )?1(?:\.0)?\b(?! ?(?:and|to|-|or))",
    re.I,
)
_OUT_OF_RANGE = re.compile(
    r"\b(?:must|should) be|between|less than|greater than|at (?:most|least)|\brange\b|maximum"
    r"|minimum|exceed|too (?:large|long|small|high|low)",
    re.I,
)
_REFUSED_CODES = re.compile("unsupported|unknown_param|unrecognized|extra_forbidden")
_REFUSED_TYPES = {"extra_forbidden", "value_error.extra", "unexpected_keyword_argument"}
_QUOTES = "[\"'`\u2018\u2019\u201c\u201d]"


def refused_fields(
    status: int, error: Mapping[str, Any], sent: Collection[str], prompt: str = ""
) -> tuple[str, ...]:
    """Return the fields of a request that an error response refuses by name.

    Args:
        status: The HTTP status.
        error: The error object, as `error_object` returns it.
        sent: The names of the fields that were sent.
        prompt: The text that was sent: a field that it names too may be a quotation of it.

    Returns:
        Those of `sent` that are refused, sorted.
    """
    if status not in _STATUSES:
        return ()
    known = {_letters(name): name for name in sent}
    text = str(error.get("message", ""))[:_MAX_READ_CHARS]
    words = _ADVICE.sub(" ", text)
    found = set(_located(error, known))
    codes = f"{error.get('code')} {error.get('type')}"
    if not found and _is_about_a_field(codes, words):
        found |= _named_by_param(error, known) or {
            name
            for name in _named_in(words, known)
            if _REFUSED_CODES.search(codes) or not re.search(rf"\b{re.escape(name)}\b", prompt)
        }
    return tuple(sorted(found))


def flag_of_refusal(error: Mapping[str, Any], sent: Collection[str]) -> str | None:
    """Return the flag that changes the field that an error response is about, None if there is none.

    Args:
        error: The error object, as `error_object` returns it.
        sent: The names of the fields that were sent.
    """
    known = {_letters(name): name for name in sent}
    words = _ADVICE.sub(" ", str(error.get("message", ""))[:_MAX_READ_CHARS])
    names = _named_by_param(error, known) or sorted(_named_in(words, known))
    return next((_FLAGS.get(name, f"{name} in extra_body") for name in names), None)


def _is_about_a_field(codes: str, words: str) -> bool:
    """Return whether an error refuses a field or its value as such, and not a value out of range."""
    if _REFUSED_CODES.search(codes):
        return True
    if _ONLY_DEFAULT.search(words):
        return True
    return bool(_REFUSED.search(words)) and not _OUT_OF_RANGE.search(words)


def _named_by_param(error: Mapping[str, Any], known: Mapping[str, str]) -> set[str]:
    param = error.get("param")
    top = re.split(r"[.\[]", param.removeprefix("body."))[0] if isinstance(param, str) else ""
    name = known.get(_letters(top)) if top else None
    return {name} if name not in (None, "model", "messages") else set()


def _located(value: object, known: Mapping[str, str], depth: int = 0) -> Iterator[str]:
    """Yield the fields that the items of a validation error forbid: `{"type": .., "loc": [..]}`."""
    if depth > 6:
        return
    if isinstance(value, Mapping):
        place = value.get("loc")
        if isinstance(place, list) and _is_forbidden(value):
            steps = [step for step in place if isinstance(step, str) and step != "body"]
            if steps and _letters(steps[0]) in known:
                yield known[_letters(steps[0])]
    inner = list(value.values()) if isinstance(value, Mapping) else value
    for item in inner if isinstance(inner, list) else ():
        yield from _located(item, known, depth + 1)


def _is_forbidden(item: Mapping[str, Any]) -> bool:
    words = str(item.get("msg"))
    return item.get("type") in _REFUSED_TYPES or (
        bool(_REFUSED.search(words)) and not _OUT_OF_RANGE.search(words)
    )


def _named_in(words: str, known: Mapping[str, str]) -> Iterator[str]:
    """Yield the fields that a message names: quoted, or as what is refused."""
    for found in re.finditer(r"[A-Za-z][\w.]*\w", words):
        name = known.get(_letters(found[0].split(".")[0]))
        if name is None or name in ("model", "messages"):
            continue
        before, after = words[: found.start()], words[found.end() :]
        quoted = re.search(_QUOTES + r"(?:body\.)?\Z", before) and re.match(_QUOTES, after)
        told = re.search(
            rf"\b{_WORD}\W{{1,3}}\Z|support (?:for )?\Z|: ?\Z|invalid \Z", before, re.I
        )
        refused = re.match(r" (?:\w+ )?(?:is|are|was|does|has|may|can|must|should)\b|: ", after)
        if quoted or told or refused:
            yield name


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
