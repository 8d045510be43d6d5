"""Sparse vectors on disk, in shards that are written as they are made: a kill loses one shard.

Documents have a folder for each (encoder, corpus). Each distinct text is encoded once, and each
shard is an inverted index of a fixed range of them, from a dimension to the texts that have it:
the index is complete when all shards are. Queries have a folder for each encoder, in which a text
is found by its content.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from datasets.utils import tqdm
from numpy.typing import NDArray

from hf_hardneg.arrow import save_array
from hf_hardneg.cache import DONE, content_hash, published_folder
from hf_hardneg.corpus import Corpus
from hf_hardneg.distinct import DistinctTexts
from hf_hardneg.hashing import exact_keys
from hf_hardneg.sparse_vectors import SparseVectors
from hf_hardneg.text_parts import TextParts, open_array

__all__ = ["Shard", "SparseDocuments", "SparseTexts"]

SHARD = 4096
"""Texts in a shard; at most 65536, because a text's place in it takes two bytes."""
OPEN_SHARDS = 64
LAYOUT = 1

Encode = Callable[[list[str]], SparseVectors]


def _save(folder: Path, **arrays: NDArray[Any]) -> None:
    for name, values in arrays.items():
        save_array(folder / f"{name}.npy", values)


@dataclass(frozen=True, slots=True)
class Shard:
    """An inverted index of a range of texts, memory-mapped.

    Attributes:
        starts: where the postings of each dimension begin, shape (dimension + 1,).
        places: which text of the shard each posting is of, uint16, rising within a dimension.
        weights: its weight in that dimension, float32.
        first: number of the shard's first text.
        texts: number of texts.
    """

    starts: NDArray[np.int64]
    places: NDArray[np.uint16]
    weights: NDArray[np.float32]
    first: int
    texts: int

    @staticmethod
    def write(folder: Path, vectors: SparseVectors) -> None:
        """Turn vectors round and write them."""
        order = np.argsort(vectors.dims, kind="stable")
        counts = np.bincount(vectors.dims, minlength=vectors.dimension)
        _save(
            folder,
            starts=np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]),
            places=vectors.lines[order].astype(np.uint16),
            weights=vectors.weights[order],
        )


class SparseDocuments(DistinctTexts):
    """The sparse vectors of a corpus, one for each distinct text, in the order of the corpus.

    Args:
        home: the folder of all sparse vectors.
        corpus: the documents.
        key: what decides the vectors beside the texts: the encoder's fingerprint.

    Attributes:
        per_shard: texts in a shard.
    """

    per_shard: ClassVar[int] = SHARD

    def __init__(self, home: Path, corpus: Corpus, key: str) -> None:
        """Open what is there; nothing is encoded before :meth:`build`."""
        folder = home / content_hash(LAYOUT, key, corpus.fingerprint, self.per_shard)
        super().__init__(corpus, folder)
        self._opened: dict[int, Shard] = {}
        self._complete = False

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-len(self) // self.per_shard)

    @property
    def dimension(self) -> int:
        """Number of dimensions."""
        return len(self.shard(0).starts) - 1

    def _place(self, shard: int) -> Path:
        return self.folder / f"shard-{shard:06d}"

    def missing(self) -> list[int]:
        """Return the shards that are not written yet."""
        if self._complete:
            return []
        places = [(shard, self._place(shard)) for shard in range(self.shards)]
        absent = [shard for shard, place in places if not (place / DONE).exists()]
        self._complete = not absent
        return absent

    def build(self, encode: Encode) -> int:
        """Encode what is missing; return how many texts that were.

        Raises:
            OutputError: the disk is full, or the folder cannot be written.
        """
        own, encoded = self.missing(), 0
        total = len(own) * self.per_shard
        with tqdm(
            total=total, desc="Encoding documents", unit=" texts", disable=not own or None
        ) as bar:
            for shard in own:
                rows = self._distinct[0][shard * self.per_shard : (shard + 1) * self.per_shard]

                def write(folder: Path, rows: NDArray[np.int64] = rows) -> None:
                    nonlocal encoded
                    Shard.write(folder, encode(self.corpus.texts(rows)))
                    encoded += len(rows)

                published_folder(self._place(shard), write)
                bar.update(len(rows))
        return encoded

    def shard(self, number: int) -> Shard:
        """Return a shard, memory-mapped; the first ones stay open."""
        if number in self._opened:
            return self._opened[number]
        folder, first = self._place(number), number * self.per_shard
        opened = Shard(
            starts=open_array(folder, "starts"),
            places=open_array(folder, "places"),
            weights=open_array(folder, "weights"),
            first=first,
            texts=min(self.per_shard, len(self) - first),
        )
        if number < OPEN_SHARDS:  # each open file counts against a limit of the process
            self._opened[number] = opened
        return opened


class SparseTexts(TextParts):
    """Sparse vectors of texts that come as they come, each encoded once and found by its content.

    Args:
        folder: of one encoder and role.
    """

    def add(self, texts: Sequence[str], encode: Encode) -> int:
        """Encode and keep the texts that are not there; return how many that were.

        They are sorted by content first, so the vectors do not depend on the order of the rows.

        Raises:
            OutputError: the disk is full, or the folder cannot be written.
        """
        keys, first = np.unique(exact_keys(texts), return_index=True)
        parts = self.missing(keys)
        number = sum(map(len, parts))
        hidden = len(parts) <= 1 or None
        with tqdm(total=number, desc="Encoding texts", unit=" texts", disable=hidden) as bar:
            for part in parts:

                def write(folder: Path, part: NDArray[np.uint64] = part) -> None:
                    own = first[np.searchsorted(keys, part)]
                    vectors = encode([texts[place] for place in own])
                    _save(
                        folder, keys=part, starts=vectors.starts, dims=vectors.dims,
                        weights=vectors.weights, dimension=np.array([vectors.dimension]),
                    )  # fmt: skip

                self.publish(part, write)
                bar.update(len(part))
        if number:
            self.refresh()
        return number

    def of(self, texts: Sequence[str], encode: Encode) -> SparseVectors:
        """Return the vectors of texts, at least one; what is missing is encoded."""
        self.add(texts, encode)
        places = self._places(exact_keys(texts))
        owner, rows = self._owner[places], self._row[places]
        order = np.argsort(owner, kind="stable")
        found = []
        for part in np.unique(owner):
            folder = self._parts[part]
            stored = SparseVectors(
                starts=open_array(folder, "starts"),
                dims=open_array(folder, "dims"),
                weights=open_array(folder, "weights"),
                dimension=int(open_array(folder, "dimension")[0]),
            )
            found.append(stored.take(rows[order[owner[order] == part]]))
        return SparseVectors.joined(found).take(np.argsort(order))
