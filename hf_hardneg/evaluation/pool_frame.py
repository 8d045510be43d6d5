"""The candidates of a pool, as pairs to be labelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list
from hf_hardneg.candidates import NO_ROW
from hf_hardneg.columns import QueryColumns, find_columns, read_batch
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import PoolError
from hf_hardneg.evaluation.pair_frames import FoundPair, Frame, PairBatch
from hf_hardneg.hashing import text_keys
from hf_hardneg.pool import description_of
from hf_hardneg.queries import to_queries
from hf_hardneg.run import check_pool

__all__ = ["PoolFrame"]

BATCH = 2_000
Keys = NDArray[np.uint64]


class PoolFrame(Frame):
    """The candidates of a pool, before any filter."""

    def __init__(self, pool: Dataset, corpus: Corpus, columns: QueryColumns) -> None:
        """Check that the pool is one, and of this corpus."""
        check_pool(pool, corpus)
        self._pool, self._corpus = pool, corpus
        self._columns = find_columns(pool.column_names, columns)
        names = description_of(pool).get("sources")
        self._sources = tuple(names) if isinstance(names, list) else ()

    def _read(self) -> Iterator[tuple[int, Any, Any]]:
        """Yield (number of the first row, table, queries with their positives)."""
        start = 0
        for table in self._pool.with_format("arrow").iter(BATCH):
            raw = read_batch(table, self._columns, start)
            yield start, table, to_queries(raw, self._corpus, None)
            start += table.num_rows

    def query_keys(self) -> Keys:
        """Return the key of each row's query."""
        return np.concatenate([queries.keys for _, _, queries in self._read()])

    def batches(self) -> Iterator[PairBatch]:
        """Yield the candidates of all rows."""
        for start, table, queries in self._read():
            offsets, rows = flat_list(table["candidate_rows"])
            numbers = rows.to_numpy(zero_copy_only=False).astype(np.int64)
            if len(numbers) and (numbers.min() < 0 or numbers.max() >= len(self._corpus)):
                raise PoolError(
                    f"the pool names row {int(numbers.max())} of a corpus of {len(self._corpus)} "
                    "documents. Give the corpus that the pool was made on."
                )
            own, ranks = flat_list(table["candidate_ranks"])
            if not np.array_equal(own, offsets):
                raise PoolError(
                    "in the pool, candidate_ranks and candidate_rows have lists of different "
                    "length. Columns of different minings were mixed: retrieve again."
                )
            positives = (
                text_keys(queries.positive_texts)
                if queries.positive_texts
                else self._corpus.document_keys[np.maximum(queries.positive_rows, 0)]
            )
            yield PairBatch(
                start,
                queries.keys,
                offsets,
                self._corpus.document_keys[numbers],
                ranks.to_numpy(zero_copy_only=False).astype(np.int64),
                queries.offsets,
                positives,
                queries.known_offsets,
                queries.known_keys,
            )

    def find(
        self, pairs: Sequence[tuple[int, int]], positives: Sequence[tuple[int, int]]
    ) -> tuple[list[FoundPair], list[FoundPair]]:
        """Return pairs and positives with their texts."""
        rows = sorted({row for row, _ in (*pairs, *positives)})
        place = {row: number for number, row in enumerate(rows)}
        table = self._pool.with_format("arrow").select(rows)[:] if rows else None
        if table is None:
            return [], []
        raw = read_batch(table, self._columns)
        queries = to_queries(raw, self._corpus, None)
        offsets, numbers = flat_list(table["candidate_rows"])
        columns = {
            name: flat_list(table[f"candidate_{name}"])[1].to_pylist()
            for name in ("scores", "ranks", "sources")
        }
        given = raw.query_ids or [""] * len(raw)
        asked = list(zip(given, raw.queries, strict=True))

        def pair(row: int, slot: int) -> FoundPair:
            line = place[row]
            at = int(offsets[line]) + slot
            document = [numbers[at].as_py()]
            source = columns["sources"][at]
            return FoundPair.of(
                asked[line],
                (self._corpus.ids(document)[0], self._corpus.texts(document)[0]),
                rank=columns["ranks"][at],
                score=columns["scores"][at],
                source=self._sources[source] if 0 <= source < len(self._sources) else None,
            )

        def positive(row: int, slot: int) -> FoundPair:
            line = place[row]
            at = int(queries.offsets[line]) + slot
            document = int(queries.positive_rows[at])
            texts = queries.positive_texts
            text = texts[at] if texts else self._corpus.texts([document])[0]
            name = self._corpus.ids([document])[0] if document != NO_ROW else ""
            return FoundPair.of(asked[line], (name, text))

        return [pair(*one) for one in pairs], [positive(*one) for one in positives]
