"""Always on: what is known to be relevant, or is the query itself, is never a negative."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries, among
from hf_hardneg.filters.base import Filter
from hf_hardneg.hashing import EMPTY_TEXT_KEY

__all__ = ["ALWAYS_ON", "KnownPositiveIds", "KnownPositiveTexts", "QueryText"]


class KnownPositiveIds(Filter):
    """Drops the documents that are positives in any row of the query."""

    name = "known-positive"

    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Keep what is not a known positive's row."""
        return ~among(candidates.rows, queries.known_offsets, queries.known_rows)


class KnownPositiveTexts(Filter):
    """Drops the documents whose normalised text is that of a positive in any row of the query."""

    name = "positive-text"

    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Keep what has not a known positive's text."""
        return ~among(candidates.document_keys, queries.known_offsets, queries.known_keys)


class QueryText(Filter):
    """Drops the documents that are the query's own text, or have no text at all."""

    name = "query-text"

    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Keep what is neither the query nor empty."""
        keys = candidates.document_keys
        kept: NDArray[np.bool_] = (keys != queries.keys[:, None]) & (keys != EMPTY_TEXT_KEY)
        return kept


ALWAYS_ON: tuple[Filter, ...] = (KnownPositiveIds(), KnownPositiveTexts(), QueryText())
"""The filters that every selection begins with, in this order."""
