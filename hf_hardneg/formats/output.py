"""Columns of each output format, from the rows that were chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Features, List, Value
from numpy.typing import NDArray

from hf_hardneg.arrow import list_array, nullable_floats, ragged
from hf_hardneg.candidates import NO_ROW, Queries
from hf_hardneg.checks import one_of
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import QueryError
from hf_hardneg.hashing import exact_key

__all__ = ["OUTPUT_FORMATS", "Chosen", "OutputFormat", "made_query_id", "output_format"]


def made_query_id(text: str) -> str:
    """Return the id of a query that has none of its own, made of its text."""
    return f"q-{exact_key(text):016x}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A batch of mined rows.

    Attributes:
        queries: the queries and their positives.
        rows: corpus rows of the negatives, shape (batch, n), -1 where empty.
        scores: their scores, ``nan`` where there is none.
        corpus: the documents.
    """

    queries: Queries
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    corpus: Corpus

    def positive_texts(self) -> pa.Array:
        """Return the positives' texts, flat, from the data or else from the corpus."""
        if self.queries.positive_texts:
            return pa.array(self.queries.positive_texts, pa.string())
        return self.corpus.text_array(self.queries.positive_rows)

    def query_ids(self) -> list[str]:
        """Return the user's ids of the queries, or ids made of their texts."""
        if self.queries.ids:
            return list(self.queries.ids)
        return [made_query_id(text) for text in self.queries.texts]


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """One output format.

    Attributes:
        name: what ``output_format`` is called.
        about: one line.
        features: its columns, given n.
        columns: makes the columns; also returns the input line of each output row, or ``None``
            if rows stay as they are.
        needs_full_rows: whether a row must have exactly n negatives.
        needs_negatives: whether a row without negatives has no place in it.
        keeps_columns: whether the other columns of the input stand beside by default. Trainers
            take every column as an input of the model, so the training formats do not.
        names_positives: whether it holds the positives' ids.
    """

    name: str
    about: str
    features: Callable[[int], Features]
    columns: Callable[[Chosen], tuple[dict[str, pa.Array], NDArray[np.int64] | None]]
    needs_full_rows: bool = False
    needs_negatives: bool = False
    keeps_columns: bool = False
    names_positives: bool = False


Columns = tuple[dict[str, pa.Array], NDArray[np.int64] | None]
TEXT = Value("string")


def _list_columns(chosen: Chosen) -> Columns:
    """Return one row a query, negatives as lists."""
    filled = chosen.rows != NO_ROW
    offsets, rows = ragged(filled), chosen.rows[filled]
    return {
        "hard_negatives": list_array(offsets, chosen.corpus.text_array(rows)),
        "hard_negative_ids": list_array(offsets, chosen.corpus.id_array(rows)),
        "hard_negative_scores": list_array(offsets, nullable_floats(chosen.scores[filled])),
    }, None


def _pairs(chosen: Chosen) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (line, place) of every positive: its query and its place in the flat positives."""
    counts = chosen.queries.positives_per_query
    return np.repeat(np.arange(len(chosen.queries)), counts), np.arange(counts.sum())


def _anchors(chosen: Chosen, lines: NDArray[np.int64]) -> pa.Array:
    return pa.array(chosen.queries.texts, pa.string()).take(pa.array(lines))


def _triplet(chosen: Chosen) -> Columns:
    """Return one row for each (positive, negative) of a query."""
    lines, places = _pairs(chosen)
    filled = chosen.rows != NO_ROW
    counts = np.count_nonzero(filled, axis=1)[lines]
    expanded = np.repeat(np.arange(len(lines)), counts)
    within = np.arange(len(expanded)) - np.repeat(np.cumsum(counts) - counts, counts)
    # Negatives fill a line from the left, so the place within is the slot.
    rows = chosen.rows[lines[expanded], within]
    return {
        "anchor": _anchors(chosen, lines[expanded]),
        "positive": chosen.positive_texts().take(pa.array(places[expanded])),
        "negative": chosen.corpus.text_array(rows),
    }, lines[expanded]


def _n_tuple(chosen: Chosen) -> Columns:
    """Return one row for each positive of a query that has all n negatives."""
    lines, places = _pairs(chosen)
    full = (chosen.rows != NO_ROW).all(axis=1)[lines]
    lines, places = lines[full], places[full]
    columns = {
        "anchor": _anchors(chosen, lines),
        "positive": chosen.positive_texts().take(pa.array(places)),
    }
    for slot in range(chosen.rows.shape[1]):
        columns[f"negative_{slot + 1}"] = chosen.corpus.text_array(chosen.rows[lines, slot])
    return columns, lines


def _passages(chosen: Chosen) -> tuple[NDArray[np.int64], NDArray[np.int64], pa.Array]:
    """Return (line, label, text) of every positive and negative, by query, positives first."""
    lines, _ = _pairs(chosen)
    filled = chosen.rows != NO_ROW
    negative_lines, slots = np.nonzero(filled)
    texts = pa.concat_arrays(
        [chosen.positive_texts(), chosen.corpus.text_array(chosen.rows[negative_lines, slots])]
    )
    owners = np.concatenate([lines, negative_lines])
    labels = np.concatenate([np.ones(len(lines), np.int64), np.zeros(len(slots), np.int64)])
    order = np.argsort(owners, kind="stable")
    return owners[order], labels[order], texts.take(pa.array(order))


def _labeled_pair(chosen: Chosen) -> Columns:
    """Return one row for each positive (label 1) and negative (label 0)."""
    lines, labels, texts = _passages(chosen)
    columns = {"anchor": _anchors(chosen, lines), "passage": texts, "label": pa.array(labels)}
    return columns, lines


def _labeled_list(chosen: Chosen) -> Columns:
    """Return one row a query: all passages and their labels as lists."""
    lines, labels, texts = _passages(chosen)
    counts = np.bincount(lines, minlength=len(chosen.queries))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    every = np.arange(len(chosen.queries))
    return {
        "anchor": _anchors(chosen, every),
        "passages": list_array(offsets, texts),
        "labels": list_array(offsets, pa.array(labels)),
    }, every


def _ids(chosen: Chosen) -> Columns:
    """Return one row a query with ids only, for ``sentence_transformers.util.resolve_ids``."""
    missing = np.flatnonzero(chosen.queries.positive_rows == NO_ROW)
    if len(missing):
        raise QueryError(
            f"the format 'ids' needs every positive to be a document of the corpus; {len(missing)} "
            "of this batch are not. Add them to the corpus, or use a format with texts."
        )
    filled = chosen.rows != NO_ROW
    return {
        "query_id": pa.array(chosen.query_ids(), pa.string()),
        "positive_ids": list_array(
            chosen.queries.offsets.astype(np.int32),
            chosen.corpus.id_array(chosen.queries.positive_rows),
        ),
        "negative_ids": list_array(ragged(filled), chosen.corpus.id_array(chosen.rows[filled])),
    }, np.arange(len(chosen.queries))


def _fixed(**columns: Any) -> Callable[[int], Features]:  # noqa: ANN401
    return lambda n: Features(columns)


def _n_tuple_features(n: int) -> Features:
    names = ["anchor", "positive", *(f"negative_{place + 1}" for place in range(n))]
    return Features(dict.fromkeys(names, TEXT))


LISTS = Features(
    {
        "hard_negatives": List(TEXT),
        "hard_negative_ids": List(TEXT),
        "hard_negative_scores": List(Value("float32")),
    }
)

OUTPUT_FORMATS: dict[str, OutputFormat] = {
    entry.name: entry
    for entry in (
        OutputFormat("columns", "the input with list columns of negatives, ids and scores",
                     lambda n: LISTS, _list_columns, keeps_columns=True),
        OutputFormat("triplet", "anchor, positive, negative",
                     _fixed(anchor=TEXT, positive=TEXT, negative=TEXT), _triplet,
                     needs_negatives=True),
        OutputFormat("n-tuple", "anchor, positive, negative_1 to negative_n", _n_tuple_features,
                     _n_tuple, needs_full_rows=True),
        OutputFormat("labeled-pair", "anchor, passage, label (1 or 0)",
                     _fixed(anchor=TEXT, passage=TEXT, label=Value("int64")), _labeled_pair),
        OutputFormat("labeled-list", "anchor, passages, labels",
                     _fixed(anchor=TEXT, passages=List(TEXT), labels=List(Value("int64"))),
                     _labeled_list),
        OutputFormat("ids", "query_id, positive_ids, negative_ids",
                     _fixed(query_id=TEXT, positive_ids=List(TEXT), negative_ids=List(TEXT)),
                     _ids, names_positives=True),
    )
}  # fmt: skip


def output_format(name: str) -> OutputFormat:
    """Return the output format of that name.

    Raises:
        ParameterError: there is no such format; names the nearest.
    """
    return OUTPUT_FORMATS[one_of("miner", "output_format", name, list(OUTPUT_FORMATS))]
