"""Detect the kind of a file from the keys of its rows, and read the rows of any data file.

Decisions
- The kind is that of the first row that has one. The order of `KINDS` is the order in which the
  files of a folder are imported, so that referenced rows exist before they are referred to.
- Only the rows decide, never the file name. Hidden files and folders are skipped.
- The data files in a tar or zip archive are files of their own, as those of a folder are. Nothing is
  unpacked to disk: the archive is read once for each of them.
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
from annoy_store.ingest.archives import ARCHIVE_ERRORS, MEMBER_ERRORS, archive_members
from annoy_store.ingest.arrow_files import saved_dataset_files
from annoy_store.ingest.file_formats import ARCHIVES, FORMATS, Opened, open_file, split_name
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
    return _kind_of_rows(name, islice(read_records(path, name), MAX_INSPECTED_ROWS))


def _kind_of_rows(name: str, rows: Iterable[RecordOrRefusal]) -> FileKind | Refusal:
    looked = list(rows)
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
        if is_data_file(file.name) or split_name(file.name)[1] in ARCHIVES
    ]
    if not found:
        raise UsageError(f"{path}: no data file in it ({', '.join(sorted(FORMATS))})")
    return found


def is_data_file(name: str) -> bool:
    """Return whether the name of a file, or of a member of an archive, is that of a data file."""
    base = name.rsplit("/", 1)[-1]
    return not base.startswith(".") and split_name(base)[1] in FORMATS


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
    """A file to import.

    Attributes:
        path: Where it is.
        name: Its name in messages.
        kind: What it holds.
        member: Its name in the archive at `path`; empty if it is in none.
    """

    path: Path
    name: str
    kind: FileKind
    member: str = ""

    def records(self, position: ReadPosition | None = None) -> Iterator[RecordOrRefusal]:
        """Yield its records with their locations, as `read_records` does."""
        if not self.member:
            return read_records(self.path, self.name, position)
        return _member_records(self, position)


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
        its: FileKind | Refusal
        if _is_archive(path):
            for one in _members(path, names[path], kind):
                if isinstance(one, Refusal):
                    is_whole = path == given and one.location.file == names[path]
                    done.refuse(replace(one, fatal=one.fatal or is_whole))
                else:
                    files.append(one)
            continue
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
        with open_file(path, path.name, position) as opened:
            if opened.kind not in FORMATS:
                known = ", ".join(sorted({*FORMATS, *ARCHIVES}))
                raise UsageError(f"{path}: not a data file; known are: {known}")
            yield from _records(opened, name)
    except (*READ_ERRORS, ValueError) as error:
        yield _broken(name, error)


def _records(opened: Opened, name: str) -> Iterator[RecordOrRefusal]:
    if opened.other:
        word, what = opened.other
        yield Refusal(f"binary:{word}", Location(name), f"it is {what}", fatal=True)
        return
    for item in FORMATS[opened.kind](opened.stream, name):
        yield item if isinstance(item, Refusal) else _readable(*item)


def _broken(name: str, error: Exception) -> Refusal:
    detail = f"cannot be read to its end: {error or type(error).__name__}"
    return Refusal("broken_file", Location(name), detail, fatal=True)


# Archives ------------------------------------------------------------------------------------

_ARCHIVE_ERRORS = (*READ_ERRORS, *ARCHIVE_ERRORS, *MEMBER_ERRORS, ValueError)


def _is_archive(path: Path) -> bool:
    try:
        with open_file(path, path.name) as opened:
            return opened.kind in ARCHIVES
    except (*READ_ERRORS, ValueError):
        return False


def _members(path: Path, name: str, kind: str | None) -> Iterator[ImportFile | Refusal]:
    """Yield the data files of an archive with their kinds, and those that have none."""
    is_empty = True
    try:
        for member, opened in _data_members(path, None):
            is_empty, its_name = False, clean_text(f"{name}/{member}")
            rows = islice(_records(opened, its_name), MAX_INSPECTED_ROWS)
            its = KINDS[kind] if kind else _kind_of_rows(its_name, rows)
            yield (
                replace(its, fatal=False)
                if isinstance(its, Refusal)
                else ImportFile(path, its_name, its, member)
            )
    except _ARCHIVE_ERRORS as error:
        yield _broken(name, error)
        return
    if is_empty:
        detail = f"no data file in it ({', '.join(sorted(FORMATS))})"
        yield Refusal("empty_archive", Location(name), detail)


def _member_records(file: ImportFile, position: ReadPosition | None) -> Iterator[RecordOrRefusal]:
    try:
        for member, opened in _data_members(file.path, position):
            if member == file.member:
                yield from _records(opened, file.name)
                return
    except _ARCHIVE_ERRORS as error:
        yield _broken(file.name, error)


def _data_members(path: Path, position: ReadPosition | None) -> Iterator[tuple[str, Opened]]:
    """Yield the names of the data files in an archive, and the files, each open until the next."""
    with open_file(path, path.name, position) as (stream, archive, _):
        for member, source in archive_members(stream, archive):
            if is_data_file(member):
                with open_file(source, member) as opened:
                    if opened.kind in FORMATS:
                        yield member, opened


def _readable(location: Location, row: Any) -> RecordOrRefusal:
    """Refuse a record in which a key of some kind cannot be converted; leave out other such keys."""
    if not isinstance(row, dict) or not any(isinstance(v, Unreadable) for v in row.values()):
        return location, row
    for key, value in row.items():
        if isinstance(value, Unreadable) and key in _KNOWN_KEYS:
            return Refusal(value.reason, location, f"column {key!r}: {value.detail}")
    return location, {key: v for key, v in row.items() if not isinstance(v, Unreadable)}
