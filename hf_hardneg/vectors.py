"""Vectors on disk, in shards that are written as they are made: a kill loses one shard.

Documents have a folder for each (encoder, corpus); each distinct text is encoded once, and a
shard holds a fixed range of them, so any number of processes make the same files. Queries have a
folder for each encoder, in which a text is found by its content.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from datasets.utils import tqdm
from numpy.typing import NDArray

from hf_hardneg.arrow import save_array
from hf_hardneg.cache import content_hash, explain_os_error
from hf_hardneg.corpus import Corpus
from hf_hardneg.distinct import DistinctTexts
from hf_hardneg.errors import OutputError, listing
from hf_hardneg.hashing import exact_keys

__all__ = ["STORAGES", "DocumentVectors", "TextVectors", "stored_bytes"]

SHARD = 4096
STORAGES = ("float32", "float16", "int8")
META = "meta.json"
LAYOUT = 1

Encode = Callable[[list[str]], NDArray[np.float32]]


def _pack(vectors: NDArray[np.float32], storage: str) -> NDArray[Any]:
    """Return vectors as they are stored; int8 with one scale a vector, its largest value / 127."""
    if storage != "int8":
        return vectors.astype(storage)
    scale = np.abs(vectors).max(axis=1, initial=0).astype(np.float32) / np.float32(127)
    safe = np.where(scale > 0, scale, np.float32(1))
    packed = np.empty(len(vectors), [("scale", "<f4"), ("values", "i1", (vectors.shape[1],))])
    packed["scale"], packed["values"] = scale, np.rint(vectors / safe[:, None]).astype(np.int8)
    return packed


def stored_bytes(dimension: int, storage: str) -> int:
    """Return the bytes that one vector takes on disk."""
    return _pack(np.zeros((1, dimension), np.float32), storage).nbytes


def _unpack(stored: NDArray[Any]) -> NDArray[np.float32]:
    """Return stored vectors as float32."""
    if stored.dtype.names is None:
        return stored.astype(np.float32)
    values: NDArray[np.float32] = stored["values"].astype(np.float32) * stored["scale"][:, None]
    return values


def _write_whole(path: Path, values: NDArray[Any]) -> None:
    """Write an array beside its place and move it there: whole or absent.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_array(beside, values)
        beside.replace(path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        beside.unlink(missing_ok=True)


class DocumentVectors(DistinctTexts):
    """The vectors of a corpus, one for each distinct text, in the order of the corpus.

    Args:
        home: the folder of all vectors.
        corpus: the documents.
        key: what decides the vectors beside the texts: the encoder's fingerprint.
        storage: ``float32``, ``float16`` (half the space) or ``int8`` (a quarter).
    """

    def __init__(self, home: Path, corpus: Corpus, key: str, storage: str = "float32") -> None:
        """Open what is there; nothing is encoded before :meth:`build`."""
        super().__init__(corpus, home / content_hash(LAYOUT, key, corpus.fingerprint, storage))
        self._storage = storage

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-len(self) // SHARD)

    def _path(self, shard: int) -> Path:
        return self.folder / f"vectors-{shard:06d}.npy"

    @property
    def complete(self) -> bool:
        """Whether all vectors are there."""
        return (self.folder / META).exists()

    def missing(self) -> list[int]:
        """Return the shards that are not written yet."""
        if self.complete:
            return []
        return [shard for shard in range(self.shards) if not self._path(shard).exists()]

    def missing_numbers(self) -> NDArray[np.int64]:
        """Return the numbers of the distinct texts whose vectors are not written yet."""
        parts = [np.arange(s * SHARD, min((s + 1) * SHARD, len(self))) for s in self.missing()]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def build(
        self, encode: Encode, *, similarity: Callable[[], str], part: int = 0, parts: int = 1
    ) -> int:
        """Encode what is missing; return how many texts that were.

        Args:
            encode: list of texts to vectors.
            similarity: says how the encoder's vectors are compared.
            part: which of the ``parts`` processes this is; each makes its own shards.
            parts: number of processes.

        Raises:
            OutputError: the disk is full, or the folder cannot be written.
        """
        own = [shard for shard in self.missing() if shard % parts == part]
        encoded = 0
        total = sum(min(SHARD, len(self) - shard * SHARD) for shard in own)
        with tqdm(total=total, desc="Encoding documents", unit=" texts") as bar:
            for shard in own:
                numbers = np.arange(shard * SHARD, min((shard + 1) * SHARD, len(self)))
                vectors = encode(self.texts_of(numbers))
                _write_whole(self._path(shard), _pack(vectors, self._storage))
                encoded += len(numbers)
                bar.update(len(numbers))
        if not self.missing():
            self._finish(similarity)
        return encoded

    def _finish(self, similarity: Callable[[], str]) -> None:
        """Check that all shards belong together, and note it."""
        if self.complete:
            return
        arrays = [np.load(self._path(shard), mmap_mode="r") for shard in range(self.shards)]
        stored = sum(map(len, arrays))
        dimensions = {
            (array["values"] if array.dtype.names else array).shape[1] for array in arrays
        }
        if stored != len(self) or len(dimensions) != 1:
            raise OutputError(
                f"the folder {str(self.folder)!r} holds {stored} vectors of the dimensions "
                f"{listing(sorted(dimensions))} for {len(self)} texts. Delete it and run again."
            )
        meta = {"layout": LAYOUT, "vectors": stored, "dimension": dimensions.pop(),
                "storage": self._storage, "similarity": similarity()}  # fmt: skip
        beside = self.folder / f".{META}.{os.getpid()}"
        beside.write_text(json.dumps(meta) + "\n")
        beside.replace(self.folder / META)

    @cached_property
    def _meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = json.loads((self.folder / META).read_text())
        return meta

    @property
    def dimension(self) -> int:
        """Dimension of the vectors."""
        return int(self._meta["dimension"])

    @property
    def similarity(self) -> str:
        """How the vectors are compared: ``cosine``, ``dot`` or ``euclidean``."""
        return str(self._meta["similarity"])

    @property
    def bytes_on_disk(self) -> int:
        """Size of all shards."""
        return sum(path.stat().st_size for path in self.folder.glob("vectors-*.npy"))

    def blocks(self, size: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (number of the first vector, vectors) of at most ``size`` vectors at a time.

        Files are read, not mapped, so that what was read does not stay in memory.
        """
        buffer = np.empty((min(size, len(self)), self.dimension), dtype=np.float32)
        start = filled = 0
        for shard in range(self.shards):
            vectors = np.load(self._path(shard))
            taken = 0
            while taken < len(vectors):
                more = min(len(vectors) - taken, len(buffer) - filled)
                buffer[filled : filled + more] = _unpack(vectors[taken : taken + more])
                taken, filled = taken + more, filled + more
                if filled == len(buffer):
                    yield start, buffer
                    start, filled = start + filled, 0
        if filled:
            yield start, buffer[:filled]

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of some distinct texts, shape (numbers, dimension)."""
        out = np.empty((len(numbers), self.dimension), dtype=np.float32)
        shards = numbers // SHARD
        for shard in np.unique(shards):
            own = np.flatnonzero(shards == shard)
            stored = np.load(self._path(int(shard)), mmap_mode="r")
            out[own] = _unpack(stored[numbers[own] - shard * SHARD])
        return out


class TextVectors:
    """Vectors of texts that come as they come, each encoded once and found by its content.

    Args:
        folder: of one encoder and role.
    """

    def __init__(self, folder: Path) -> None:
        """Read the keys that are there."""
        self._folder = folder
        self._names: list[str] = []
        self._last: tuple[Sequence[str], NDArray[np.float32]] = ((), np.zeros((0, 0), np.float32))
        self.refresh()

    def refresh(self) -> None:
        """Look at shards that this or another process has written since."""
        names = sorted(path.name.split(".")[0] for path in self._folder.glob("*.keys.npy"))
        if names == self._names and names:
            return
        self._names = names
        keys = [np.load(self._folder / f"{name}.keys.npy") for name in names]
        lengths = [len(part) for part in keys]
        flat = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
        shard = np.repeat(np.arange(len(names)), lengths)
        row = np.concatenate([np.arange(length) for length in lengths] or [np.zeros(0, np.int64)])
        self._keys, first = np.unique(flat, return_index=True)
        self._shard, self._row = shard[first], row[first]

    def _places(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the place of each key among the sorted keys, -1 where it is not there."""
        if not len(self._keys):
            return np.full(len(keys), -1, dtype=np.int64)
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[place] == keys, place, -1)

    def missing(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the distinct texts that are not there, in the shards that they will make.

        They are sorted by content first, so the vectors do not depend on the order of the rows.
        """
        return self._missing(texts, exact_keys(texts))

    def _missing(self, texts: Sequence[str], keys: NDArray[np.uint64]) -> list[list[str]]:
        if not (self._places(keys) < 0).any():
            return []
        self.refresh()
        keys, first = np.unique(keys, return_index=True)
        fresh = first[self._places(keys) < 0]
        return [
            [texts[place] for place in fresh[start : start + SHARD]]
            for start in range(0, len(fresh), SHARD)
        ]

    def add(self, texts: Sequence[str], encode: Encode) -> None:
        """Encode and keep the texts that are not there.

        Raises:
            OutputError: the disk is full, or the folder cannot be written.
        """
        shards = self.missing(texts)
        if shards:
            self.keep(shards, encode)

    def keep(self, shards: Sequence[list[str]], encode: Encode) -> None:
        """Encode and keep shards of :meth:`missing`.

        Raises:
            OutputError: the disk is full, or the folder cannot be written.
        """
        number = sum(map(len, shards))
        shown = len(shards) > 1
        with tqdm(
            total=number, desc="Encoding queries", unit=" texts", disable=not shown or None
        ) as bar:
            for texts in shards:
                keys = exact_keys(texts)
                name = content_hash(keys.tolist())
                _write_whole(self._folder / f"{name}.vectors.npy", encode(texts))
                # The keys come last: a shard without them does not exist.
                _write_whole(self._folder / f"{name}.keys.npy", keys)
                bar.update(len(texts))
        self.refresh()

    def of(self, texts: Sequence[str], encode: Encode) -> NDArray[np.float32]:
        """Return the vectors of texts, shape (texts, dimension); what is missing is encoded."""
        if texts is self._last[0]:
            # A batch is asked for once for its candidates and once for its positives.
            return self._last[1]
        keys = exact_keys(texts)
        shards = self._missing(texts, keys)
        if shards:
            self.keep(shards, encode)
        vectors = self._read(self._places(keys))
        self._last = (texts, vectors)
        return vectors

    def _read(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        shards, rows = self._shard[places], self._row[places]
        out: NDArray[np.float32] | None = None
        for shard in np.unique(shards):
            path = self._folder / f"{self._names[shard]}.vectors.npy"
            stored = np.load(path, mmap_mode="r")
            out = np.empty((len(places), stored.shape[1]), np.float32) if out is None else out
            own = np.flatnonzero(shards == shard)
            out[own] = stored[rows[own]]
        return np.zeros((0, 0), np.float32) if out is None else out
