"""Store URLs as users write them.

Decision: what would be read in another way than it was meant is refused: parameters of a SQLite URL
(a `?` in a file name), SQLite's own `file:` names, keyword strings of libpq.
"""

from __future__ import annotations

import re

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from annoy_store.errors import UsageError, mask_secrets

_FORMS = "use sqlite:///FILE, a path, or postgresql://HOST/DATABASE"


def parse_store_url(text: str) -> URL:
    """Return the URL of a store.

    Args:
        text: `sqlite:///FILE`, the path of a SQLite file, or `postgresql://HOST/DATABASE`.

    Raises:
        UsageError: it is none of these.
    """
    if "://" not in text:
        return _url_of_path(text)
    try:
        url = make_url(re.sub(r"^postgres(?=[:+])", "postgresql", text))
        backend = url.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        port = "; the port must be a number" if isinstance(error, ValueError) else ""
        raise UsageError(f"not a store URL: {mask_secrets(text)!r}{port}; {_FORMS}") from None
    if backend == "sqlite":
        return _checked_file(url, "?" in text)
    if backend == "postgresql":
        return url
    raise UsageError(f"{backend} is not supported; {_FORMS}")


def _url_of_path(text: str) -> URL:
    if not text.strip() or re.match(r"(sqlite|postgres(ql)?)\b.*[:/]|file:", text):
        raise UsageError(f"not a store URL: {mask_secrets(text)!r}; {_FORMS}")
    if re.search(r"^[^\s/]+:\S*@|\b(host|dbname|user|password)\s*=", text):
        raise UsageError(f"not a store URL: {mask_secrets(text)!r}; {_FORMS}")
    return _checked_file(URL.create("sqlite", database=text))


def _checked_file(url: URL, has_parameters: bool = False) -> URL:
    name = url.database or ""
    if url.query or has_parameters:
        raise UsageError(
            "a SQLite URL takes no parameters after '?'; for a file with a '?' in its name, "
            "give its path instead of a URL"
        )
    if not name or name == ":memory:" or name.startswith("file:"):
        raise UsageError("a SQLite store must be a file: use sqlite:///FILE or a path")
    return url
