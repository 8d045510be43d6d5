"""Going through the texts of all rows: which negatives are nearly a positive of their row."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hf_hardneg.evaluation.near_pairs import NEAR, nearest_positive
from hf_hardneg.inspection.kept import KeptRows
from hf_hardneg.mined_set import MinedBatch, MinedSet

__all__ = ["NearStep", "near_of", "near_texts_lack"]

AT_ONCE = 500
MOST = 255
REST = 0.1
"""Seconds of rest for a second of work, so that whoever looks at rows meanwhile is answered."""


def near_texts_lack(mined: MinedSet) -> str:
    """Return why near-duplicates cannot be looked for; empty where they can."""
    if mined.has("positives") and mined.has("negatives"):
        return ""
    sides = [side for side in ("positives", "negatives") if not mined.has(side)]
    return f"the texts of the {' and the '.join(sides)} are not known; give the corpus"


def near_of(batch: MinedBatch) -> list[list[float]]:
    """Return for each negative of each row how much it resembles a positive of the row.

    The same document, by its id, is 1. A row without texts of one side has nothing but that.
    """
    sides = []
    for name in ("positives", "negatives", "positive_ids", "negative_ids"):
        has = batch.has(name)
        sides.append(batch.table[name].to_pylist() if has else [None] * len(batch))
    found = []
    for positives, negatives, positive_ids, negative_ids in zip(*sides, strict=True):
        near = nearest_positive(positives or [], negatives or [])
        own = {name for name in positive_ids or [] if name}
        names = negative_ids or []
        near += [0.0] * (len(names) - len(near))
        for place, name in enumerate(names):
            if name in own:
                near[place] = 1.0
        found.append(near)
    return found


class NearStep:
    """Counts the near-duplicates of each row.

    Args:
        path: of the file that keeps it.
        mined: the set.

    Attributes:
        kept: by row ``near``, the negatives that are, 255 at most.
    """

    name = "near-duplicates"

    def __init__(self, path: Path, mined: MinedSet) -> None:
        """Read what is kept."""
        self.kept = KeptRows(path, len(mined), (("near", "u1"),))
        self._mined, self._lacks = mined, near_texts_lack(mined)

    @property
    def done(self) -> int:
        """Rows that have been looked at; all of them where there is nothing to look at."""
        return self.of if self._lacks else self.kept.done

    @property
    def of(self) -> int:
        """Rows."""
        return len(self.kept.values)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Look at the rows that are left."""
        for start in range(self.done, self.of, AT_ONCE):
            if stopped():
                return
            begun = time.perf_counter()
            batch = self._mined.part(start, min(start + AT_ONCE, self.of))
            counts = [sum(one >= NEAR for one in own) for own in near_of(batch)]
            self.kept.put(start, near=np.minimum(counts, MOST).astype(np.uint8))
            time.sleep(REST * (time.perf_counter() - begun))
