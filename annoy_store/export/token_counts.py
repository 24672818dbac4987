"""Lengths in tokens, by the tokenizer of the model that will be trained.

Decision: the tokenizer is a file that the user names (`tokenizer.json`), so that nothing is
fetched. Counting reads every text, so it comes after the filters that need none.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import duckdb
import orjson
import pyarrow as pa
from sqlalchemy import Connection, select

from annoy_store.db.duckdb_session import arrow_table
from annoy_store.db.sql import in_values
from annoy_store.db.tables import prompts, responses
from annoy_store.errors import UsageError
from annoy_store.export.candidates import RowFilter
from annoy_store.export.filters import UNBOUNDED, Selection, bounds_condition

_BATCH_ROWS = 500


def build_token_filter(selection: Selection) -> list[RowFilter]:
    """Return the filter on the tokens of the last conversation, if it was asked for.

    Raises:
        UsageError: If there is no tokenizer, it cannot be read, or its package is missing.
    """
    if selection.tokens == UNBOUNDED:
        return []
    within = bounds_condition("n", selection.tokens)
    condition = f"subject_id IN (SELECT subject_id FROM token_counts WHERE {within})"
    return [RowFilter("tokens", condition, (), partial(_count_tokens, _tokenizer(selection)))]


def _count_tokens(tokenizer: Any, duck: duckdb.DuckDBPyConnection, connection: Connection) -> None:
    """Make the table `token_counts` of the candidates: subject_id, n."""
    chains = arrow_table(
        duck, "SELECT subject_id, last_prompt_id, last_response_id FROM candidates"
    )
    counted = [pair for page in _pages(chains) for pair in _count(connection, tokenizer, page)]
    ids, lengths = zip(*counted, strict=True) if counted else ((), ())
    columns = {"subject_id": pa.array(ids, pa.int64()), "n": pa.array(lengths, pa.int64())}
    duck.register("counted", pa.table(columns))
    duck.execute("CREATE TABLE token_counts AS SELECT * FROM counted")
    duck.unregister("counted")


def _tokenizer(selection: Selection) -> Any:
    if selection.tokenizer is None:
        raise UsageError("--tokens needs --tokenizer FILE, the tokenizer.json of a model")
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise UsageError("--tokens needs a package: pip install 'annoy-store[tokens]'") from error
    try:
        return Tokenizer.from_file(str(selection.tokenizer))
    except Exception as error:  # the package raises nothing more special
        raise UsageError(f"{selection.tokenizer} is not a tokenizer.json: {error}") from error


def _pages(chains: pa.Table) -> Iterator[list[tuple[int, int, int]]]:
    for batch in chains.to_batches(max_chunksize=_BATCH_ROWS):
        yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def _count(
    connection: Connection, tokenizer: Any, page: list[tuple[int, int, int]]
) -> Iterator[tuple[int, int]]:
    """Yield the chains of a page with their numbers of tokens."""
    ids, prompt_ids, response_ids = zip(*page, strict=True)
    messages_of = select(prompts.c.id, prompts.c.messages)
    messages_of = messages_of.where(in_values(connection, prompts.c.id, sorted(set(prompt_ids))))
    answer_of = select(responses.c.id, responses.c.text)
    answer_of = answer_of.where(in_values(connection, responses.c.id, sorted(set(response_ids))))
    messages = {row[0]: orjson.loads(row[1]) for row in connection.execute(messages_of)}
    answers = {row[0]: row[1] for row in connection.execute(answer_of)}
    texts = [
        "\n".join([*(m["content"] for m in messages[p]), answers[r]])
        for p, r in zip(prompt_ids, response_ids, strict=True)
    ]
    encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
    yield from zip(ids, map(len, encoded), strict=True)
