"""Checks of scores: above the positive's, missing, or all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.evaluation.audit_check import Check
from hf_hardneg.evaluation.finding import WARNING
from hf_hardneg.evaluation.keyed_batch import KeyedBatch
from hf_hardneg.mined_set import MinedSet

__all__ = ["ConstantScores", "MissingScores", "Outscoring"]

NO_SCORES = "the set has no scores of negatives"
MIN_SCORES = 2


class Outscoring(Check):
    """Negatives scored above every positive of their row."""

    name = "outscores_positive"
    title = "Negative that outscores the positive"
    severity = WARNING
    about = (
        "The score of the negative is above that of every positive of its row. Where both scores "
        "come from one model, these are the negatives that are most often false."
    )

    def lacks(self, mined: MinedSet) -> str:
        """Return why the set cannot be checked for this, or nothing."""
        if not mined.has("negative_scores"):
            return NO_SCORES
        return "" if mined.has("positive_scores") else "the set has no scores of positives"

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows; a negative or a row without a score is not compared."""
        if batch.negatives.scores is None or batch.positives.scores is None:
            return
        best = np.full(len(batch), -np.inf, np.float32)
        own = batch.positives.scores
        known = np.isfinite(own)
        np.maximum.at(best, batch.positives.owners[known], own[known])
        limit = best[batch.negatives.owners]
        there = np.isfinite(limit) & np.isfinite(batch.negatives.scores)
        self.tally.checked += int(np.count_nonzero(there))
        marks = there & (np.nan_to_num(batch.negatives.scores, nan=-np.inf) > limit)
        self.tally.add_negatives(batch.start, batch.negatives.offsets, marks)


class MissingScores(Check):
    """Negatives without a score, in a set that has scores."""

    name = "missing_score"
    title = "Missing score"
    severity = WARNING
    about = (
        "The negative has no score, or one that is no finite number, while others have one. Fill "
        "has none by design and is not counted."
    )

    def __init__(self, examples: int) -> None:
        """Start at none."""
        super().__init__(examples)
        self._fill = 0

    def lacks(self, mined: MinedSet) -> str:
        """Return why the set cannot be checked for this, or nothing."""
        return "" if mined.has("negative_scores") else NO_SCORES

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows."""
        if batch.negatives.scores is None:
            return
        marks = ~np.isfinite(batch.negatives.scores)
        self.tally.checked += len(marks)
        if batch.filled is not None:
            self._fill += int(np.count_nonzero(marks & batch.filled))
            marks &= ~batch.filled
        self.tally.add_negatives(batch.start, batch.negatives.offsets, marks)

    def figures(self) -> dict[str, Any]:
        """Return how many are fill."""
        return {"fill_without_score": self._fill} if self._fill else {}


class ConstantScores(Check):
    """Rows in which all negatives have one score."""

    name = "constant_scores"
    title = "Constant scores"
    severity = WARNING
    about = (
        "All negatives of the row have the same score, two at least: such scores say nothing, and "
        "a loss that distils them learns nothing."
    )
    of = "rows"

    def __init__(self, examples: int) -> None:
        """Start at none."""
        super().__init__(examples)
        self._lowest, self._highest = np.inf, -np.inf

    def lacks(self, mined: MinedSet) -> str:
        """Return why the set cannot be checked for this, or nothing."""
        return "" if mined.has("negative_scores") else NO_SCORES

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows; those with fewer than two scores are not looked at."""
        if batch.negatives.scores is None:
            return
        known = np.isfinite(batch.negatives.scores)
        scores, owners = batch.negatives.scores[known], batch.negatives.owners[known]
        lowest, highest = _ends(scores, owners, len(batch))
        several = np.bincount(owners, minlength=len(batch)) >= MIN_SCORES
        self.tally.checked += int(np.count_nonzero(several))
        self.tally.add_rows(batch.start, several & (lowest == highest))
        if len(scores):
            self._lowest = min(self._lowest, float(scores.min()))
            self._highest = max(self._highest, float(scores.max()))

    def figures(self) -> dict[str, Any]:
        """Return the lowest and the highest score of the set, and whether they are one."""
        if not self._lowest <= self._highest:
            return {}
        same = self._lowest == self._highest
        return {"lowest": self._lowest, "highest": self._highest, "one_score_everywhere": same}


def _ends(
    scores: NDArray[np.float32], owners: NDArray[np.int64], rows: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the lowest and the highest score of each row."""
    lowest, highest = np.full(rows, np.inf, np.float32), np.full(rows, -np.inf, np.float32)
    np.minimum.at(lowest, owners, scores)
    np.maximum.at(highest, owners, scores)
    return lowest, highest
