"""A mined set as everything reads it that measures one, whatever columns it has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list, list_array
from hf_hardneg.columns import (
    POSITIVE_ID_NAMES,
    POSITIVE_NAMES,
    QUERY_ID_NAMES,
    QUERY_NAMES,
    QueryColumns,
    Ragged,
)
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ColumnError, FormatError, did_you_mean, listing
from hf_hardneg.hashing import text_keys
from hf_hardneg.stages import FILLED, POSITIVE_SCORES, RANKS, SCORES

__all__ = ["LIST_COLUMNS", "Layout", "MinedBatch", "MinedSet"]

BATCH = 2_000
LIST_COLUMNS = {
    "positives": pa.string(), "positive_ids": pa.string(), "negatives": pa.string(),
    "negative_ids": pa.string(), "negative_scores": pa.float32(), "negative_ranks": pa.int32(),
    "positive_scores": pa.float32(), "negative_filled": pa.bool_(),
}  # fmt: skip
"""The columns of a batch that are lists, one list a row, with the type of their values; beside
them ``query`` and ``query_id``."""

NEGATIVE_NAMES = ("hard_negatives", "negatives", "negative", "neg", "hard_neg", "negative_texts")
NEGATIVE_ID_NAMES = ("hard_negative_ids", "negative_ids", "neg_ids", "negative_document_ids",
                     "negative_docids")  # fmt: skip
SCORE_NAMES = (SCORES, "negative_scores", "neg_scores")
POSITIVE_SCORE_NAMES = (POSITIVE_SCORES, "positive_scores", "pos_scores")
NUMBERED = re.compile(r"(?:hard_)?neg(?:ative)?_\d+")

Layout = Callable[[pa.Table], pa.Table]
"""From a batch of the rows as they are to one with the columns of a mined set."""


@dataclass(frozen=True, slots=True)
class MinedBatch:
    """Some rows of a mined set.

    Attributes:
        start: number of the first row.
        table: has ``query`` and those of ``query_id`` and :data:`LIST_COLUMNS` that are known.
    """

    start: int
    table: pa.Table

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.table.num_rows)

    def has(self, name: str) -> bool:
        """Return whether this is known."""
        return name in self.table.column_names

    def queries(self) -> list[str]:
        """Return the queries' texts; one that is missing is empty."""
        return _texts(self.table["query"])

    def query_ids(self) -> list[str]:
        """Return the queries' ids, where there are any; one that is missing is empty."""
        return _texts(self.table["query_id"])

    def texts(self, name: str) -> Ragged:
        """Return texts or ids as lists, one a row; one that is missing is empty."""
        offsets, values = flat_list(self.table[name])
        return Ragged(offsets, _texts(values))

    def keys(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Return (offsets, keys of the normalised texts)."""
        lists = self.texts(name)
        return lists.offsets, text_keys(lists.flat)

    def numbers(self, name: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return (offsets, scores or ranks): a score that is missing is ``nan``, a rank is 0."""
        offsets, values = flat_list(self.table[name])
        if pa.types.is_floating(values.type):
            return offsets, values.to_numpy(zero_copy_only=False)
        return offsets, pc.fill_null(values, 0).to_numpy(zero_copy_only=False)


class MinedSet:
    """The rows of a mined set, by whatever names its columns go.

    Rows are read in batches as they are asked for; nothing is copied to disk. Nothing is
    corrected either: empty texts, repeated negatives and missing scores come as they are.

    Args:
        rows: the data set.
        layout: what its columns mean; default: found by their names.
        name: what it is called in messages.
        notes: what a reader should know of how it was read.
        query_texts: whether ``query`` holds texts; ``False`` where ids stand for them.
        corpus: what the layout takes texts and ids from.
        stored: the same set before it was joined with the corpus.
        by_id: where the queries' texts were looked up by id, the set with the ids in their place.
        queries: where they were looked up.

    Attributes:
        rows: the data set as it is.
        names: of ``query``, ``query_id`` and :data:`LIST_COLUMNS` those that are known.
        notes: what a reader should know of how it was read.
        query_texts: whether ``query`` holds texts; ``False`` where ids stand for them.
        corpus: the documents, where the set was joined with them.
        by_id, queries: as given.
    """

    def __init__(
        self,
        rows: Dataset,
        layout: Layout | None = None,
        *,
        name: str = "the data set",
        notes: Sequence[str] = (),
        query_texts: bool = True,
        corpus: Corpus | None = None,
        stored: MinedSet | None = None,
        by_id: MinedSet | None = None,
        queries: Corpus | None = None,
    ) -> None:
        """Find the layout and try it on one row."""
        if len(rows) == 0:
            raise FormatError(f"{name} has no rows; expected a mined set.")
        self.rows, self.name, self.notes = rows, name, tuple(notes)
        self.query_texts, self.corpus, self._stored = query_texts, corpus, stored
        self.by_id, self.queries = by_id, queries
        # A view is made anew by copying all that is known of the data, which takes milliseconds.
        self._arrow = rows.with_format("arrow")
        self._layout = layout or named_layout(rows.column_names, name)
        self.names = frozenset(self._layout(self._arrow[:1]).column_names)

    @classmethod
    def of(
        cls,
        data: Dataset | DatasetDict | MinedSet,
        *,
        corpus: Corpus | None = None,
        columns: QueryColumns | None = None,
    ) -> MinedSet:
        """Return the mined set of a data set.

        Args:
            data: a data set; a mined set is returned as it is.
            corpus: gives texts to a set of ids, and ids to a set of texts.
            columns: names of the columns of queries and positives, where they are unusual.

        Raises:
            ColumnError: no query or no negatives are found among the columns.
            FormatError: there are no rows, or several splits.
        """
        if isinstance(data, DatasetDict):
            if len(data) != 1:
                raise FormatError(
                    f"the data set has the splits {listing(list(data))}; give one of them."
                )
            data = next(iter(data.values()))
        if isinstance(data, Dataset):
            data = cls(data, named_layout(data.column_names, "the data set", columns))
        return data if corpus is None else data.joined(corpus)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def has(self, name: str) -> bool:
        """Return whether this is known of the rows."""
        return name in self.names

    def batches(self, size: int = BATCH) -> Iterator[MinedBatch]:
        """Yield all rows in their order, ``size`` at a time."""
        start = 0
        for table in self._arrow.iter(size):
            batch = MinedBatch(start, self._layout(table))
            start += table.num_rows
            yield batch

    def at(self, row: int) -> MinedBatch:
        """Return one row, without reading those before it."""
        return self.part(row, row + 1)

    def part(self, start: int, stop: int) -> MinedBatch:
        """Return the rows from ``start`` up to ``stop``, without reading those before them."""
        return MinedBatch(start, self._layout(self._arrow[start:stop]))

    def some(self, rows: Sequence[int]) -> MinedBatch:
        """Return some rows, in the order in which they are asked for; ``start`` is the first."""
        return MinedBatch(rows[0] if len(rows) else 0, self._layout(self._arrow[list(rows)]))

    @property
    def one_negative_a_row(self) -> bool:
        """Whether a row has one negative and no more, as triplets have."""
        own = _negatives(self.rows.column_names)
        ids = _one(self.rows.column_names, None, NEGATIVE_ID_NAMES, "")
        names = own or ([ids] if ids else [])
        kinds = [self.rows.data.schema.field(name).type for name in names]
        return len(kinds) == 1 and not _is_list(kinds[0])

    @property
    def stored(self) -> MinedSet:
        """The set without what a corpus added: quicker where neither texts nor ids are needed."""
        return self if self._stored is None else self._stored

    def by_text(self) -> MinedSet:
        """Return the same without the ids of its documents and queries, where it has texts.

        For a set whose ids are its own, such as numbers of lines, and not those of a corpus.
        """
        layout = self._layout
        ids = {
            one for one, text in (("query_id", "query"), ("positive_ids", "positives"),
                                  ("negative_ids", "negatives"))
            if self.has(one) and self.has(text)
        }  # fmt: skip
        return MinedSet(
            self.rows,
            lambda table: layout(table).drop_columns(sorted(ids)),
            name=self.name,
            notes=self.notes,
            query_texts=self.query_texts,
        )

    def joined(self, corpus: Corpus) -> MinedSet:
        """Return the same with texts for its ids and ids for its texts, from the corpus.

        A text has the id of the first document with the same normalised text; one that the corpus
        does not have gets no id, an id that it does not have no text: both are missing.
        """
        notes = list(self.notes)
        for texts, ids in (("positives", "positive_ids"), ("negatives", "negative_ids")):
            if texts in self.names and ids not in self.names:
                notes.append(f"{texts} have no ids: matched to the corpus by their texts.")
        layout = self._layout
        return MinedSet(
            self.rows,
            lambda table: _joined(layout(table), corpus),
            name=self.name,
            notes=notes,
            query_texts=self.query_texts,
            corpus=corpus,
            stored=self.stored,
            by_id=self.by_id,
            queries=self.queries,
        )


# -- which columns -------------------------------------------------------------------------------


def named_layout(names: Sequence[str], where: str, asked: QueryColumns | None = None) -> Layout:
    """Return the layout of columns with usual names: one row a query, negatives beside it.

    Raises:
        ColumnError: there is no query, or there are no negatives.
    """
    asked = asked or QueryColumns()
    query = _one(names, asked.query, QUERY_NAMES, "query_column")
    negatives = _negatives(names)
    negative_ids = _one(names, None, NEGATIVE_ID_NAMES, "")
    if query is None or not (negatives or negative_ids):
        lacking = "query" if query is None else "negatives"
        usual = QUERY_NAMES if query is None else (*NEGATIVE_NAMES, "negative_1", "negative_2")
        raise ColumnError(
            f"no column of {lacking} in {where}: expected one of {listing(usual)}, found "
            f"{listing(names)}."
        )
    free = [name for name in names if name not in {query, negative_ids, *negatives}]
    found: dict[str, str | list[str] | None] = {
        "query": query,
        "query_id": _one(free, asked.query_id, QUERY_ID_NAMES, "query_id_column"),
        "positives": _one(free, asked.positive, POSITIVE_NAMES, "positive_column"),
        "positive_ids": _one(free, asked.positive_ids, POSITIVE_ID_NAMES, "positive_ids_column"),
        "negatives": negatives,
        "negative_ids": negative_ids,
        "negative_scores": _one(free, None, SCORE_NAMES, ""),
        "negative_ranks": _one(free, None, (RANKS, "negative_ranks"), ""),
        "positive_scores": _one(free, None, POSITIVE_SCORE_NAMES, ""),
        "negative_filled": _one(free, None, (FILLED,), ""),
    }
    known = {name: column for name, column in found.items() if column}
    return lambda table: _renamed(table, known)


def _one(
    names: Sequence[str], asked: str | None, usual: Sequence[str], parameter: str
) -> str | None:
    if asked is None:
        return next((name for name in usual if name in names), None)
    if asked not in names:
        raise ColumnError(
            f"the data has no column {asked!r} ({parameter}).{did_you_mean(asked, names)} "
            f"Its columns are: {listing(names)}."
        )
    return asked


def _negatives(names: Sequence[str]) -> list[str]:
    """Return the columns of negatives' texts: one, or one for each of them, in their order."""
    one = _one(names, None, NEGATIVE_NAMES, "")
    numbered = [name for name in names if NUMBERED.fullmatch(name)]
    if one is None or (numbered and one == "negative"):
        return [one, *numbered] if one else numbered
    return [one]


# -- reading -------------------------------------------------------------------------------------


def _renamed(table: pa.Table, columns: dict[str, str | list[str]]) -> pa.Table:
    out = {}
    for name, column in columns.items():
        if name in ("query", "query_id"):
            out[name] = table[str(column)].cast(pa.string())
        elif isinstance(column, list) and len(column) > 1:
            out[name] = side_by_side([table[one] for one in column])
        else:
            own = column[0] if isinstance(column, list) else column
            if name in ("positives", "negatives"):
                _refuse_numbers(table[own].type, own)
            out[name] = as_lists(table[own], LIST_COLUMNS[name], own)
    return pa.table(out)


def as_lists(column: pa.ChunkedArray, kind: pa.DataType, name: str) -> pa.Array:
    """Return a column of lists of ``kind``; single values become lists of one, null an empty list.

    Raises:
        ColumnError: the values are of another kind.
    """
    try:
        if _is_list(column.type):
            offsets, values = flat_list(column)
        else:
            values = column.combine_chunks()
            values = pa.concat_arrays(values.chunks) if hasattr(values, "chunks") else values
            there = values.is_valid().to_numpy(zero_copy_only=False)
            offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(there)])
            values = values.drop_null()
        return list_array(offsets.astype(np.int32), values.cast(kind))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ColumnError(
            f"the column {name!r} holds {column.type}; expected {kind}, or lists of it."
        ) from error


def _refuse_numbers(kind: pa.DataType, name: str) -> None:
    """Refuse numbers where texts are expected; Arrow would write them out."""
    inner = kind.value_type if _is_list(kind) else kind
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_null)
    if not any(test(inner) for test in texts):
        raise ColumnError(f"the column {name!r} holds {kind}; expected texts, or lists of texts.")


def _is_list(kind: pa.DataType) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in tests)


def side_by_side(columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    """Return one list a row of several columns of texts; null is left out."""
    rows, width = len(columns[0]), len(columns)
    flat = pa.concat_arrays([one.combine_chunks().cast(pa.string()) for one in columns])
    order = np.arange(rows * width).reshape(width, rows).T.ravel()
    values = flat.take(pa.array(order))
    there = values.is_valid().to_numpy(zero_copy_only=False).reshape(rows, width)
    offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
    return list_array(offsets, values.drop_null())


def _texts(values: pa.Array | pa.ChunkedArray) -> list[str]:
    texts: list[str] = pc.fill_null(values, "").to_pylist()
    return texts


def _joined(table: pa.Table, corpus: Corpus) -> pa.Table:
    """Add the texts of ids, and the ids of texts, where one of the two is not there."""
    batch = MinedBatch(0, table)
    for texts, ids in (("positives", "positive_ids"), ("negatives", "negative_ids")):
        if batch.has(texts) == batch.has(ids):
            continue
        if batch.has(ids):
            named = batch.texts(ids)
            offsets, rows, name = named.offsets, corpus.rows_of_ids(named.flat), texts
            values = corpus.text_array(np.maximum(rows, 0))
        else:
            offsets, keys = batch.keys(texts)
            rows, name = corpus.rows_of_keys(keys), ids
            values = corpus.id_array(np.maximum(rows, 0))
        known = pc.if_else(pa.array(rows >= 0), values, pa.scalar(None, pa.string()))
        table = table.append_column(name, list_array(offsets.astype(np.int32), known))
    return table
