"""What every check of an audit has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.evaluation.finding import Finding, Place, Tally
from hf_hardneg.evaluation.keyed_batch import KeyedBatch
from hf_hardneg.mined_set import MinedSet

__all__ = ["Check", "comparable"]


class Check(ABC):
    """One thing that can be wrong with a mined set.

    It sees all rows once, in batches, and keeps counts and the places of its first cases.

    Args:
        examples: how many places to keep.

    Attributes:
        name, title, severity, about, of: as :class:`~hf_hardneg.evaluation.finding.Finding` has
            them.
        remarks: what is particular about some of the places.
    """

    name: str
    title: str
    severity: str
    about: str
    of: str = "negatives"

    def __init__(self, examples: int) -> None:
        """Start at none."""
        self.tally = Tally(examples)
        self.remarks: dict[Place, str] = {}

    def lacks(self, mined: MinedSet) -> str:
        """Return why the set cannot be checked for this, or nothing."""
        return ""

    @abstractmethod
    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows."""

    def finish(self) -> None:  # noqa: B027
        """Work out what only the end can tell; nothing by default."""

    def figures(self) -> dict[str, Any]:
        """Return further values, for JSON; none by default."""
        return {}

    def add_negatives(
        self, batch: KeyedBatch, marks: NDArray[np.bool_], why: Mapping[str, NDArray[np.bool_]]
    ) -> None:
        """Count marks of negatives, and say of the first ones which of several reasons holds."""
        before = len(self.tally.places)
        offsets = batch.negatives.offsets
        self.tally.add_negatives(batch.start, offsets, marks)
        for row, place in self.tally.places[before:]:
            number = int(offsets[row - batch.start]) + place
            held = (name for name, own in why.items() if own[number])
            self.remarks[row, place] = next(held, "")

    def finding(self) -> Finding:
        """Return what was found, without examples."""
        tally = self.tally
        return Finding(
            self.name,
            self.title,
            self.severity,
            self.about,
            self.of,
            tally.count,
            tally.rows,
            tally.checked,
            {name: count for name, count in tally.parts.items() if count},
            self.figures(),
        )

    def unchecked(self, why: str) -> Finding:
        """Return that it was not checked."""
        return Finding(
            self.name, self.title, self.severity, self.about, self.of, None, None, 0, skipped=why
        )


def comparable(mined: MinedSet) -> list[str]:
    """Return by what negatives can be compared with positives: ``text``, ``id``, both, neither."""
    pairs = {"text": ("positives", "negatives"), "id": ("positive_ids", "negative_ids")}
    return [by for by, (one, other) in pairs.items() if mined.has(one) and mined.has(other)]
