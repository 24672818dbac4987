"""Build the rows of functions with recorded pairs: samples, origins, pairs.

Decisions
- An imported sample has no generator unless its row has one, so `generate` checks the pairs that it
  came with, and only those that hold are asked about.
- Pairs keep their position in the file, also when one before them is refused.
- A value must be JSON: what is not (NaN, infinities) is refused pair by pair. An input that is text
  is decoded as JSON, as our own exports write it, and then so is its output.
- `meta` refers to the raw file: by `blob_id` to an ingested source, by `msgidx` to the imported
  answer that the function was taken from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annoy_store.db.tables import io_pairs
from annoy_store.hashing import clean_text, unique_keys
from annoy_store.ingest.codeio.conversations import is_row_number
from annoy_store.ingest.record_files import Location, Refusal
from annoy_store.ingest.sources import metadata_json
from annoy_store.interfaces import NewRow
from annoy_store.parsing import json_values
from annoy_store.records.digests import input_digest
from annoy_store.records.samples import FUNCNAME, new_origin, new_sample


@dataclass(frozen=True)
class RecordedPair:
    """One recorded pair.

    Attributes:
        position: Its position in the row.
        input: The input as JSON text.
        output: The output as JSON text.
        input_digest: Digest of the input.
    """

    position: int
    input: str
    output: str
    input_digest: str


@dataclass(frozen=True)
class RecordedFunction:
    """One row of a file of functions.

    Attributes:
        location: File and line.
        sample: The sample row, without an id.
        pairs: Its valid pairs.
        refused: Its invalid pairs.
        origin: Name of the file it is from.
        blob_id: Names the raw file, if any.
        index: Names the transform answer (`msgidx`), if any.
        metadata: Other fields as JSON.
    """

    location: Location
    sample: NewRow
    pairs: tuple[RecordedPair, ...]
    refused: tuple[Refusal, ...]
    origin: str
    blob_id: str | None = None
    index: int | None = None
    metadata: str = "{}"

    @property
    def digest(self) -> str:
        """Digest of the sample."""
        return str(self.sample.values["digest"])


def read_function(
    row: Mapping[str, Any], location: Location, file: str
) -> RecordedFunction | Refusal:
    """Return the function of a row, or why it is refused.

    Args:
        row: The decoded row.
        location: File and line.
        file: Name of the file, used as origin if the row names no `source`.
    """
    texts = [row.get(k) for k in ("refcode", "problem_description", "io_requirements")]
    code, problem, io = (clean_text(t) if isinstance(t, str) else None for t in texts)
    if code is None or problem is None or not code.strip():
        return Refusal("not_text", location, "refcode and problem_description must be text")
    listed = _decoded(row["ios"])
    if not isinstance(listed, list):
        return Refusal("bad_ios", location, "ios must be a list of inputs and outputs")
    found = list(_pairs(listed, location))
    meta = _decoded(row.get("meta"))
    meta = meta if isinstance(meta, Mapping) else {}
    generator = row.get("input_generator") or meta.get("input_generator")
    named = row.get("funcname") or FUNCNAME
    if not isinstance(named, str):
        return Refusal("not_text", location, "funcname must be text")
    sample = new_sample(code, clean_text(named), problem, io or "", _text_or_none(generator))
    index = meta.get("msgidx")
    return RecordedFunction(
        location,
        sample,
        tuple(pair for pair in found if isinstance(pair, RecordedPair)),
        tuple(bad for bad in found if isinstance(bad, Refusal)),
        clean_text(_text_or_none(row.get("source")) or file),
        _text_or_none(meta.get("blob_id") or row.get("blob_id")),
        index if is_row_number(index) else None,
        metadata_json(_kept(row, meta)),
    )


def _kept(row: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a row without a column of their own."""
    fields = {key: row[key] for key in ("category", "blob_id") if row.get(key) is not None}
    own = {str(key): value for key, value in meta.items() if value is not None}
    own.pop("input_generator", None)
    return own | fields


def function_rows(
    function: RecordedFunction,
    source: tuple[int, str] | None = None,
    response_id: int | None = None,
) -> list[NewRow]:
    """Return the rows of a function: the origin (with its sample) and the pairs.

    Args:
        function: The function.
        source: Id and digest of the raw file, if it is known.
        response_id: The transform answer that it was taken from, if it is known.
    """
    about = source[1] if source else function.origin
    columns: dict[str, Any] = {"origin": function.origin, "metadata": function.metadata}
    columns["line"] = function.location.line
    origin = new_origin(
        function.sample,
        about,
        response_id=response_id,
        source_id=source[0] if source else None,
        **columns,
    )
    return [origin, *(new_pair(function.sample, pair) for pair in function.pairs)]


def new_pair(sample: NewRow | int, pair: RecordedPair) -> NewRow:
    """Return the row of a recorded pair."""
    return NewRow(
        io_pairs,
        {
            "sample_id": sample,
            "position": pair.position,
            "input_digest": pair.input_digest,
            "seed": None,
            "execution_id": None,
            "input": pair.input,
            "output": pair.output,
        },
    )


def recorded_pair(position: int, given: Any, output: Any) -> RecordedPair:
    """Return a pair of two values.

    Args:
        position: Position in the file.
        given: The input.
        output: The output.

    Raises:
        Refused: A value exceeds the limits of json_values.
        TypeError: A value is not JSON.
    """
    one, two = json_values.to_json_value(given), json_values.to_json_value(output)
    return RecordedPair(position, one.text, two.text, input_digest(one.value))


def _pairs(listed: Sequence[Any], location: Location) -> Iterator[RecordedPair | Refusal]:
    seen: dict[str, RecordedPair] = {}
    for position, recorded in enumerate(listed):
        pair = _pair(position, recorded, location)
        if isinstance(pair, RecordedPair) and pair.input_digest in seen:
            first = seen[pair.input_digest]
            same = "same" if first.output == pair.output else "another"
            reason = "pair_twice" if same == "same" else "two_outputs"
            detail = f"pair {position} has the input of pair {first.position} and {same} output"
            yield Refusal(reason, location, detail)
        else:
            if isinstance(pair, RecordedPair):
                seen[pair.input_digest] = pair
            yield pair


def _pair(position: int, recorded: Any, location: Location) -> RecordedPair | Refusal:
    if not isinstance(recorded, Mapping) or not {"input", "output"} <= recorded.keys():
        return Refusal("bad_pair", location, f"pair {position} has no input and output")
    given, output = recorded["input"], recorded["output"]
    try:
        if isinstance(given, str):
            given, output = _strict(given), _strict(output)
        if not isinstance(given, dict):
            return Refusal(
                "bad_pair", location, f"pair {position}: the input is no object of arguments"
            )
        return recorded_pair(position, given, output)
    except (json_values.UnsupportedValue, TypeError, ValueError, RecursionError) as error:
        return Refusal("pair_not_json", location, f"pair {position} is not JSON: {error}")


def _strict(text: Any) -> Any:
    if not isinstance(text, str):
        raise ValueError("an input in JSON text has an output in JSON text")
    return json.loads(text, object_pairs_hook=unique_keys)


def _decoded(value: Any) -> Any:
    """A value, or the JSON value of a text from a table (CSV)."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, object_pairs_hook=unique_keys)
    except ValueError:
        return None


def _text_or_none(value: Any) -> str | None:
    return clean_text(value) if isinstance(value, str) and value.strip() else None
