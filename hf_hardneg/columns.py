"""Finding the columns of query data, and reading their values from a batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list
from hf_hardneg.errors import ColumnError, QueryError, did_you_mean, listing

__all__ = [
    "QueryColumns", "Ragged", "RawBatch", "find_columns", "read_batch", "read_further",
    "refuse_missing",
]  # fmt: skip

QUERY_NAMES = ("query", "anchor", "question", "query_text", "sentence1", "claim")
POSITIVE_NAMES = ("positive", "positives", "pos", "answer", "passage", "context", "document",
                  "text", "sentence2")  # fmt: skip
POSITIVE_ID_NAMES = ("positive_ids", "positive_id", "pos_ids", "pos_id", "positive_document_ids",
                     "positive_docids", "corpus-id", "corpus_id")  # fmt: skip
QUERY_ID_NAMES = ("query_id", "query-id", "qid", "question_id", "_id", "id")


@dataclass(frozen=True, slots=True)
class QueryColumns:
    """Names of the columns of query data; ``None`` means: find it by its usual name."""

    query: str | None = None
    positive: str | None = None
    positive_ids: str | None = None
    query_id: str | None = None


class Ragged(Sequence[list[str]]):
    """One list of texts a row, kept as one flat list: a tenth of the time for many short lists.

    Attributes:
        offsets: shape (rows + 1,); those of row i are ``flat[offsets[i]:offsets[i + 1]]``.
        flat: all texts.
    """

    def __init__(self, offsets: NDArray[np.int64], flat: list[str]) -> None:
        """Take the parts as they are."""
        self.offsets, self.flat = offsets, flat

    @classmethod
    def of(cls, lists: Sequence[list[str]]) -> Ragged:
        """Return the same lists in this form."""
        if isinstance(lists, Ragged):
            return lists
        lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        return cls(offsets, list(chain.from_iterable(lists)))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, row: int) -> list[str]: ...
    @overload
    def __getitem__(self, row: slice) -> list[list[str]]: ...
    def __getitem__(self, row: int | slice) -> list[str] | list[list[str]]:
        """Return the list of one row, or those of several."""
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        if not 0 <= row < len(self):
            raise IndexError(row)
        return self.flat[self.offsets[row] : self.offsets[row + 1]]

    def __eq__(self, other: object) -> bool:
        """Return whether the other holds the same lists, in whatever form."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class RawBatch:
    """A batch as the user gave it: texts and ids, one list of positives a row.

    ``query_ids`` is empty where there is no such column. ``positives`` and ``positive_ids`` are
    ``None`` where there is no such column; one of the two is always there.
    """

    queries: list[str]
    query_ids: list[str]
    positives: Sequence[list[str]] | None
    positive_ids: Sequence[list[str]] | None

    def __len__(self) -> int:
        return len(self.queries)


def _find(
    names: Sequence[str],
    asked: str | None,
    usual: tuple[str, ...],
    what: str,
    taken: Collection[str | None] = (),
) -> str | None:
    """Return the column that was asked for, or the first usual name that is there and free."""
    if asked is None:
        return next((name for name in usual if name in names and name not in taken), None)
    if asked not in names:
        raise ColumnError(
            f"the data has no column {asked!r} ({what}).{did_you_mean(asked, names)} "
            f"Its columns are: {listing(names)}."
        )
    return asked


def _near(names: Sequence[str], usual: Sequence[str]) -> str:
    """Return a hint at the first column that looks like a misspelt usual name."""
    return next((hint for name in names if (hint := did_you_mean(name, usual))), "")


def find_columns(names: Sequence[str], asked: QueryColumns) -> QueryColumns:
    """Return the columns in use: a query, and positives by text, by id, or both.

    Raises:
        ColumnError: one is missing; lists what there is and the nearest match.
    """
    query = _find(names, asked.query, QUERY_NAMES, "query_column")
    if query is None:
        raise ColumnError(
            f"no query column found: expected one of {listing(QUERY_NAMES)}, found "
            f"{listing(names)}.{_near(names, QUERY_NAMES)} Name it with query_column=..."
        )
    # A column that has a meaning already is not found by its usual name for another one.
    taken = {query, asked.positive, asked.positive_ids, asked.query_id}
    positive = _find(names, asked.positive, POSITIVE_NAMES, "positive_column", taken)
    ids = _find(names, asked.positive_ids, POSITIVE_ID_NAMES, "positive_ids_column", taken)
    # Whoever names one of the two columns means that one alone.
    if asked.positive_ids is not None and asked.positive is None:
        positive = None
    if asked.positive is not None and asked.positive_ids is None:
        ids = None
    if positive is None and ids is None:
        raise ColumnError(
            f"no positive column found: expected one of {listing(POSITIVE_NAMES)} (texts) or "
            f"{listing(POSITIVE_ID_NAMES)} (ids of documents), found {listing(names)}."
            f"{_near([name for name in names if name != query], POSITIVE_NAMES)} "
            "Name it with positive_column=... or positive_ids_column=..."
        )
    query_id = _find(names, asked.query_id, QUERY_ID_NAMES, "query_id_column", taken)
    return QueryColumns(query, positive, ids, query_id)


def _all_texts(column: Any) -> bool:  # noqa: ANN401
    """Whether an Arrow column holds texts, or lists of them, without a gap or an empty one.

    Such a column needs no look at each value in Python, which is most of the time of reading it.
    """
    if not isinstance(column, pa.ChunkedArray | pa.Array) or column.null_count:
        return False
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        if not pc.all(pc.greater(pc.list_value_length(column), 0)).as_py():
            return False
        column = pc.list_flatten(column)
        kind = column.type
    if column.null_count or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return False
    length = pc.binary_length(pc.utf8_trim_whitespace(column))
    return bool(pc.all(pc.greater(length, 0)).as_py())


def _values(batch: pa.Table | Mapping[str, Any], name: str) -> list[Any]:
    column = batch[name]
    if not isinstance(column, pa.ChunkedArray | pa.Array):
        return list(column)
    values: list[Any] = column.to_pylist()
    return values


def _where(name: str, row: int, first_row: int | None) -> str:
    """Say which row is meant; a batch alone does not know its place in the data."""
    if first_row is None:
        return f"column {name!r}, row {row} of the batch"
    return f"column {name!r}, row {first_row + row}"


def _query_text(value: object, name: str, row: int, first_row: int | None) -> str:
    if isinstance(value, str) and value.strip():
        return value
    found = "empty" if isinstance(value, str) else f"{value!r} ({type(value).__name__})"
    raise QueryError(
        f"{_where(name, row, first_row)}: the query is {found}; expected a text that is not "
        "empty. Drop such rows first, for example with dataset.filter(...)."
    )


def _query_id(value: object, name: str, row: int, first_row: int | None) -> str:
    if value is None or value == "":
        raise QueryError(
            f"{_where(name, row, first_row)}: the query's id is {value!r}; expected text or a "
            "number. Drop such rows first, or name another column with query_id_column."
        )
    return str(value)


def _positive_list(
    value: object, name: str, row: int, first_row: int | None, *, ids: bool
) -> list[str]:
    """Return one row's positives as a list, whether given as one value or as a list."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    items = value if isinstance(value, list | tuple) else [value]
    if not items or value is None:
        raise QueryError(
            f"{_where(name, row, first_row)}: the row has no positive; expected one or more. "
            "Drop such rows first."
        )
    result: list[str] = []
    for item in items:
        if ids and isinstance(item, int | np.integer) and not isinstance(item, bool):
            item = str(item)
        if not isinstance(item, str) or not item.strip():
            wanted = "ids (text or whole numbers)" if ids else "texts that are not empty"
            raise QueryError(
                f"{_where(name, row, first_row)}: a positive is {item!r} "
                f"({type(item).__name__}); expected {wanted}."
            )
        result.append(item)
    return result


def read_batch(
    batch: pa.Table | Mapping[str, Any], columns: QueryColumns, first_row: int | None = None
) -> RawBatch:
    """Read queries and positives of a batch.

    Args:
        batch: an Arrow table, or a dict of lists as ``Dataset.map`` gives it.
        columns: the columns in use, from :func:`find_columns`.
        first_row: number of the first row in the whole data, for error messages.

    Raises:
        QueryError: a query or a positive is missing, empty, or not text.
    """
    query = columns.query or ""
    queries = _values(batch, query)
    if not _all_texts(batch[query]):
        queries = [_query_text(value, query, row, first_row) for row, value in enumerate(queries)]
    texts = _positive_lists(batch, columns.positive, first_row, ids=False)
    ids = _positive_lists(batch, columns.positive_ids, first_row, ids=True)
    if texts and ids:
        _same_lengths(texts, ids, columns, first_row)
    return RawBatch(queries, _query_ids(batch, columns.query_id, first_row), texts, ids)


def _query_ids(
    batch: pa.Table | Mapping[str, Any], name: str | None, first_row: int | None
) -> list[str]:
    """Return the queries' ids, none where there is no such column."""
    if name is None:
        return []
    values = _values(batch, name)
    if _all_texts(batch[name]):
        return values
    return [_query_id(value, name, row, first_row) for row, value in enumerate(values)]


def _positive_lists(
    batch: pa.Table | Mapping[str, Any], name: str | None, first_row: int | None, *, ids: bool
) -> Sequence[list[str]] | None:
    """Return the positives of every row as lists, ``None`` where there is no such column."""
    if name is None:
        return None
    column = batch[name]
    if not _all_texts(column):
        return [
            _positive_list(value, name, row, first_row, ids=ids)
            for row, value in enumerate(_values(batch, name))
        ]
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        offsets, flat = flat_list(column)
        return Ragged(offsets, flat.to_pylist())
    return Ragged(np.arange(len(column) + 1), column.to_pylist())


def _same_lengths(
    texts: Sequence[list[str]],
    ids: Sequence[list[str]],
    columns: QueryColumns,
    first_row: int | None,
) -> None:
    left, right = (np.diff(Ragged.of(lists).offsets) for lists in (texts, ids))
    for row in np.flatnonzero(left != right):
        raise QueryError(
            f"{_where(str(columns.positive), int(row), first_row)}: {left[row]} texts but "
            f"{right[row]} ids in {columns.positive_ids!r}; expected one id a text. Use one of "
            "the two columns only."
        )


def refuse_missing(names: Sequence[str], further: Mapping[str, str]) -> None:
    """Refuse data without a further column that a stage reads.

    Args:
        names: the columns that are there.
        further: name of the stage by the column that it reads.

    Raises:
        ColumnError: names the stage, what there is, and the nearest match.
    """
    for name, stage in further.items():
        if name not in names:
            raise ColumnError(
                f"the stage {stage!r} reads the column {name!r}, which the data does not have."
                f"{did_you_mean(name, names)} Its columns are: {listing(names)}. A field of a "
                "struct becomes a column of its own by dataset.flatten()."
            )


def read_further(
    batch: pa.Table | Mapping[str, Any], name: str, first_row: int | None = None
) -> Sequence[list[str]]:
    """Read a further column of texts, or of lists of texts, as one list a row.

    Nothing (``None``, an empty list) is an empty list.

    Args:
        batch: an Arrow table, or a dict of lists.
        name: the column.
        first_row: number of the first row in the whole data, for error messages.

    Raises:
        QueryError: a value that is empty or not text.
    """
    values = _values(batch, name)
    return [_further_list(value, name, row, first_row) for row, value in enumerate(values)]


def _further_list(value: object, name: str, row: int, first_row: int | None) -> list[str]:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if value is None:
        return []
    items = value if isinstance(value, list | tuple) else [value]
    for item in items:
        if not isinstance(item, str) or not item.strip():
            raise QueryError(
                f"{_where(name, row, first_row)}: a value is {item!r} ({type(item).__name__}); "
                "expected a text that is not empty, or a list of such texts, which may be empty. "
                "Drop such values first; a field of a struct becomes a column of its own by "
                "dataset.flatten()."
            )
    return list(items)
