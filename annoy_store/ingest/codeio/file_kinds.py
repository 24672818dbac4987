"""Detect the kind of a file from the keys of its rows, and read the rows of any data file.

Decisions
- The kind is that of the first row that has one. The order of `KINDS` is the order in which the
  files of a folder are imported, so that referenced rows exist before they are referred to.
- Only the rows decide, never the file name. Hidden files and folders are skipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from annoy_store.errors import UsageError
from annoy_store.hashing import clean_text
from annoy_store.ingest.arrow_files import saved_dataset_files
from annoy_store.ingest.file_formats import FORMATS, open_file, split_name
from annoy_store.ingest.read_position import ReadPosition
from annoy_store.ingest.readers import walk_files
from annoy_store.ingest.record_files import (
    READ_ERRORS,
    Location,
    RecordOrRefusal,
    Refusal,
    Refusals,
    Unreadable,
)

MAX_INSPECTED_ROWS = 50  # rows of a file that are examined for its kind


@dataclass(frozen=True)
class FileKind:
    """A kind of file, told by the keys of its rows.

    Attributes:
        name: Name of the kind, as `--kind` takes it.
        holds: What the file holds, for help texts.
        required_keys: Keys that all its rows have.
        excluded_keys: Keys that none of its rows has.
    """

    name: str
    holds: str
    required_keys: tuple[str, ...]
    excluded_keys: tuple[str, ...] = ()

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Return True when the keys of `row` are those of this kind."""
        return all(row.get(k) is not None for k in self.required_keys) and not any(
            k in row for k in self.excluded_keys
        )

    def missing_keys(self, row: Mapping[str, Any]) -> list[str]:
        """Return the required keys that `row` lacks."""
        return [key for key in self.required_keys if row.get(key) is None]


KINDS = {
    kind.name: kind
    for kind in (
        FileKind("raw", "raw code files", ("content",), ("messages", "refcode", "role")),
        FileKind("transform", "transform answers", ("messages", "index"), ("itemid",)),
        FileKind(
            "samples", "functions with their pairs", ("problem_description", "refcode", "ios")
        ),
        FileKind(
            "predictions",
            "prediction questions, answers and verdicts",
            ("messages", "itemid", "ioid", "io_pred"),
            ("original_id",),
        ),
        FileKind("revisions", "second turns", ("messages", "original_id")),
        FileKind("chains", "questions with their turns and feedback", ("prompt", "turn_1")),
        FileKind("batch-input", "input lines of a batch", ("custom_id", "body")),
        FileKind("batch-output", "output lines of a batch", ("custom_id",), ("body",)),
        FileKind("messages", "conversations", ("messages",)),
    )
}
_KNOWN_KEYS = {key for kind in KINDS.values() for key in (*kind.required_keys, *kind.excluded_keys)}
ORDER = {name: place for place, name in enumerate(KINDS)}


def kind_of(row: object) -> FileKind | None:
    """Return the kind that a row's keys tell, None if they fit none."""
    if not isinstance(row, Mapping):
        return None
    return next((kind for kind in KINDS.values() if kind.fits(row)), None)


def detect_file_kind(path: Path, name: str) -> FileKind | Refusal:
    """Return the kind of the first row of a file that has one, or why no row has.

    Args:
        path: The file.
        name: Its name in messages.

    Raises:
        UsageError: It is not a data file.
    """
    looked = list(islice(read_records(path, name), MAX_INSPECTED_ROWS))
    kinds = (kind_of(item[1]) for item in looked if not isinstance(item, Refusal))
    kind = next((kind for kind in kinds if kind), None)
    if kind:
        return kind
    if not looked:
        return Refusal("empty_file", Location(name), "there is nothing in it")
    broken = [item for item in looked if isinstance(item, Refusal)]
    if broken and (broken[0].fatal or len(broken) == len(looked)):
        return broken[0]
    detail = f"its keys match no kind ({', '.join(KINDS)}); choose one with --kind"
    return Refusal("unknown_kind", Location(name), detail)


def find_data_files(path: Path) -> list[Path]:
    """Return the data files at `path`, a file or a folder, in order of names.

    Raises:
        UsageError: There is nothing at `path`, or no data file in the folder.
    """
    if not path.exists():
        raise UsageError(f"{path}: there is no such file or folder")
    if path.is_file():
        return [path]
    found = saved_dataset_files(path) or [
        file
        for file in walk_files(path)
        if not file.name.startswith(".") and split_name(file.name)[1] in FORMATS
    ]
    if not found:
        raise UsageError(f"{path}: no data file in it ({', '.join(sorted(FORMATS))})")
    return found


def display_names(found: Sequence[tuple[Path, Path]]) -> dict[Path, str]:
    """Return a short name for each file: its path below the folder it was found in.

    Args:
        found: Pairs of the path that was given and the file found there.

    Returns:
        The name by file; where two would be equal, the path as given.
    """
    short = {
        file: file.name if at == file else file.relative_to(at).as_posix() for at, file in found
    }
    often = Counter(short.values())
    return {
        file: clean_text(name if often[name] == 1 else str(file)) for file, name in short.items()
    }


class ImportFile(NamedTuple):
    """A file to import: its path, its name in messages, and its kind."""

    path: Path
    name: str
    kind: FileKind


def sorted_files(paths: Iterable[Path], kind: str | None, done: Refusals) -> list[ImportFile]:
    """Return the files with their kinds, files that others refer to first.

    Args:
        paths: Files or folders.
        kind: A key of `KINDS` for all files; None means detect it.
        done: Gets the files of no known kind as refusals.
    """
    found = [(given, path) for given in paths for path in find_data_files(given)]
    names = display_names(found)
    files = []
    for given, path in dict.fromkeys(found):
        its = KINDS[kind] if kind else detect_file_kind(path, names[path])
        if isinstance(its, FileKind):
            files.append(ImportFile(path, names[path], its))
        else:
            done.refuse(replace(its, fatal=its.fatal or path == given))
    return sorted(files, key=lambda file: ORDER[file.kind.name])


def read_records(
    path: Path, name: str, position: ReadPosition | None = None
) -> Iterator[RecordOrRefusal]:
    """Yield the records of a data file with their locations.

    Args:
        path: The file.
        name: Its name in locations.
        position: Gets to know how far the file is read.

    Raises:
        UsageError: Its ending is not that of a data file.
    """
    try:
        with open_file(path, path.name, position) as (stream, kind, other):
            if kind not in FORMATS:
                raise UsageError(
                    f"{path}: not a data file; known are: {', '.join(sorted(FORMATS))}"
                )
            if other:
                yield Refusal(f"binary:{other[0]}", Location(name), f"it is {other[1]}", fatal=True)
                return
            for item in FORMATS[kind](stream, name):
                yield item if isinstance(item, Refusal) else _readable(*item)
    except (*READ_ERRORS, ValueError) as error:
        detail = f"cannot be read to its end: {error or type(error).__name__}"
        yield Refusal("broken_file", Location(name), detail, fatal=True)


def _readable(location: Location, row: Any) -> RecordOrRefusal:
    """Refuse a record in which a key of some kind cannot be converted; leave out other such keys."""
    if not isinstance(row, dict) or not any(isinstance(v, Unreadable) for v in row.values()):
        return location, row
    for key, value in row.items():
        if isinstance(value, Unreadable) and key in _KNOWN_KEYS:
            return Refusal(value.reason, location, f"column {key!r}: {value.detail}")
    return location, {key: v for key, v in row.items() if not isinstance(v, Unreadable)}
