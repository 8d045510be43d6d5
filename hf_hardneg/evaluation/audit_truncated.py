"""Texts that look cut off: many that stop at one length, in the middle of a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.evaluation.audit_check import Check
from hf_hardneg.evaluation.finding import WARNING, Place
from hf_hardneg.evaluation.keyed_batch import KeyedBatch, Side
from hf_hardneg.evaluation.text_facts import Texts
from hf_hardneg.mined_set import MinedSet

__all__ = ["Truncated"]

FEWEST = 20
SHORTEST = {"characters": 100, "words": 32}
UNENDED = 0.5
ENOUGH = 1_000


class Pile:
    """The documents of the greatest length so far, by one way to measure length."""

    def __init__(self, unit: str, examples: int) -> None:
        """Start at the shortest length that a cut is looked for at."""
        self.unit, self._examples = unit, examples
        self.length = SHORTEST[unit] - 1
        self._clear()

    def _clear(self) -> None:
        self.count = self.rows = 0
        self.ended: dict[int, bool] = {}
        self.places: list[Place] = []

    def add(self, start: int, side: Side, texts: Texts, is_negative: bool) -> None:
        """Look at the documents of some rows."""
        lengths: NDArray[np.int64] = getattr(texts, self.unit)
        longest = int(lengths.max(initial=0))
        if longest > self.length:
            self.length = longest
            self._clear()
        if longest < self.length or self.length < SHORTEST[self.unit]:
            return
        found = np.flatnonzero(lengths == self.length)
        pairs = zip(texts.keys[found].tolist(), texts.ended[found].tolist(), strict=True)
        self.ended.update(pairs)
        if len(self.ended) > ENOUGH:  # those with the lowest hashes, whatever stands first
            self.ended = dict(sorted(self.ended.items())[:ENOUGH])
        if not is_negative:
            return
        marks = found[~texts.ended[found]]
        owners = side.owners[marks]
        self.count += len(marks)
        self.rows += len(np.unique(owners))
        for place, owner in zip(marks.tolist(), owners.tolist(), strict=True):
            if len(self.places) < self._examples:
                self.places.append((start + owner, place - int(side.offsets[owner])))

    @property
    def is_cut(self) -> bool:
        """Whether the pile is evidence of a cut."""
        broken = len(self.ended) - sum(self.ended.values())
        return len(self.ended) >= FEWEST and broken >= UNENDED * len(self.ended)


class Truncated(Check):
    """Negatives that end where a cut seems to have been made.

    Texts that were cut to a limit pile up at one length, which is the greatest of all, and most
    of them break off within a sentence. So there is evidence of a cut, in characters or in words,
    if at least 20 distinct documents (positives and negatives alike) have exactly the greatest
    length, this is at least 100 characters or 32 words, and at least half of them do not end with
    a full stop, a question mark or an exclamation mark (of several scripts, a bracket or quotation
    mark after it allowed). Counted are the negatives of that length without such an end. A cut by
    a tokeniser's limit leaves no common length in characters or words and is not seen; passages
    of a fixed number of words, as encyclopedias are often split, are seen, and cut they are.
    """

    name = "truncated_text"
    title = "Text that looks cut off"
    severity = WARNING
    about = (
        f"At least {FEWEST} distinct documents stop at exactly the greatest length that occurs (in "
        "characters or in words), most of them within a sentence. Cuts by a tokeniser leave no "
        "such mark and are not seen."
    )

    def __init__(self, examples: int) -> None:
        """Start at none."""
        super().__init__(examples)
        self._piles = [Pile(unit, examples) for unit in SHORTEST]

    def lacks(self, mined: MinedSet) -> str:
        """Return why the set cannot be checked for this, or nothing."""
        return "" if mined.has("negatives") else "the negatives have no texts; give --corpus"

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows."""
        self.tally.checked += len(batch.negatives)
        for pile in self._piles:
            for side in (batch.positives, batch.negatives):
                if side.texts is not None and len(side):
                    pile.add(batch.start, side, side.texts, side is batch.negatives)

    def finish(self) -> None:
        """Take the larger of the piles that are evidence of a cut: they are the same texts."""
        cut = [pile for pile in self._piles if pile.is_cut]
        if cut:
            most = max(cut, key=lambda pile: pile.count)
            self.tally.count, self.tally.rows = most.count, most.rows
            self.tally.places = most.places

    def figures(self) -> dict[str, Any]:
        """Return the lengths at which texts were cut."""
        return {f"cut_at_{pile.unit}": pile.length for pile in self._piles if pile.is_cut}
