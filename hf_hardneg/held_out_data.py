"""What is held out for evaluation: its queries, and the documents that are relevant to them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.beir import read_qrels, read_queries
from hf_hardneg.candidates import NO_ROW
from hf_hardneg.columns import QUERY_NAMES, QueryColumns, find_columns, read_batch
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ColumnError, ParameterError, QueryError, listing
from hf_hardneg.hashing import text_keys
from hf_hardneg.queries import batches_of

__all__ = ["held_out_documents", "held_out_query_keys", "source_name", "source_of"]

TEXT_NAMES = (*QUERY_NAMES, "text")
BATCH = 10_000


def source_of(owner: str, name: str, value: object) -> str | Dataset:
    """Return a path as text, as it was given, or a data set.

    Raises:
        ParameterError: it is neither, or there is no such file.
    """
    if isinstance(value, str | os.PathLike) and os.fspath(value):
        path = str(os.fspath(value))
        if not os.path.exists(path):
            raise ParameterError(
                f"{owner}: {name}={path!r}: there is no such file; expected the path of one, from "
                "the folder that you are in, or a Dataset."
            )
        return path
    if isinstance(value, Dataset):
        return value
    shown = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
    raise ParameterError(f"{owner}: {name} is {shown}; expected the path of a file or a Dataset.")


def source_name(source: str | Dataset) -> str:
    """Return how a source stands in a strategy string; a data set stands by its fingerprint."""
    return source if isinstance(source, str) else f"dataset {source._fingerprint}"


def held_out_documents(
    owner: str, source: str | Dataset, corpus: Corpus
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return the corpus rows and the text keys of what is relevant to held-out queries, sorted.

    Args:
        owner: name of the stage that asks, for error messages.
        source: the path of a file of judgements, whose documents with a grade above 0 count, or
            a data set with positives by text, by id, or both.
        corpus: the documents. A text that it does not have is a key without a row.

    Raises:
        QueryError: there are no such documents, or ids that the corpus does not have.
        FormatError: the file cannot be read.
        ColumnError: the data set has no positives.
    """
    ids, texts = _judged(source) if isinstance(source, str) else _positives(source)
    rows = corpus.rows_of_ids(ids)
    unknown = [ids[place] for place in np.flatnonzero(rows == NO_ROW)]
    if unknown:
        raise QueryError(
            f"{owner}: {len(unknown)} of {len(ids)} held-out document ids are not in the corpus, "
            f"for example {listing(map(repr, unknown), limit=3)}. The corpus has {len(corpus)} "
            f"documents with ids such as {listing(corpus.ids(range(min(3, len(corpus)))))}. Give "
            "the judgements of this corpus; a document that is not known cannot be kept out."
        )
    if not (ids or texts):
        raise QueryError(
            f"{owner}: {source_name(source)!r} has no judgement above 0, so nothing is held out. "
            "Expected at least one."
        )
    keys = np.concatenate([text_keys(texts), corpus.document_keys[rows]])
    found = corpus.rows_of_keys(keys)
    return np.unique(np.concatenate([rows, found[found != NO_ROW]])), np.unique(keys)


def _judged(path: str) -> tuple[list[str], list[str]]:
    """Return the distinct ids of the relevant documents of a file of judgements."""
    judgements = read_qrels(Path(path).expanduser())
    return list(dict.fromkeys(name for _, name, grade in judgements if grade > 0)), []


def _positives(rows: Dataset) -> tuple[list[str], list[str]]:
    """Return the distinct ids and texts of the positives of a data set."""
    ids: dict[str, None] = {}
    texts: dict[str, None] = {}
    columns = find_columns(rows.column_names, QueryColumns())
    for batch in batches_of(rows, BATCH):
        raw = read_batch(batch, columns)
        for known, lists in ((ids, raw.positive_ids), (texts, raw.positives)):
            for own in lists or ():
                known.update(dict.fromkeys(own))
    return list(ids), list(texts)


def held_out_query_keys(
    owner: str, source: str | Dataset, judgements: str | None
) -> NDArray[np.uint64]:
    """Return the keys of the normalised held-out queries, sorted.

    Args:
        owner: name of the stage that asks, for error messages.
        source: the path of a file of queries with ids and texts, or a data set.
        judgements: the path of a file of judgements; of the file of queries those that it judges.

    Raises:
        QueryError: there are no queries, or judged ones are missing.
        FormatError: a file cannot be read.
        ColumnError: the data set has no column of queries.
    """
    if isinstance(source, Dataset):
        texts: Iterable[str] = _queries(owner, source)
    else:
        by_id = read_queries(Path(source).expanduser())
        texts = by_id.values() if judgements is None else _of(owner, by_id, source, judgements)
    keys = np.unique(text_keys(texts))
    if not len(keys):
        raise QueryError(
            f"{owner}: {source_name(source)!r} holds no queries; expected at least one."
        )
    return keys


def _of(owner: str, by_id: dict[str, str], source: str, judgements: str) -> list[str]:
    """Return the texts of the queries that are judged."""
    judged = dict.fromkeys(name for name, _, _ in read_qrels(Path(judgements).expanduser()))
    missing = [name for name in judged if name not in by_id]
    if missing:
        raise QueryError(
            f"{owner}: {judgements!r} judges {len(missing)} queries that are not in {source!r}, "
            f"for example {listing(map(repr, missing), limit=3)}. Give the queries that were "
            "judged."
        )
    return [by_id[name] for name in judged]


def _queries(owner: str, rows: Dataset) -> list[str]:
    """Return the queries of a data set."""
    name = next((name for name in TEXT_NAMES if name in rows.column_names), None)
    if name is None:
        raise ColumnError(
            f"{owner}: no column of queries: expected one of {listing(TEXT_NAMES)}, found "
            f"{listing(rows.column_names)}. Rename it: dataset.rename_column(...)."
        )
    texts: list[Any] = list(rows[name])
    if not all(isinstance(text, str) for text in texts):
        raise QueryError(f"{owner}: column {name!r} holds what is no text; expected texts alone.")
    return texts
