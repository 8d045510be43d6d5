"""One mined row, as the writers of other trainers' files take it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Document", "MinedRow"]


class Document(NamedTuple):
    """One document of the corpus: the user's own id and the text."""

    id: str
    text: str


class MinedRow(NamedTuple):
    """A query, its positives and its negatives, with ids and scores.

    The three positive fields have equal length, and so have the three negative ones. A score is
    ``None`` where the retriever gives none (random documents, filled slots). A positive whose
    text is not a document of the corpus has the id ``""``.
    """

    query_id: str
    query: str
    positive_ids: list[str]
    positives: list[str]
    positive_scores: list[float | None]
    negative_ids: list[str]
    negatives: list[str]
    negative_scores: list[float | None]
