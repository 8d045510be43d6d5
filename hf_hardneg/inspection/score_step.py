"""Going through the scores of all rows: which negatives outscore their positive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.hardness_scores import row_maximum
from hf_hardneg.inspection.kept import KeptRows
from hf_hardneg.inspection.row_scores import RowScores, ScoreSource, excesses

__all__ = ["ScoreStep"]

AT_ONCE = 10_000
MOST = 255
FIELDS = (("outscoring", "u1"), ("negatives", "u4"), ("excess", "f4"), ("judged", "f4"))


class ScoreStep:
    """Counts of each row what its scores say.

    Args:
        path: of the file that keeps it.
        rows: of the set.
        source: gives the scores.

    Attributes:
        kept: by row ``outscoring`` (negatives, 255 at most), ``negatives``, ``excess`` (by how much
            the best outscores the positive, ``nan`` where that is not known) and ``judged`` (the
            best score of a cross-encoder, ``nan`` likewise).
    """

    name = "scores"

    def __init__(self, path: Path, rows: int, source: ScoreSource) -> None:
        """Read what is kept."""
        self.kept = KeptRows(path, rows, FIELDS)
        self._source = source

    @property
    def done(self) -> int:
        """Rows that have been looked at."""
        return self.kept.done

    @property
    def of(self) -> int:
        """Rows."""
        return len(self.kept.values)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Look at the rows that are left."""
        start = self.kept.done
        for scores in self._source.batches(start, AT_ONCE):
            if stopped():
                return
            self.kept.put(start, **_of_rows(scores))
            start = self.kept.done


def _of_rows(scores: RowScores) -> dict[str, NDArray[Any]]:
    offsets, excess = scores.negative_offsets, excesses(scores)
    with np.errstate(invalid="ignore"):
        marks = excess >= 0
    before = np.concatenate([[0], np.cumsum(marks)])
    counts = before[offsets[1:]] - before[offsets[:-1]]
    return {
        "outscoring": np.minimum(counts, MOST).astype(np.uint8),
        "negatives": np.diff(offsets).astype(np.uint32),
        "excess": _best(offsets, excess),
        "judged": _best(offsets, scores.judged),
    }


def _best(offsets: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.float32]:
    best = row_maximum(offsets, np.where(np.isnan(values), -np.inf, values).astype(np.float64))
    return np.where(np.isneginf(best), np.nan, best).astype(np.float32)
