"""From rows of query data to :class:`~hf_hardneg.candidates.Queries`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import reduce
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from datasets import Dataset, IterableDataset, LargeList, List
from numpy.typing import NDArray

from hf_hardneg.arrow import hash_column
from hf_hardneg.cache import content_hash, remember, remembered
from hf_hardneg.candidates import NO_ROW, Queries
from hf_hardneg.columns import (
    QueryColumns,
    Ragged,
    RawBatch,
    find_columns,
    read_batch,
    read_further,
    refuse_missing,
)
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import CorpusError, QueryError, listing
from hf_hardneg.hashing import text_keys
from hf_hardneg.positives import KnownPositives

__all__ = [
    "batches_of", "check_further", "column_names", "positives_as_corpus", "query_texts",
    "rows_with_several", "scan_positives", "to_queries",
]  # fmt: skip

SCAN_BATCH = 10_000
SCAN_VERSION = 1

Rows: TypeAlias = Dataset | IterableDataset
Pairs: TypeAlias = tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint64]]


@dataclass(frozen=True, slots=True)
class _Positives:
    """Positives of a batch, flat: offsets, rows and keys, and the ids that are not known."""

    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    keys: NDArray[np.uint64]
    texts: list[str]
    unknown: list[str]


def _positives(raw: RawBatch, corpus: Corpus, *, find: bool = True) -> _Positives:
    """Find the positives of a batch in the corpus, by id where ids are given, else by text."""
    texts = Ragged.of(raw.positives or [])
    if raw.positive_ids is None and not find:
        nothing = np.full(len(texts.flat), NO_ROW, np.int64)
        return _Positives(texts.offsets, nothing, nothing.astype(np.uint64), texts.flat, [])
    if raw.positive_ids is None:
        keys = text_keys(texts.flat)
        return _Positives(texts.offsets, corpus.rows_of_keys(keys), keys, texts.flat, [])
    ids = Ragged.of(raw.positive_ids)
    rows = corpus.rows_of_ids(ids.flat)
    unknown = [ids.flat[place] for place in np.flatnonzero(rows == NO_ROW)]
    keys = text_keys(texts.flat) if texts.flat else corpus.document_keys[np.maximum(rows, 0)]
    return _Positives(ids.offsets, rows, keys, texts.flat, unknown)


def _known(
    positives: _Positives, corpus: Corpus
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
    """Return (offsets, rows, keys) of what is known to be relevant.

    Where the data's text of a positive is not that of the corpus (which may have a title before
    it), both are known: a copy of either under another id is relevant too.
    """
    rows, keys = positives.rows, positives.keys
    corpus_keys = corpus.document_keys[np.maximum(rows, 0)]
    differs = (rows != NO_ROW) & (corpus_keys != keys)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(1 + differs)])
    source = np.repeat(np.arange(len(rows)), 1 + differs)
    known_keys = keys[source]
    known_keys[ends[1:][differs] - 1] = corpus_keys[differs]
    return ends[positives.offsets], rows[source], known_keys


def _refuse_unknown(unknown: list[str], corpus: Corpus) -> None:
    if unknown:
        sample = listing(corpus.ids(range(min(3, len(corpus)))), limit=3)
        raise QueryError(
            f"{len(unknown)} positive ids are not in the corpus, for example "
            f"{listing(map(repr, unknown), limit=3)}. The corpus has {len(corpus)} documents with "
            f"ids such as {sample}. Give the corpus that the ids belong to."
        )


def to_queries(
    raw: RawBatch,
    corpus: Corpus,
    known: KnownPositives | None,
    *,
    keys: bool = True,
    find: bool = True,
    further: Mapping[str, Sequence[list[str]]] | None = None,
) -> Queries:
    """Resolve a batch against the corpus.

    Args:
        raw: queries and positives as the user gave them.
        corpus: the documents.
        known: the positives of all rows; without it each row knows only its own.
        keys: whether the queries' keys are needed; writing texts does without.
        find: whether positives that are given by text are needed as documents of the corpus.
        further: texts of further columns that stages read.

    Raises:
        QueryError: a positive id that is not in the corpus.
    """
    positives = _positives(raw, corpus, find=find)
    _refuse_unknown(positives.unknown, corpus)
    query_keys = text_keys(raw.queries) if keys else np.zeros(len(raw), np.uint64)
    known_offsets, known_rows, known_keys = (
        _known(positives, corpus) if known is None else known.of(query_keys)
    )
    return Queries(
        raw.queries, raw.query_ids, query_keys, positives.offsets, positives.rows, positives.texts,
        known_offsets, known_rows, known_keys, further or {},
    )  # fmt: skip


def column_names(rows: Rows) -> list[str]:
    """Return the column names of a data set; of a stream, those of its first row."""
    if isinstance(rows, Dataset):
        return list(rows.column_names)
    if rows.column_names:
        return list(rows.column_names)
    return list(next(iter(rows), {}))


def batches_of(rows: Rows, batch_size: int) -> Iterator[pa.Table | Mapping[str, Any]]:
    """Yield batches as Arrow tables (Dataset) or dicts of lists (IterableDataset)."""
    if isinstance(rows, Dataset):
        yield from rows.with_format("arrow").iter(batch_size)
    else:
        yield from rows.iter(batch_size)


def check_further(rows: Rows, further: Mapping[str, str]) -> None:
    """Refuse data whose further columns cannot be used, before any work; see `read_further`.

    All rows of a Dataset are looked at, where there are such columns. A stream is read when it is
    mined.

    Args:
        rows: the data.
        further: name of the stage by the column that it reads.

    Raises:
        ColumnError: a column is missing.
        QueryError: a value that is empty or not text; names the row.
    """
    if not further:
        return
    refuse_missing(column_names(rows), further)
    if isinstance(rows, Dataset):
        first_row = 0
        for batch in batches_of(rows.select_columns(list(further)), SCAN_BATCH):
            for name in further:
                read_further(batch, name, first_row)
            first_row += len(batch)


def query_texts(rows: Dataset, asked: QueryColumns) -> list[str]:
    """Return the distinct queries of a data set."""
    columns = find_columns(column_names(rows), asked)
    texts: dict[str, None] = {}
    for batch in batches_of(rows, SCAN_BATCH):
        texts.update(dict.fromkeys(read_batch(batch, columns).queries))
    return list(texts)


def rows_with_several(rows: Dataset, asked: QueryColumns) -> int:
    """Return how many rows of a data set have more than one positive."""
    columns = find_columns(column_names(rows), asked)
    name = str(columns.positive or columns.positive_ids)
    if not isinstance(rows.features[name], List | LargeList):
        return 0  # one value a row
    used = rows.select_columns([name])
    return sum(
        int(pc.sum(pc.greater(pc.list_value_length(batch[name]), 1)).as_py() or 0)
        for batch in batches_of(used, SCAN_BATCH)
    )


def _no_rows() -> QueryError:
    return QueryError(
        "the query data has no rows; expected at least one query with a positive. Check the "
        "path, the split and any filter that was applied."
    )


def scan_positives(
    parts: Sequence[Rows], asked: QueryColumns, corpus: Corpus, home: Path
) -> KnownPositives:
    """Read all rows once: check every value, and collect the positives of every query.

    Errors that would stop hours of work in its middle are found here, before it starts. A data
    set with the content of one that was read before, such as a pool, is not read again.

    Raises:
        QueryError: a row that cannot be used (names it), no rows at all, unknown positive ids.
        ColumnError: a column is missing.
    """
    memos = [_memo(part, asked, corpus, home) for part in parts]
    folders = [None if memo is None else remembered(memo) for memo in memos]
    # Nothing is written before everything was read: a bad row anywhere leaves no trace.
    scanned = {
        place: _scan(part, asked, corpus)
        for place, part in enumerate(parts)
        if folders[place] is None
    }
    known = [KnownPositives(folder) for folder in folders if folder is not None]
    for place, pairs in scanned.items():
        if not len(pairs[0]):
            continue
        table, memo = KnownPositives.build(*pairs, home), memos[place]
        known.append(table)
        if memo is not None:
            remember(memo, table.folder)
    if not known:
        raise _no_rows()
    return reduce(lambda one, other: one.union(other, home), known)


def _memo(part: Rows, asked: QueryColumns, corpus: Corpus, home: Path) -> Path | None:
    """Return the note that says which table the positives of a data set became.

    It is named by what the columns in use hold, which is read a hundred times faster than it is
    understood. Another name, other columns beside it or a pool made from it change nothing.
    """
    if not isinstance(part, Dataset):  # a stream is read once
        return None
    columns = astuple(find_columns(column_names(part), asked))
    hasher = xxhash.xxh3_128()
    used = part.select_columns(list({name for name in columns if name is not None}))
    try:
        for batch in batches_of(used, SCAN_BATCH):
            for name in filter(None, columns):
                hash_column(batch[name], hasher)
    except pa.ArrowException:  # of a type that cannot be used: reading it says what is wrong
        return None
    roles = [name is not None for name in columns]
    return home / "seen" / content_hash(SCAN_VERSION, roles, hasher.hexdigest(), corpus.fingerprint)


def _scan(part: Rows, asked: QueryColumns, corpus: Corpus) -> Pairs:
    """Read the positives of one data set; it may have no rows."""
    query_keys = [np.zeros(0, np.uint64)]
    rows = [np.zeros(0, np.int64)]
    keys = [np.zeros(0, np.uint64)]
    unknown: list[str] = []
    first_row = 0
    columns = find_columns(column_names(part), asked)
    for batch in batches_of(part, SCAN_BATCH):
        raw = read_batch(batch, columns, first_row)
        first_row += len(raw)
        positives = _positives(raw, corpus)
        unknown += positives.unknown
        offsets, known_rows, known_keys = _known(positives, corpus)
        query_keys.append(np.repeat(text_keys(raw.queries), np.diff(offsets)))
        rows.append(known_rows)
        keys.append(known_keys)
    _refuse_unknown(unknown, corpus)
    return np.concatenate(query_keys), np.concatenate(rows), np.concatenate(keys)


def positives_as_corpus(parts: Iterable[Rows], asked: QueryColumns) -> dict[str, str]:
    """Return the distinct positives as documents, for mining without a corpus.

    Ids are the positives' own ids where the data has them, else running numbers in the order in
    which the texts first stand.

    Raises:
        CorpusError: the data has ids but no texts, so there is nothing to mine from.
        QueryError: a row that cannot be used, no rows at all, an id that stands for two texts.
    """
    documents: dict[str, str] = {}
    seen: set[str] = set()
    for part in parts:
        columns = find_columns(column_names(part), asked)
        if columns.positive is None:
            raise CorpusError(
                f"the positives are given by id ({columns.positive_ids!r}) and there is no corpus "
                "to look them up in. Give corpus=..."
            )
        first_row = 0
        for batch in batches_of(part, SCAN_BATCH):
            raw = read_batch(batch, columns, first_row)
            first_row += len(raw)
            texts = chain.from_iterable(raw.positives or [])
            if raw.positive_ids is not None:
                _add_documents(documents, chain.from_iterable(raw.positive_ids), texts)
                continue
            for text in texts:
                if text not in seen:
                    seen.add(text)
                    documents[str(len(documents))] = text
    if not documents:
        raise _no_rows()
    return documents


def _add_documents(documents: dict[str, str], ids: Iterable[str], texts: Iterable[str]) -> None:
    """Add documents by id; an id that stands for two texts would lose one of them."""
    for name, text in zip(ids, texts, strict=True):
        if documents.setdefault(name, text) != text:
            raise QueryError(
                f"the positive id {name!r} stands for two texts, {documents[name][:40]!r}... and "
                f"{text[:40]!r}... Give the corpus, or use the texts only: positive_column=..."
            )
