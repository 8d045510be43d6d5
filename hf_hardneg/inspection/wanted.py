"""Which rows somebody wants to see, and which were found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.checks import one_of
from hf_hardneg.errors import ParameterError
from hf_hardneg.inspection.suspicion import REASONS

__all__ = ["ORDERS", "PAGE", "SEARCHED", "Found", "Wanted"]

OWNER = "rows"
PAGE = 20
"""Rows of a page."""
SEARCHED = ("queries", "all texts")
"""Where words are searched for: in the queries, or also in positives and negatives."""
ORDERS = ("row", "suspicious")
LONGEST = 1_000
LONGEST_DOCUMENT = 1_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are wanted: those of which all of this is so.

    Args:
        reasons: rows with any of these of :data:`REASONS`; none for all rows.
        short: rows with fewer negatives than were asked for.
        search: words, all of which stand in one text of the row.
        search_in: one of :data:`SEARCHED`.
        document: rows that have this document, by its id or its exact text, as a positive or a
            negative; empty for all rows.
        order: ``row``, by number, or ``suspicious``, the most suspicious first.

    Raises:
        ParameterError: a value that is none of those, a search of more than 1,000 characters, or
            one with half of a surrogate pair.
    """

    reasons: frozenset[str] = frozenset()
    short: bool = False
    search: str = ""
    search_in: str = SEARCHED[0]
    document: str = ""
    order: str = ORDERS[0]

    def __post_init__(self) -> None:
        """Check the values."""
        reasons: Iterable[str] = self.reasons
        object.__setattr__(self, "reasons", frozenset(reasons))
        for reason in sorted(self.reasons):
            one_of(OWNER, "reasons", reason, list(REASONS))
        one_of(OWNER, "search_in", self.search_in, list(SEARCHED))
        one_of(OWNER, "order", self.order, list(ORDERS))
        for name, text, most in (("search", self.search, LONGEST),
                                 ("document", self.document, LONGEST_DOCUMENT)):  # fmt: skip
            if len(text) > most:
                raise ParameterError(
                    f"{OWNER}: {name} has {len(text):,} characters; expected at most {most:,}. "
                    "Give fewer."
                )
            if any("\ud800" <= letter <= "\udfff" for letter in text):
                raise ParameterError(
                    f"{OWNER}: {name} holds half of a surrogate pair, which no text of a set has; "
                    "expected whole characters. Type it anew."
                )


@dataclass(frozen=True, slots=True)
class Found:
    """The rows that were found, as far as has been looked.

    Attributes:
        rows: their numbers in the order that was asked for, shape (found,).
        looked_at: rows that have been looked at.
        of: rows of the set.
        complete: whether nothing further will be found.
        note: what a reader should know; empty where nothing.
    """

    rows: NDArray[np.int64] = field(repr=False)
    looked_at: int
    of: int
    complete: bool
    note: str = ""

    @property
    def total(self) -> int:
        """How many rows were found so far."""
        return len(self.rows)

    def page(self, number: int, size: int = PAGE) -> NDArray[np.int64]:
        """Return the rows of one page, counted from 0; empty beyond the last."""
        return self.rows[max(number, 0) * size : (max(number, 0) + 1) * size]

    def place_of(self, row: int) -> int | None:
        """Return the place of a row among those found, from 0; ``None`` where it is not there."""
        places = np.flatnonzero(self.rows == row)
        return int(places[0]) if len(places) else None

    def beside(self, row: int, step: int = 1) -> int | None:
        """Return the row so many places after a row (before it if negative), ``None`` beyond.

        Of a row that was not found, the next by number is meant.
        """
        place = self.place_of(row)
        if place is None:
            others = self.rows[self.rows > row] if step > 0 else self.rows[self.rows < row]
            if not len(others):
                return None
            return int(others.min() if step > 0 else others.max())
        target = place + step
        return int(self.rows[target]) if 0 <= target < len(self.rows) else None
