"""A pool: the candidates of every query, as columns of a data set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, List, Value
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list, list_array, nullable_floats, padded, ragged
from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import PoolError, listing

__all__ = [
    "POOL_FEATURES",
    "SOURCE_RANKS",
    "candidate_lists",
    "candidates_of",
    "check_pool_columns",
    "describe",
    "description_of",
    "pool_columns",
]

POOL_FEATURES = Features(
    {
        "candidate_rows": List(Value("int32")),
        "candidate_scores": List(Value("float32")),
        "candidate_ranks": List(Value("int32")),
        "candidate_sources": List(Value("int8")),
        "candidate_positive_scores": List(Value("float32")),
    }
)
"""Columns of a pool: corpus row, score, raw rank, index of the retriever, and the score of each
positive by the same scorer."""

SOURCE_RANKS = Features({"candidate_source_ranks": List(List(Value("int32")))})
"""A further column where several retrievers were joined: the rank in the list of each, 0 where it
did not find the document."""

NOTE = "hf_hardneg"
READ_BATCH = 10_000


def pool_columns(queries: Queries, candidates: Candidates) -> dict[str, pa.Array]:
    """Return the candidates as Arrow list columns without empty slots."""
    filled = candidates.filled
    offsets = ragged(filled)
    columns = {
        "candidate_rows": list_array(offsets, pa.array(candidates.rows[filled].astype(np.int32))),
        "candidate_scores": list_array(offsets, nullable_floats(candidates.scores[filled])),
        "candidate_ranks": list_array(offsets, pa.array(candidates.ranks[filled])),
        "candidate_sources": list_array(offsets, pa.array(candidates.sources[filled])),
        "candidate_positive_scores": list_array(
            queries.offsets.astype(np.int32), nullable_floats(candidates.positive_scores)
        ),
    }
    if candidates.source_ranks is not None:
        ranks = candidates.source_ranks[filled]
        ends = (np.arange(len(ranks) + 1) * ranks.shape[1]).astype(np.int32)
        inner = list_array(ends, pa.array(ranks.ravel()))
        columns["candidate_source_ranks"] = list_array(offsets, inner)
    return columns


def check_pool_columns(names: Sequence[str]) -> None:
    """Refuse a data set without the columns of a pool.

    Raises:
        PoolError: names those that are missing.
    """
    missing = [name for name in POOL_FEATURES if name not in names]
    if missing:
        raise PoolError(
            f"the pool lacks {listing(missing)}; it has {listing(names)}. A pool is what "
            "miner.retrieve(dataset) returns."
        )


def candidates_of(
    table: pa.Table, queries: Queries, corpus: Corpus, source_names: tuple[str, ...]
) -> Candidates:
    """Return the candidates of a batch of pool rows.

    Raises:
        PoolError: a column is missing, the lists of a row differ in length, or a row number is
            beyond the corpus.
    """
    check_pool_columns(table.column_names)
    offsets, rows = flat_list(table["candidate_rows"])
    width = int(np.diff(offsets).max(initial=1))  # one empty slot where nobody has a candidate

    def column(name: str, empty: Any) -> Any:  # noqa: ANN401
        own, values = flat_list(table[name])
        if not np.array_equal(own, offsets):
            raise PoolError(
                f"in the pool, {name} and candidate_rows have lists of different length. Columns "
                "of different minings were mixed: retrieve again."
            )
        return padded(offsets, values.to_numpy(zero_copy_only=False), width, empty)

    numbers = padded(offsets, rows.to_numpy(zero_copy_only=False).astype(np.int64), width, NO_ROW)
    if numbers.size and (numbers.max() >= len(corpus) or numbers.min() < NO_ROW):
        raise PoolError(
            f"the pool names row {int(numbers.max())} of a corpus of {len(corpus)} documents. Give "
            "the corpus that the pool was made on."
        )
    scores = column("candidate_scores", -np.inf).astype(np.float32, copy=False)
    own, positives = flat_list(table["candidate_positive_scores"])
    if not np.array_equal(own, queries.offsets):
        raise PoolError(
            "the pool's positive scores do not match the positives of its rows. The positives were "
            "changed after retrieval: retrieve again."
        )
    return Candidates(
        rows=numbers,
        scores=scores,
        ranks=column("candidate_ranks", 0).astype(np.int32, copy=False),
        sources=column("candidate_sources", -1).astype(np.int8, copy=False),
        document_keys=corpus.document_keys[np.maximum(numbers, 0)],
        positive_scores=positives.to_numpy(zero_copy_only=False).astype(np.float32, copy=False),
        source_names=source_names,
        source_ranks=_source_ranks(table, offsets, width, len(source_names)),
    )


def _source_ranks(
    table: pa.Table, offsets: NDArray[np.int64], width: int, retrievers: int
) -> NDArray[np.int32] | None:
    """Return the rank in the list of each retriever, ``None`` where the pool does not keep it.

    Args:
        table: the pool.
        offsets: of its lists of candidates.
        width: slots of a line.
        retrievers: how many there are; a pool that was not described may have more.
    """
    if "candidate_source_ranks" not in table.column_names:
        return None
    own, lists = flat_list(table["candidate_source_ranks"])
    ends, ranks = flat_list(lists)
    retrievers = int(ends[1]) if len(ends) > 1 else retrievers
    if not np.array_equal(own, offsets) or (np.diff(ends) != retrievers).any():
        raise PoolError(
            "in the pool, candidate_source_ranks does not hold one list for each of "
            "candidate_rows, all of the same length. Columns of different minings were mixed: "
            "retrieve again."
        )
    values = ranks.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    slots = padded(offsets, np.arange(len(ends) - 1), width, -1)
    found = np.zeros((*slots.shape, retrievers), dtype=np.int32)
    found[slots >= 0] = values.reshape(-1, retrievers)
    return found


def describe(rows: Dataset, note: dict[str, Any]) -> Dataset:
    """Put a note of ours into the data set's description, where saving and loading keep it."""
    rows.info.description = json.dumps({NOTE: note}, sort_keys=True, ensure_ascii=False)
    return rows


def description_of(rows: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the note that :func:`describe` left, empty if there is none."""
    try:
        note = json.loads(rows.info.description or "{}")
    except (AttributeError, ValueError):
        return {}
    found = note.get(NOTE, {}) if isinstance(note, dict) else {}
    return found if isinstance(found, dict) else {}


def candidate_lists(pool: Dataset) -> Iterator[NDArray[np.int64]]:
    """Yield the corpus rows of each query's candidates, best first, before any filter."""
    for table in pool.with_format("arrow").select_columns(["candidate_rows"]).iter(READ_BATCH):
        offsets, rows = flat_list(table["candidate_rows"])
        flat = rows.to_numpy(zero_copy_only=False).astype(np.int64)
        yield from np.split(flat, offsets[1:-1])
