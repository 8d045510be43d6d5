"""The documents: Arrow on disk, memory-mapped, known by their content."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from datasets import Dataset
from numpy.typing import ArrayLike, NDArray

from hf_hardneg.arrow import leftmost, save_array
from hf_hardneg.cache import (
    cache_root,
    content_hash,
    publish,
    remember,
    remembered,
    staging_folder,
)
from hf_hardneg.errors import CorpusError, listing
from hf_hardneg.hashing import EMPTY_TEXT_KEY, exact_keys, text_keys
from hf_hardneg.sources import Batch, DocumentColumns, document_batches, source_files

__all__ = ["Corpus"]

LAYOUT = 1
"""Version of the folder's layout; part of the fingerprint."""

SCHEMA = pa.schema([("id", pa.large_string()), ("text", pa.large_string())])
ROWS_PER_CHUNK = 65_536
BYTES_PER_CHUNK = 256 << 20


class Corpus:
    """The documents that candidates come from.

    The documents are copied once into a folder of the cache, under their fingerprint, and
    memory-mapped from there: nothing but the pages in use is in memory, and a pickled corpus is
    the name of that folder.

    Args:
        source: a Dataset, a dict id -> text, a list of texts or of dicts, or a path: JSONL
            (also .gz), Parquet, Arrow, CSV, TSV, a folder in BEIR layout, a folder saved by
            ``save_to_disk``, or the name of a data set on the Hub. A title is put before the
            text, joined by a space; an absent title adds nothing.
        id_column, text_column, title_column: names of the columns; found by their usual names
            when not given. Without an id column the ids are the row numbers.
        cache_dir: see :func:`hf_hardneg.cache.cache_root`.

    Attributes:
        fingerprint: 32 hexadecimal digits; a hash of all ids and texts in their order, the same
            on every machine and whatever the source was.

    Raises:
        CorpusError: no documents, an id that stands twice, an id or text that cannot be used.
        ColumnError: a column is missing.
        FormatError: a file is damaged; names the line.
    """

    def __init__(
        self,
        source: Any,  # noqa: ANN401
        *,
        id_column: str | None = None,
        text_column: str | None = None,
        title_column: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Copy ``source`` into the cache unless it is there, and open it."""
        columns = DocumentColumns(id_column, text_column, title_column)
        self._folder = _stored(source, columns, cache_root(cache_dir) / "corpora")
        self.fingerprint: str = self._folder.name

    @classmethod
    def of(cls, source: Any, cache_dir: str | os.PathLike[str] | None = None) -> Corpus:  # noqa: ANN401
        """Return ``source`` itself if it is a corpus already, else a corpus made of it."""
        return source if isinstance(source, Corpus) else cls(source, cache_dir=cache_dir)

    @classmethod
    def from_sql(cls, sql: str, connection: Any, **options: Any) -> Corpus:  # noqa: ANN401
        """Make a corpus of the rows of a query, through ``datasets.Dataset.from_sql``.

        Args:
            sql: a query or a table name.
            connection: a database URI or connection, as ``Dataset.from_sql`` takes it.
            options: as the constructor.
        """
        # ``datasets`` keeps what a query once gave under the text of the query, or under the
        # address of the connection; the database may have changed since.
        with tempfile.TemporaryDirectory() as scratch:
            try:
                rows = Dataset.from_sql(sql, connection, cache_dir=scratch)
            except Exception as error:  # each database client has failures of its own
                reason = error.__cause__ or error
                raise CorpusError(f"the query {sql!r} gave no corpus: {reason}") from error
            parts = rows.with_format("arrow").iter(8192)
            return cls((record for part in parts for record in part.to_pylist()), **options)

    def __len__(self) -> int:
        """Return the number of documents."""
        return int(self._meta["documents"])

    def __repr__(self) -> str:
        """Return the size and the fingerprint."""
        return f"Corpus({len(self)} documents, fingerprint={self.fingerprint!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Return what identifies the corpus: its folder, never its documents."""
        return {"_folder": self._folder, "fingerprint": self.fingerprint}

    @cached_property
    def _meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = json.loads((self._folder / "meta.json").read_text())
        return meta

    @cached_property
    def _table(self) -> pa.Table:
        source = pa.memory_map(str(self._folder / "documents.arrow"))
        return pa.ipc.open_file(source).read_all()

    def _array(self, name: str) -> NDArray[Any]:
        return np.asarray(np.load(self._folder / f"{name}.npy", mmap_mode="r"))

    @cached_property
    def document_keys(self) -> NDArray[np.uint64]:
        """Keys of the normalised texts by row, shape (documents,), memory-mapped."""
        return self._array("text_keys")

    @cached_property
    def _text_order(self) -> NDArray[np.int64]:
        return self._array("text_order")

    @cached_property
    def _id_order(self) -> NDArray[np.int64]:
        return self._array("id_order")

    @cached_property
    def _sorted_id_keys(self) -> NDArray[np.uint64]:
        return self._array("id_keys_sorted")

    @property
    def empty_texts(self) -> int:
        """Number of documents without any text; they are never candidates."""
        return int(self._meta["empty_texts"])

    def text_array(self, rows: ArrayLike) -> pa.Array:
        """Return the texts of ``rows`` as one Arrow array, without reading the rest."""
        return self._take("text", rows)

    def texts(self, rows: ArrayLike) -> list[str]:
        """Return the texts of ``rows``."""
        texts: list[str] = self._take("text", rows).to_pylist()
        return texts

    def id_array(self, rows: ArrayLike) -> pa.Array:
        """Return the user's ids of ``rows`` as one Arrow array."""
        return self._take("id", rows)

    def ids(self, rows: ArrayLike) -> list[str]:
        """Return the user's ids of ``rows``."""
        ids: list[str] = self._take("id", rows).to_pylist()
        return ids

    @cached_property
    def _chunk_starts(self) -> NDArray[np.int64]:
        lengths = [len(chunk) for chunk in self._table["id"].chunks]
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[:-1], dtype=np.int64)])

    def _take(self, column: str, rows: ArrayLike) -> pa.Array:
        chunks = self._table[column].chunks
        taken = _take_rows(chunks, self._chunk_starts, np.asarray(rows, dtype=np.int64))
        return pc.cast(taken, pa.string())

    def to_dataset(self) -> Dataset:
        """Return all documents as a data set with the columns ``id`` and ``text``.

        It is read from the same file on disk; nothing is copied.
        """
        return Dataset(self._table.select(["id", "text"]), fingerprint=self.fingerprint)

    def iter_texts(self) -> Iterator[str]:
        """Yield all texts in order, one chunk in memory at a time."""
        for chunk in self._table["text"].chunks:
            for start in range(0, len(chunk), 1024):
                yield from chunk.slice(start, 1024).to_pylist()

    def text_lengths(self) -> NDArray[np.int64]:
        """Return the length of every text in bytes, shape (documents,)."""
        lengths = pc.binary_length(self._table["text"])
        return np.asarray(lengths.to_numpy(), dtype=np.int64)

    def rows_of_ids(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the row of each id, -1 where there is no such document."""
        return _look_up(exact_keys(ids), self._sorted_id_keys, self._id_order)

    def rows_of_keys(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the first row whose normalised text has each key, -1 where there is none."""
        order = self._text_order
        return _look_up(keys, _Indirect(self.document_keys, order), order)


def _take_rows(
    chunks: list[pa.Array], starts: NDArray[np.int64], rows: NDArray[np.int64]
) -> pa.Array:
    """Return the values at ``rows``, chunk by chunk: Arrow would copy all chunks into one."""
    if len(chunks) == 1:
        return chunks[0].take(pa.array(rows))
    owners = np.searchsorted(starts, rows, side="right") - 1
    order = np.argsort(owners, kind="stable")
    places = rows - starts[owners]
    parts = [chunks[owner].take(pa.array(places[owners == owner])) for owner in np.unique(owners)]
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return pa.concat_arrays(parts or [chunks[0].slice(0, 0)]).take(pa.array(back))


class _Indirect:
    """A sorted view of an array through its order, for a binary search without a copy."""

    def __init__(self, values: NDArray[np.uint64], order: NDArray[np.int64]) -> None:
        self._values, self._order = values, order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, places: NDArray[np.int64]) -> NDArray[np.uint64]:
        return self._values[self._order[places]]


def _look_up(
    keys: NDArray[np.uint64],
    ordered: NDArray[np.uint64] | _Indirect,
    order: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the row of each key, the leftmost where several match, -1 where there is none."""
    zeros = np.zeros(len(keys), dtype=np.int64)
    place = leftmost(ordered, keys, zeros, np.full_like(zeros, len(ordered)))
    place = np.minimum(place, len(ordered) - 1)
    return np.where(ordered[place] == keys, order[place], -1)


def _stored(source: Any, columns: DocumentColumns, home: Path) -> Path:  # noqa: ANN401
    """Return the folder of the corpus, written now unless the same source was seen before."""
    memo = _memo_file(source, columns, home)
    known = None if memo is None else remembered(memo)
    if known is not None:
        return known
    folder = _store(source, columns, home)
    if memo is not None:
        remember(memo, folder)
    return folder


def _memo_file(source: Any, columns: DocumentColumns, home: Path) -> Path | None:  # noqa: ANN401
    """Return the note that says which corpus an unchanged source became, if it can be known."""
    if isinstance(source, Dataset):
        identity: list[object] = ["dataset", source._fingerprint]
    else:
        files = source_files(source)
        if not files:
            return None
        stats = [file.stat() for file in files]
        identity = [
            # A copy that keeps the time of the original changes the time of the last change.
            [str(file.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
            for file, stat in zip(files, stats, strict=True)
        ]
    names = [columns.id, columns.text, columns.title]
    return home / "sources" / content_hash(LAYOUT, identity, names)


def _store(source: Any, columns: DocumentColumns, home: Path) -> Path:  # noqa: ANN401
    """Write the documents into a staging folder and publish it under their fingerprint.

    The fingerprint is known only after the last document. Two processes that write the same
    documents at once waste time and nothing else: the first to finish is kept.
    """
    with staging_folder(home, "corpus") as staging:
        final = home / _write(source, columns, staging)
        publish(staging, final)
    return final


class _Hasher:
    """Hash of a column that does not depend on how it was cut into batches."""

    def __init__(self) -> None:
        self._bytes, self._lengths = xxhash.xxh3_128(), xxhash.xxh3_128()

    def update(self, texts: Sequence[str]) -> None:
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        self._bytes.update(b"".join(encoded))
        lengths = np.fromiter((len(item) for item in encoded), dtype="<i8", count=len(encoded))
        self._lengths.update(lengths.tobytes())

    def hexdigest(self) -> str:
        return self._bytes.hexdigest() + self._lengths.hexdigest()


def _chunks(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Regroup batches into chunks of bounded rows and bytes: each is one Arrow record batch."""
    ids: list[str] = []
    texts: list[str] = []
    size = 0
    for more_ids, more_texts in batches:
        ids += more_ids
        texts += more_texts
        size += sum(map(len, more_texts))
        if len(ids) >= ROWS_PER_CHUNK or size >= BYTES_PER_CHUNK:
            yield ids, texts
            ids, texts, size = [], [], 0
    if ids:
        yield ids, texts


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _record_batch(ids: list[str], texts: list[str]) -> pa.RecordBatch:
    try:
        arrays = [pa.array(ids, pa.large_string()), pa.array(texts, pa.large_string())]
    except (UnicodeEncodeError, pa.ArrowInvalid) as error:
        name = next(
            identity
            for identity, text in zip(ids, texts, strict=True)
            if not (_is_unicode(identity) and _is_unicode(text))
        )
        raise CorpusError(
            f"the document {name!r} cannot be written as UTF-8 ({error}): its id or text holds "
            "half of a surrogate pair. Clean it, for example with "
            "text.encode('utf-8', 'replace').decode()."
        ) from error
    return pa.record_batch(arrays, schema=SCHEMA)


def _write(source: Any, columns: DocumentColumns, folder: Path) -> str:  # noqa: ANN401
    """Write documents, keys and orders into ``folder``; return the fingerprint."""
    id_hash, text_hash = _Hasher(), _Hasher()
    id_keys: list[NDArray[np.uint64]] = []
    keys: list[NDArray[np.uint64]] = []
    with (
        pa.OSFile(str(folder / "documents.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, SCHEMA) as writer,
    ):
        for ids, texts in _chunks(document_batches(source, columns)):
            writer.write_batch(_record_batch(ids, texts))
            id_hash.update(ids)
            text_hash.update(texts)
            id_keys.append(exact_keys(ids))
            keys.append(text_keys(texts))
    if not keys:
        raise CorpusError(
            "the corpus holds no documents; expected at least one. Check the path, the split and "
            "any filter that was applied."
        )
    _write_orders(folder, np.concatenate(id_keys), np.concatenate(keys))
    return content_hash(LAYOUT, id_hash.hexdigest(), text_hash.hexdigest())


def _write_orders(folder: Path, id_keys: NDArray[np.uint64], keys: NDArray[np.uint64]) -> None:
    """Write the arrays that look up ids and texts, and refuse ids that stand twice."""
    id_order = np.argsort(id_keys, kind="stable")
    sorted_ids = id_keys[id_order]
    _refuse_duplicates(folder, id_order, sorted_ids)
    save_array(folder / "id_order.npy", id_order)
    save_array(folder / "id_keys_sorted.npy", sorted_ids)
    save_array(folder / "text_keys.npy", keys)
    save_array(folder / "text_order.npy", np.argsort(keys, kind="stable"))
    empty = int(np.count_nonzero(keys == EMPTY_TEXT_KEY))
    meta = {"layout": LAYOUT, "documents": len(keys), "empty_texts": empty}
    (folder / "meta.json").write_text(json.dumps(meta) + "\n")


def _refuse_duplicates(folder: Path, order: NDArray[np.int64], ordered: NDArray[np.uint64]) -> None:
    """Raise when an id stands twice; equal keys are compared as ids first."""
    places = np.flatnonzero(ordered[1:] == ordered[:-1])
    if not len(places):
        return
    with pa.memory_map(str(folder / "documents.arrow")) as source:
        ids = pa.ipc.open_file(source).read_all()["id"]
        pairs = [(int(order[place]), int(order[place + 1])) for place in places]
        twice = [(ids[a].as_py(), a, b) for a, b in pairs if ids[a].as_py() == ids[b].as_py()]
    if twice:
        names = len({name for name, _, _ in twice})
        shown = listing((f"{name!r} (documents {a} and {b})" for name, a, b in twice), limit=3)
        raise CorpusError(
            f"{names} ids stand more than once in the corpus: {shown}. Every document needs "
            "an id of its own: drop the duplicates, or leave the id column out."
        )
