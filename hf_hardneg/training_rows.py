"""The texts of training data as a loss reads them: a query, its positives, its negatives.

Sentence-transformers takes the first column of a training set for the query, the second for the
positive and every further one for a negative; the label, if there is one, stands apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.errors import ColumnError, ParameterError, did_you_mean, listing
from hf_hardneg.hashing import text_keys

__all__ = ["KeyLists", "RowKeys", "TrainingColumns", "read_keys", "read_queries", "row_count"]

ROWS_AT_ONCE = 8192
LABELS = ("label", "labels", "score", "scores")
RESERVED = ("dataset_name",)
"""Put there by the trainer of sentence-transformers, and never a text for the loss."""


@dataclass(frozen=True, slots=True)
class TrainingColumns:
    """Names of columns; ``None`` means: by their order, as the trainer's losses read them.

    Attributes:
        query: the column of the queries.
        positives: columns of positives, texts or lists of texts.
        negatives: columns of negatives, texts or lists of texts.
        labels: the first of these that is there is the label, and no text.
    """

    query: str | None = None
    positives: str | Sequence[str] | None = None
    negatives: str | Sequence[str] | None = None
    labels: Sequence[str] | None = None


class KeyLists(NamedTuple):
    """One list of keys a row.

    Attributes:
        offsets: shape (rows + 1,); those of row i are ``keys[offsets[i]:offsets[i + 1]]``.
        keys: all keys.
    """

    offsets: NDArray[np.int64]
    keys: NDArray[np.uint64]


class RowKeys(NamedTuple):
    """The keys of the normalised texts of all rows.

    Attributes:
        queries: shape (rows,).
        positives: of each row.
        negatives: of each row.
    """

    queries: NDArray[np.uint64]
    positives: KeyLists
    negatives: KeyLists


def row_count(owner: str, dataset: Any) -> int:  # noqa: ANN401
    """Return the number of rows.

    Raises:
        ParameterError: it has none, or none that is known, as a stream.
    """
    if not hasattr(dataset, "__len__"):
        raise ParameterError(
            f"{owner}: dataset is a {type(dataset).__name__}, whose rows cannot be picked by "
            "number; expected a Dataset. Batch samplers do not apply to streams."
        )
    if len(dataset) == 0:
        raise ParameterError(f"{owner}: the data set has no rows; expected one or more.")
    return len(dataset)


def read_queries(owner: str, dataset: Any, asked: TrainingColumns) -> list[str]:  # noqa: ANN401
    """Return the text of every query.

    Raises:
        ColumnError: there is no such column, or a query is no text.
        ParameterError: not a data set of ``datasets``.
    """
    names = _texts_of(owner, dataset, asked)
    query = _queried(owner, names, asked)
    return [
        _query(owner, query, start + row, value)
        for start, batch in _slices(dataset, [query])
        for row, value in enumerate(batch[query])
    ]


def read_keys(owner: str, dataset: Any, asked: TrainingColumns) -> RowKeys:  # noqa: ANN401
    """Return the keys of the texts of every row.

    Raises:
        ColumnError: a column is missing, or a value is no text.
        ParameterError: not a data set of ``datasets``.
    """
    names = _texts_of(owner, dataset, asked)
    query = _queried(owner, names, asked)
    positives, negatives = _roles(owner, names, query, asked)
    queries: list[NDArray[np.uint64]] = []
    columns: dict[str, list[KeyLists]] = {name: [] for name in (*positives, *negatives)}
    for start, batch in _slices(dataset, [query, *columns]):
        texts = [_query(owner, query, start + i, value) for i, value in enumerate(batch[query])]
        queries.append(text_keys(texts))
        for name, parts in columns.items():
            parts.append(_keyed(owner, name, start, batch[name], needed=name in positives))
    whole = {name: _stacked(parts) for name, parts in columns.items()}
    return RowKeys(
        np.concatenate(queries),
        _side_by_side([whole[name] for name in positives], len(dataset)),
        _side_by_side([whole[name] for name in negatives], len(dataset)),
    )


# -- which columns -------------------------------------------------------------------------------


def _texts_of(owner: str, dataset: Any, asked: TrainingColumns) -> list[str]:  # noqa: ANN401
    """Return the names of the columns that a loss would read, in their order."""
    if not isinstance(dataset, Dataset):
        raise ParameterError(
            f"{owner}: dataset is a {type(dataset).__name__}; expected a Dataset of the library "
            "datasets, whose texts can be read."
        )
    # A transform decides itself which columns there are.
    names = list(dataset[:1]) if _transformed(dataset) else list(dataset.column_names)
    label = next((name for name in asked.labels or LABELS if name in names), None)
    return [name for name in names if name != label and name not in RESERVED]


def _queried(owner: str, names: list[str], asked: TrainingColumns) -> str:
    if not names:
        raise ColumnError(f"{owner}: the data set has no column of texts; expected a query first.")
    return _checked(names, asked.query, names[:1], "query_column")[0]


def _roles(
    owner: str, names: list[str], query: str, asked: TrainingColumns
) -> tuple[list[str], list[str]]:
    """Return the columns of the positives and those of the negatives."""
    others = [name for name in names if name != query]
    taken = set(_as_list(asked.negatives))
    free = [name for name in others if name not in taken]
    positives = _checked(names, asked.positives, free[:1], "positive_columns")
    rest = [name for name in others if name not in positives]
    negatives = _checked(names, asked.negatives, rest, "negative_columns")
    both = sorted({query, *positives} & set(negatives) | {query} & set(positives))
    if both:
        raise ColumnError(
            f"{owner}: column {both[0]!r} is named for two of query, positives and negatives; "
            "expected one role a column."
        )
    if not positives:
        raise ColumnError(
            f"{owner}: no column of positives among {listing(names)}; expected one after the "
            "query. Name it with positive_columns=..."
        )
    return positives, negatives


def _as_list(asked: str | Sequence[str] | None) -> list[str]:
    if asked is None:
        return []
    return [asked] if isinstance(asked, str) else list(asked)


def _checked(
    names: list[str], asked: str | Sequence[str] | None, usual: list[str], parameter: str
) -> list[str]:
    if asked is None:
        return usual
    for name in _as_list(asked):
        if name not in names:
            raise ColumnError(
                f"the data has no text column {name!r} ({parameter}).{did_you_mean(name, names)} "
                f"Its columns are: {listing(names)}."
            )
    return _as_list(asked)


# -- reading -------------------------------------------------------------------------------------


def _transformed(dataset: Dataset) -> bool:
    return bool(dataset.format["type"] == "custom")


def _slices(dataset: Dataset, names: list[str]) -> Iterator[tuple[int, dict[str, list[Any]]]]:
    """Yield the number of a first row, and that row and some after it as Python values."""
    if not _transformed(dataset):
        dataset = dataset.with_format(None).select_columns(names)
    for start in range(0, len(dataset), ROWS_AT_ONCE):
        yield start, dataset[start : start + ROWS_AT_ONCE]


def _wrong(owner: str, name: str, row: int, value: object, expected: str) -> ColumnError:
    return ColumnError(
        f"{owner}: column {name!r}, row {row}: {value!r} ({type(value).__name__}); expected "
        f"{expected}. Name the columns of texts with query_column, positive_columns and "
        "negative_columns, or leave such rows out."
    )


def _query(owner: str, name: str, row: int, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(owner, name, row, value, "a text")
    return value


def _keyed(
    owner: str, name: str, start: int, values: Sequence[object], *, needed: bool
) -> KeyLists:
    """Return the keys of a column of texts or of lists of texts; ``None`` is no text at all."""
    flat: list[str] = []
    counts = np.zeros(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        if isinstance(value, str):
            flat.append(value)
            counts[row] = 1
            continue
        items: list[Any] = list(value) if isinstance(value, list | tuple) else [value]
        texts = [item for item in items if isinstance(item, str)]
        absent = sum(item is None for item in items)
        if len(texts) + absent < len(items) or (needed and not texts):
            raise _wrong(owner, name, start + row, value, "a text or a list of texts")
        flat += texts
        counts[row] = len(texts)
    return KeyLists(_offsets(counts), text_keys(flat))


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _stacked(parts: list[KeyLists]) -> KeyLists:
    """Put the rows of one part after those of another."""
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    return KeyLists(_offsets(counts), np.concatenate([part.keys for part in parts]))


def _side_by_side(columns: list[KeyLists], rows: int) -> KeyLists:
    """Make one list a row of those of several columns."""
    if not columns:
        return KeyLists(np.zeros(rows + 1, np.int64), np.zeros(0, np.uint64))
    counts = [np.diff(column.offsets) for column in columns]
    owners = np.concatenate([np.repeat(np.arange(rows), count) for count in counts])
    order = np.argsort(owners, kind="stable")
    keys = np.concatenate([column.keys for column in columns])[order]
    return KeyLists(_offsets(np.sum(counts, axis=0)), keys)
