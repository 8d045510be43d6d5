"""Labelled pairs of a query and a document, from a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.evaluation.label_rate import decided_labels
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.hashing import text_keys

__all__ = ["LabelledPairs", "read_labels"]

NO_ANSWER = ("unsure", "bad_query")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelledPairs:
    """Pairs that somebody has labelled; all of the same length.

    Attributes:
        name: where they are from.
        query_ids, query_keys: of the queries; an id may be empty.
        document_ids, document_keys: of the documents; likewise.
        with_text: whether there is a text of the document.
        labels: how relevant, 0 to 1.
        weights: 1 over the chance of having been drawn.
        left_out: lines without an answer, by why.
    """

    name: str
    query_ids: list[str]
    query_keys: NDArray[np.uint64]
    document_ids: list[str]
    document_keys: NDArray[np.uint64]
    with_text: NDArray[np.bool_]
    labels: Floats
    weights: Floats
    left_out: Mapping[str, int]


def read_labels(path: str | Path) -> LabelledPairs:
    """Read a file of labels: JSON lines as ``hf-hardneg sample`` writes them.

    What a pair's label is follows the rules of
    :func:`~hf_hardneg.evaluation.label_rate.label_rate`: of several annotators the mean of those
    who decided, of one annotator's several lines the last; not what anybody calls a bad query.
    Lines without a label yet, ``unsure``, ``bad_query`` and controls are left out and counted.

    Raises:
        FormatError: a line is malformed; names it.
    """
    labels = Labels.read(path)
    found = decided_labels(labels)
    rows = [row for row, _, _ in found]
    left_out = Counter(why for row in labels if (why := _unanswered(row)))
    return LabelledPairs(
        str(path),
        [row.query_id for row in rows],
        text_keys([row.query for row in rows]),
        [row.document_id for row in rows],
        text_keys([row.document for row in rows]),
        np.array([bool(row.document) for row in rows], dtype=np.bool_),
        np.array([value for _, value, _ in found], dtype=np.float64),
        np.array([weight for _, _, weight in found], dtype=np.float64),
        dict(left_out),
    )


def _unanswered(row: Label) -> str:
    if row.control:
        return "controls"
    if row.label is None:
        return "not labelled yet"
    return str(row.label) if row.label in NO_ANSWER else ""
