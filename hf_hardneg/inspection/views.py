"""What one row of a mined set shows to a person: plain values, nothing drawn."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["CHOSEN", "DocumentView", "RowView"]

CHOSEN = "chosen"
"""Outcome of a candidate that became a negative; see :func:`hf_hardneg.outcomes.outcome_names`."""


@dataclass(frozen=True, slots=True)
class DocumentView:
    """One document of a row.

    Attributes:
        side: ``positive``, ``negative``, or ``rejected``: a candidate that is no negative.
        place: its place in the list of its side, from 0.
        document_id: empty where it is not known.
        text: empty where it is not known.
        score: the retriever's; ``None`` where it is not known.
        rank: among the candidates, from 1; ``None`` where it is not known.
        source: the retriever that found it; empty where it is not known.
        outcome: what became of it: ``chosen``, ``not needed``, ``promoted by STAGE``, or the stage
            that took it out; empty where it is not known.
        passed: the stages that it passed before that, in their order.
        model_score: what a cross-encoder among the stages gave it; ``None`` where none was asked.
        filled: whether it is fill: chosen without asking every stage.
    """

    side: str
    place: int
    document_id: str = ""
    text: str = ""
    score: float | None = None
    rank: int | None = None
    source: str = ""
    outcome: str = ""
    passed: tuple[str, ...] = ()
    model_score: float | None = None
    filled: bool = False


@dataclass(frozen=True, slots=True)
class RowView:
    """One row: a query with its documents.

    Attributes:
        number: of the row, from 0.
        query_id: empty where it is not known.
        query: its text, or its id where no text is known.
        positives, negatives: in the order of the row.
        rejected: candidates that did not become negatives, by rank; empty without a pool.
        notes: what a reader should know of this row.
    """

    number: int
    query_id: str
    query: str
    positives: tuple[DocumentView, ...]
    negatives: tuple[DocumentView, ...]
    rejected: tuple[DocumentView, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain values that JSON can write."""
        return asdict(self)
