"""The pool of a mined set: for each query its candidates, and what became of each."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.errors import PoolError, listing
from hf_hardneg.hashing import exact_keys, mix, text_keys
from hf_hardneg.outcomes import OUTCOME_FEATURES

__all__ = ["PoolRows"]

BATCH = 2_000
SALT = 0x494E5350
"""Keeps a sample of rows apart from other draws by the same seed."""


class PoolRows:
    """The rows of a pool with outcomes, found by their query.

    Sixteen bytes a row are held in memory once a row has been looked up; the rest is read from
    disk as it is asked for.

    Args:
        rows: what ``miner.outcomes(pool)`` returned.
        name: what it is called in messages.

    Attributes:
        rows: the data set as it is.

    Raises:
        PoolError: a column is missing.
    """

    def __init__(self, rows: Dataset, name: str = "the pool") -> None:
        """Check the columns."""
        missing = [column for column in OUTCOME_FEATURES if column not in rows.column_names]
        if missing:
            raise PoolError(
                f"{name} lacks {listing(missing)}; it has {listing(rows.column_names)}. Expected "
                "the config 'pool' of hf-hardneg run, or what miner.outcomes(pool) returns."
            )
        self.rows, self.name = rows, name
        self._arrow = rows.with_format("arrow")
        self._lock = threading.Lock()
        self._by: dict[str, tuple[NDArray[np.uint64], NDArray[np.int64]]] = {}

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def batches(self, size: int = BATCH) -> Iterator[tuple[int, pa.Table]]:
        """Yield (number of the first row, rows), in their order, ``size`` at a time."""
        start = 0
        for table in self._arrow.iter(size):
            yield start, table
            start += table.num_rows

    def at(self, number: int) -> dict[str, Any]:
        """Return one row as plain values."""
        table = self._arrow[number : number + 1]
        return {name: table[name][0].as_py() for name in table.column_names}

    def of(
        self,
        query_id: str = "",
        query: str = "",
        positive_ids: Sequence[str] = (),
        *,
        beside: int | None = None,
    ) -> int | None:
        """Return the number of a query's row; ``None`` where the pool does not have it.

        Args:
            query_id: its id; where it is empty or unknown, the text decides.
            query: its text, compared after normalisation.
            positive_ids: where a query has several rows, one for each positive, the first that
                shares one of these is meant.
            beside: number of the row where it most likely is: if it is there, nothing else is
                read.
        """
        if beside is not None and self._is_at(beside, query_id, positive_ids):
            return beside
        found = self.all_of(query_id, query)
        if not len(found):
            return None
        if len(found) > 1 and positive_ids:
            wanted = set(positive_ids)
            for number in found.tolist():
                if wanted & set(self.at(number)["positive_ids"]):
                    return int(number)
        return int(found[0])

    def all_of(self, query_id: str = "", query: str = "") -> NDArray[np.int64]:
        """Return the numbers of all rows of a query, rising; see :meth:`of`."""
        found = np.empty(0, np.int64)
        if query_id:
            found = self._find("query_id", exact_keys([query_id])[0])
        if not len(found) and query:
            found = self._find("query", text_keys([query])[0])
        return found

    def drawn(self, size: int, seed: int) -> NDArray[np.int64]:
        """Return the numbers of ``size`` rows, rising: those whose queries have the lowest hashes.

        The same queries are drawn whatever order the rows stand in.

        Args:
            size: all rows, where there are no more.
            seed: of the hash, not negative.
        """
        if size >= len(self):
            return np.arange(len(self))
        keys, order = self._sorted("query_id")
        marks = mix(seed, SALT, keys)
        last = np.partition(marks, size - 1)[size - 1]
        # Rows of one query have one mark; of those at the edge the first are taken.
        below, edge = order[marks < last], np.sort(order[marks == last])
        return np.sort(np.concatenate([below, edge[: size - len(below)]]))

    def _is_at(self, number: int, query_id: str, positive_ids: Sequence[str]) -> bool:
        """Return whether a row is of this query and has one of the positives."""
        if not query_id or number >= len(self):
            return False
        row = self.at(number)
        return row["query_id"] == query_id and bool(set(positive_ids) & set(row["positive_ids"]))

    def _find(self, column: str, key: np.uint64) -> NDArray[np.int64]:
        keys, order = self._sorted(column)
        first, last = np.searchsorted(keys, key, "left"), np.searchsorted(keys, key, "right")
        return np.sort(order[first:last])

    def _sorted(self, column: str) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Return the hashes of a column in rising order, and the row of each."""
        with self._lock:
            if column not in self._by:
                make = exact_keys if column == "query_id" else text_keys
                chosen = self.rows.select_columns([column]).with_format("arrow")
                parts = [
                    make([text or "" for text in table[column].to_pylist()])
                    for table in chosen.iter(BATCH * 10)
                ]
                keys = np.concatenate([np.empty(0, np.uint64), *parts])
                order = np.argsort(keys, kind="stable").astype(np.int64)
                self._by[column] = keys[order], order
            return self._by[column]
