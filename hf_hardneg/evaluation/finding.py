"""What a check of an audit found, and where."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ERROR", "INFO", "NO_PLACE", "WARNING", "Example", "Finding", "Place", "Tally"]

ERROR, WARNING, INFO = "error", "warning", "info"
NO_PLACE = -1

Place = tuple[int, int]
"""Row, and place among its negatives or :data:`NO_PLACE`."""


@dataclass(frozen=True, slots=True)
class Example:
    """One case, its texts cut.

    Attributes:
        row: number of the row, from 0.
        place: place among the negatives of the row, from 0; ``None`` where it is the row.
        query_id, query: of the row; an empty id where there is none.
        positive: the first positive, or its id where there is no text.
        negative: likewise; ``None`` where it is the row.
        score, positive_score: where they are known.
        note: what is particular about it.
    """

    row: int
    place: int | None
    query_id: str
    query: str
    positive: str
    negative: str | None
    score: float | None = None
    positive_score: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        name: of the check, as JSON has it.
        title: of the check, for people.
        severity: ``error``: the set teaches what is wrong, or cannot be what was meant;
            ``warning``: likely to be so, look at it; ``info``: may well be meant.
        about: the rule, in one or two sentences.
        of: what is counted: ``negatives`` or ``rows``.
        count: how many; ``None`` if it was not checked.
        rows: rows concerned; ``None`` likewise.
        checked: how many were looked at, of ``of``.
        parts: counts within ``count``, by what they are.
        figures: further values, by what they are.
        examples: the first by row.
        skipped: why it was not checked.
    """

    name: str
    title: str
    severity: str
    about: str
    of: str
    count: int | None
    rows: int | None
    checked: int
    parts: dict[str, int] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)
    skipped: str = ""

    @property
    def share(self) -> float | None:
        """How large a share of what was looked at."""
        return self.count / self.checked if self.count is not None and self.checked else None

    @property
    def found(self) -> bool:
        """Whether there is anything."""
        return bool(self.count)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "share": self.share}


class Tally:
    """Counts marks while batches go by, and remembers where the first ones are.

    Args:
        examples: how many places to remember.
    """

    def __init__(self, examples: int) -> None:
        """Start at none."""
        self._examples = examples
        self.count = self.rows = self.checked = 0
        self.parts: dict[str, int] = {}
        self.places: list[Place] = []

    def add_negatives(
        self, start: int, offsets: NDArray[np.int64], marks: NDArray[np.bool_]
    ) -> None:
        """Count marks of negatives.

        Args:
            start: number of the first row.
            offsets: the negatives of row i are ``[offsets[i]:offsets[i + 1]]``.
            marks: one for each negative.
        """
        found = np.flatnonzero(marks)
        if not len(found):
            return
        owners = np.searchsorted(offsets, found, side="right") - 1
        self.count += len(found)
        self.rows += 1 + int(np.count_nonzero(np.diff(owners)))
        left = self._examples - len(self.places)
        for place, owner in zip(found[:left].tolist(), owners[:left].tolist(), strict=True):
            self.places.append((start + owner, place - int(offsets[owner])))

    def add_rows(self, start: int, marks: NDArray[np.bool_]) -> None:
        """Count marks of rows."""
        found = np.flatnonzero(marks)
        self.count += len(found)
        self.rows += len(found)
        left = self._examples - len(self.places)
        self.places += [(start + row, NO_PLACE) for row in found[:left].tolist()]

    def add_part(self, name: str, count: int | np.integer[Any]) -> None:
        """Count within the count."""
        self.parts[name] = self.parts.get(name, 0) + int(count)
