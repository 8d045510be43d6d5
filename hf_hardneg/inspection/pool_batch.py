"""Rows of a pool as the engine of selection takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list, padded
from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import PoolError
from hf_hardneg.hashing import exact_keys, mix, text_keys
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.pool_rows import PoolRows
from hf_hardneg.outcomes import MODEL_SCORES

__all__ = ["PoolBatch", "pool_batch", "pool_of"]

IDS = 0x4944
"""Keeps the key of an id apart from the key of a text with the same letters."""


@dataclass(frozen=True, slots=True)
class PoolBatch:
    """Some rows of a pool.

    Attributes:
        rows: their numbers in the pool, shape (batch,).
        query_ids: of the rows.
        queries: one batch; documents are numbers of :attr:`ids`, nothing is a known positive.
        candidates: theirs, each row's in the order of the pool.
        ids: of the documents.
        outcomes: what became of each candidate, a place in ``names``, -1 in empty slots,
            shape (batch, k).
        names: of the outcomes.
        model_scores: of a cross-encoder, ``nan`` where it was not asked, shape (batch, k).
        texts: whether equal texts under several ids are told apart from different ones.
    """

    rows: NDArray[np.int64]
    query_ids: Sequence[str]
    queries: Queries
    candidates: Candidates
    ids: Sequence[str]
    outcomes: NDArray[np.int64]
    names: Sequence[str]
    model_scores: NDArray[np.float32]
    texts: bool

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def place(self, name: str) -> int:
        """Return the place of an outcome among the names, -2 where no candidate has it."""
        return list(self.names).index(name) if name in self.names else -2

    def of(self, outcomes: Sequence[str]) -> NDArray[np.bool_]:
        """Return which candidates had one of some outcomes, shape (batch, k)."""
        return np.isin(self.outcomes, [self.place(name) for name in outcomes])


def pool_of(inspected: InspectedSet) -> PoolRows:
    """Return the pool of a set.

    Raises:
        PoolError: it has none.
    """
    if inspected.pool is None:
        raise PoolError(
            f"{inspected.name} has no pool, so its candidates cannot be decided anew. hf-hardneg "
            "run publishes one (outputs: [..., pool]), hf-hardneg mine --pool writes one."
        )
    return inspected.pool


def pool_batch(
    pool: PoolRows, numbers: NDArray[np.int64] | Sequence[int], corpus: Corpus | None = None
) -> PoolBatch:
    """Return rows of a pool.

    Args:
        pool: the pool.
        numbers: of the rows.
        corpus: the documents; without them two ids are two texts.

    Raises:
        PoolError: the lists of a row differ in length.
    """
    numbers = np.asarray(numbers, dtype=np.int64)
    table = pool.rows.with_format("arrow")[numbers.tolist()]
    offsets, names = flat_list(table["candidate_ids"])
    codes, ids = _coded(names)
    keys = _keys(ids, corpus)
    width = int(np.diff(offsets).max(initial=1))

    def column(name: str, empty: Any, kind: Any) -> NDArray[Any]:  # noqa: ANN401
        own, values = flat_list(table[name])
        _same(own, offsets, name, pool.name)
        flat = values.fill_null(empty) if not pa.types.is_floating(values.type) else values
        return padded(own, flat.to_numpy(zero_copy_only=False).astype(kind), width, empty)

    def coded(name: str) -> tuple[NDArray[np.int64], list[str]]:
        own, values = flat_list(table[name])
        _same(own, offsets, name, pool.name)
        places, found = _coded(values)
        return padded(own, places, width, -1), found

    rows = padded(offsets, codes, width, NO_ROW)
    outcomes, outcome_names = coded("candidate_outcomes")
    sources, source_names = coded("candidate_sources")
    judged = np.full(rows.shape, np.nan, dtype=np.float32)
    if MODEL_SCORES in table.column_names:
        judged = column(MODEL_SCORES, np.nan, np.float32)
    positives, positive_ids = flat_list(table["positive_ids"])
    own, positive_scores = flat_list(table["positive_scores"])
    _same(own, positives, "positive_scores", pool.name)
    texts = [text or "" for text in table["query"].to_pylist()]
    query_ids = [name or "" for name in table["query_id"].to_pylist()]
    nothing = np.zeros(len(numbers) + 1, np.int64)
    place = {name: number for number, name in enumerate(ids)}
    extra = [name for name in dict.fromkeys(positive_ids.to_pylist()) if name not in place and name]
    place.update({name: len(ids) + number for number, name in enumerate(extra)})
    every = [*ids, *extra]
    queries = Queries(
        texts, query_ids, text_keys(texts), positives,
        np.array([place.get(name, NO_ROW) for name in positive_ids.to_pylist()], dtype=np.int64),
        (), nothing, np.zeros(0, np.int64), np.zeros(0, np.uint64),
    )  # fmt: skip
    candidates = Candidates(
        rows=rows,
        scores=column("candidate_scores", -np.inf, np.float32),
        ranks=column("candidate_ranks", 0, np.int32),
        sources=sources.astype(np.int8),
        document_keys=keys[np.maximum(rows, 0)] if len(keys) else rows.astype(np.uint64),
        positive_scores=positive_scores.to_numpy(zero_copy_only=False).astype(np.float32),
        source_names=tuple(source_names) or ("",),
    )
    return PoolBatch(
        numbers, query_ids, queries, candidates, every, outcomes, outcome_names, judged,
        corpus is not None,
    )  # fmt: skip


def document_keys(batch: PoolBatch, corpus: Corpus | None) -> NDArray[np.uint64]:
    """Return the key of each of :attr:`PoolBatch.ids`."""
    return _keys(batch.ids, corpus)


def _coded(values: pa.Array) -> tuple[NDArray[np.int64], list[str]]:
    """Return places in a list of distinct values, and that list; null is the empty text."""
    coded = values.fill_null("").dictionary_encode()
    found: list[str] = coded.dictionary.to_pylist()
    return coded.indices.to_numpy(zero_copy_only=False).astype(np.int64), found


def _keys(ids: Sequence[str], corpus: Corpus | None) -> NDArray[np.uint64]:
    """Return the key of each document's text; of its id where the text is not known."""
    by_id = mix(IDS, exact_keys(ids)) if len(ids) else np.zeros(0, np.uint64)
    if corpus is None or not len(ids):
        return by_id
    rows = corpus.rows_of_ids(ids)
    known = corpus.document_keys[np.maximum(rows, 0)]
    return np.where(rows >= 0, known, by_id)


def _same(own: NDArray[np.int64], offsets: NDArray[np.int64], name: str, pool: str) -> None:
    if not np.array_equal(own, offsets):
        raise PoolError(
            f"in {pool}, {name} has lists of another length than those beside it. Rows of "
            "different minings were mixed: write the pool again."
        )
