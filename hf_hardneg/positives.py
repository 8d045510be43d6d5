"""Which documents are known to be relevant to a query, over all rows of that query.

A query may stand in several rows with one positive each. None of these positives may become a
negative of any of the rows, so the positives of all rows are collected before mining. "The same
query" means: equal after :func:`hf_hardneg.hashing.normalize_text`.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from hf_hardneg.arrow import save_array
from hf_hardneg.cache import published_folder

__all__ = ["KnownPositives", "among", "ragged_indices"]

ARRAYS = ("query_keys", "offsets", "rows", "document_keys")


def ragged_indices(
    starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (offsets, indices) of the concatenated ranges ``starts[i] + [0, lengths[i])``."""
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    total = int(offsets[-1])
    return offsets, np.arange(total) + np.repeat(starts - offsets[:-1], lengths)


def among(
    values: NDArray[np.generic], offsets: NDArray[np.int64], wanted: NDArray[np.generic]
) -> NDArray[np.bool_]:
    """Return where ``values`` (batch, k) hold one of their line's ragged ``wanted``.

    One pass for each place in the lists; the passes get short quickly, because few queries have
    many positives.
    """
    found = np.zeros(values.shape, dtype=np.bool_)
    counts = np.diff(offsets)
    for place in range(int(counts.max(initial=0))):
        lines = np.flatnonzero(counts > place)
        if len(lines) == len(values):  # nothing to pick out, nothing to copy
            found |= values == wanted[offsets[:-1] + place][:, None]
        else:
            found[lines] |= values[lines] == wanted[offsets[lines] + place][:, None]
    return found


class KnownPositives:
    """A table query -> relevant documents, on disk and memory-mapped.

    Args:
        folder: where :meth:`build` has written it.

    Attributes:
        folder: where it lies, named by its fingerprint.
        fingerprint: hash of the content.
    """

    def __init__(self, folder: Path) -> None:
        """Open the table; nothing is read before it is used."""
        self.folder = folder
        self.fingerprint = folder.name

    @classmethod
    def build(
        cls,
        query_keys: NDArray[np.uint64],
        rows: NDArray[np.int64],
        document_keys: NDArray[np.uint64],
        home: Path,
    ) -> KnownPositives:
        """Write the table of (query, document) pairs into a folder of ``home``.

        Args:
            query_keys: key of the normalised query of each pair, shape (pairs,), any order.
            rows: corpus row of each document, -1 where it is not in the corpus.
            document_keys: key of the normalised text of each document.
            home: the folder in which the table gets a folder of its own, named by content.
        """
        order = np.lexsort((rows, document_keys, query_keys))
        query_keys, rows, document_keys = query_keys[order], rows[order], document_keys[order]
        fresh = np.ones(len(order), dtype=np.bool_)
        fresh[1:] = (
            (query_keys[1:] != query_keys[:-1])
            | (document_keys[1:] != document_keys[:-1])
            | (rows[1:] != rows[:-1])
        )
        unique, counts = np.unique(query_keys[fresh], return_counts=True)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]).astype(np.int64)
        values = (unique, offsets, rows[fresh], document_keys[fresh])
        hasher = xxhash.xxh3_128()
        for value in values:
            hasher.update(np.ascontiguousarray(value).tobytes())

        def write(folder: Path) -> None:
            for name, value in zip(ARRAYS, values, strict=True):
                save_array(folder / f"{name}.npy", value)

        return cls(published_folder(home / hasher.hexdigest(), write))

    def union(self, other: KnownPositives, home: Path) -> KnownPositives:
        """Return the table of the pairs of both, written into a folder of ``home``."""
        pairs = zip(self._pairs(), other._pairs(), strict=True)
        query_keys, rows, document_keys = (np.concatenate(both) for both in pairs)
        return self.build(query_keys, rows, document_keys, home)

    def _pairs(self) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint64]]:
        keys, offsets, rows, document_keys = self._arrays
        return np.repeat(keys, np.diff(offsets)), rows, document_keys

    def __repr__(self) -> str:
        """Return the fingerprint."""
        return f"KnownPositives(fingerprint={self.fingerprint!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Return the folder's name; arrays are opened by whoever uses them."""
        return {"folder": self.folder, "fingerprint": self.fingerprint}

    @cached_property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return tuple(np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS)

    def of(
        self, query_keys: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
        """Return the known positives of a batch of queries as (offsets, rows, document keys).

        A query that is not in the table has none.
        """
        keys, offsets, rows, document_keys = self._arrays
        place = np.minimum(np.searchsorted(keys, query_keys), max(len(keys) - 1, 0))
        found = keys[place] == query_keys if len(keys) else np.zeros(len(query_keys), np.bool_)
        starts = np.where(found, offsets[place], 0)
        lengths = np.where(found, offsets[place + 1] - offsets[place], 0) if len(keys) else starts
        out_offsets, indices = ragged_indices(starts, lengths)
        return out_offsets, rows[indices], document_keys[indices]
