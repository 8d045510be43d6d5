"""Negatives that are nearly the text of a positive of their row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.evaluation.audit_check import Check
from hf_hardneg.evaluation.finding import WARNING
from hf_hardneg.evaluation.keyed_batch import KeyedBatch
from hf_hardneg.evaluation.near_pairs import NEAR, nearest_positive
from hf_hardneg.hashing import mix
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.near_texts import SHINGLE

__all__ = ["NearDuplicates"]

SEED = 0x6E656172


class NearDuplicates(Check):
    """Negatives whose shingles of words are nearly those of a positive of their row.

    The Jaccard resemblance of the two sets of shingles (three words each, of the normalised
    texts) is worked out exactly; it is what MinHash estimates (A. Broder, "On the resemblance and
    containment of documents", SEQUENCES 1997), and needs no estimate where a negative is compared
    with the few positives of its row alone. Own positives are another check's and do not count.

    It costs more than all other checks together, so that by default rows are drawn, by a hash of
    their query: each with the same probability, whatever the order of the rows, and all rows of a
    query or none.

    Args:
        examples: how many places to keep.
        sample: rows to look at, about so many; 0 for none.
        rows: rows of the set.
    """

    name = "near_duplicate"
    title = "Near-duplicate of the positive"
    severity = WARNING

    def __init__(self, examples: int, sample: int, rows: int) -> None:
        """Choose the probability of a row."""
        super().__init__(examples)
        self._sample, self._rows, self._limit = sample, rows, examples
        self._looked_at = 0

    @property
    def about(self) -> str:  # type: ignore[override]
        """The rule, and on how many rows it was looked for."""
        part = "all rows" if self._sample >= self._rows else f"{self._looked_at:,} rows, drawn"
        return (
            f"The resemblance (Jaccard, shingles of {SHINGLE} words) with a positive of the row is "
            f"at least {NEAR:g}, and the two are not the same text. Looked for in {part}."
        )

    def lacks(self, mined: MinedSet) -> str:
        """Return why the set cannot be checked for this, or nothing."""
        if not self._sample:
            return "it was not asked for (--near-duplicates 0)"
        there = mined.has("positives") and mined.has("negatives")
        return "" if there else "positives or negatives have no texts; give --corpus"

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows."""
        rows = np.arange(len(batch))[self._drawn(batch.queries.keys)]
        self._looked_at += len(rows)
        marks = np.zeros(len(batch.negatives), np.bool_)
        own = batch.own_positives("text") | batch.own_positives("id")
        for row in rows.tolist():
            self._compare(batch, row, own, marks)
        self.tally.add_negatives(batch.start, batch.negatives.offsets, marks)

    def _drawn(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        if self._sample >= self._rows:
            return np.ones(len(keys), np.bool_)
        share = self._sample / self._rows
        drawn: NDArray[np.bool_] = (mix(SEED, keys) >> np.uint64(11)) < np.uint64(share * 2**53)
        return drawn

    def _compare(
        self, batch: KeyedBatch, row: int, own: NDArray[np.bool_], marks: NDArray[np.bool_]
    ) -> None:
        """Mark the negatives of one row that are near one of its positives."""
        positives, negatives = batch.positives, batch.negatives
        if positives.texts is None or negatives.texts is None:
            return
        first, last = int(negatives.offsets[row]), int(negatives.offsets[row + 1])
        self.tally.checked += last - first
        ours = own[first:last].tolist()
        known = batch.batch.table["positives"][row].as_py() or []
        texts = batch.batch.table["negatives"][row].as_py() or []
        other = [None if skipped else text for text, skipped in zip(texts, ours, strict=True)]
        for place, near in enumerate(nearest_positive(known, other)):
            if near >= NEAR:
                marks[first + place] = True
                if len(self.remarks) < self._limit:  # of the first, which are the examples
                    self.remarks[batch.start + row, place] = f"resemblance {near:.2f}"

    def figures(self) -> dict[str, Any]:
        """Return on how many rows it was looked for."""
        return {"rows_looked_at": self._looked_at, "threshold": NEAR}
