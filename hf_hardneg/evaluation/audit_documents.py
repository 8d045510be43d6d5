"""Checks of one row at a time: its own positives, repetitions, empty and unknown documents."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.evaluation.audit_check import Check, comparable
from hf_hardneg.evaluation.finding import ERROR, WARNING
from hf_hardneg.evaluation.keyed_batch import KeyedBatch, Side
from hf_hardneg.evaluation.spool import Spool
from hf_hardneg.hashing import mix
from hf_hardneg.mined_set import MinedSet

__all__ = ["INCOMPARABLE", "EmptyTexts", "OwnPositives", "Repeated", "ShortRows", "Uneven",
           "Unknown"]  # fmt: skip

INCOMPARABLE = (
    "positives and negatives have no form in common, texts or ids; give the documents with --corpus"
)


class OwnPositives(Check):
    """Negatives that are a positive of the same row."""

    name = "own_positive"
    title = "Own positive as negative"
    severity = ERROR
    about = (
        "The negative is a positive of its own row: by id, by text, or after normalisation "
        "(Unicode NFKC, case folded, white space collapsed)."
    )

    def lacks(self, mined: MinedSet) -> str:
        """Return why the set cannot be checked for this, or nothing."""
        return "" if comparable(mined) else INCOMPARABLE

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows."""
        by_id, exact, by_text = (batch.own_positives(by) for by in ("id", "exact", "text"))
        why = {
            "the same text": exact,
            "the same text after normalisation only": by_text & ~exact,
            "the same id": by_id,
        }
        self.tally.checked += len(batch.negatives)
        self.add_negatives(batch, by_id | by_text, why)
        for name, marks in why.items():
            self.tally.add_part(name, np.count_nonzero(marks))


class Repeated(Check):
    """Negatives that stand in the same row before."""

    name = "repeated_in_row"
    title = "Duplicate within a row"
    severity = ERROR
    about = (
        "The same negative stands earlier in the row, by id or by normalised text: the row has "
        "fewer negatives than it seems, and the loss counts one of them twice."
    )

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows."""
        side = batch.negatives
        by_id, by_text = (_again(side, by) for by in ("id", "text"))
        self.tally.checked += len(side)
        text = "the same text" if side.ids is None else "the same text under another id"
        why = {"the same id": by_id, text: by_text & ~by_id}
        self.add_negatives(batch, by_id | by_text, why)
        for name, marks in why.items():
            self.tally.add_part(name, np.count_nonzero(marks))


def _again(side: Side, by: str) -> NDArray[np.bool_]:
    keys, known = side.documents(by)
    pairs = mix(side.owners.astype(np.uint64), keys)
    marks = np.ones(len(side), np.bool_)
    marks[np.unique(pairs, return_index=True)[1]] = False
    return marks & known


class EmptyTexts(Check):
    """Queries, positives and negatives without any text."""

    name = "empty_text"
    title = "Empty text"
    severity = ERROR
    about = "A negative, a positive or the query is empty, or nothing but white space."
    of = "rows"

    def __init__(self, examples: int) -> None:
        """Start at none."""
        super().__init__(examples)
        self._queries = True

    def lacks(self, mined: MinedSet) -> str:
        """Return why the set cannot be checked for this, or nothing."""
        self._queries = mined.query_texts
        if mined.query_texts or mined.has("negatives") or mined.has("positives"):
            return ""
        return "there are ids alone; give the documents with --corpus"

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows."""
        rows = np.zeros(len(batch), np.bool_)
        if self._queries:
            rows = ~batch.queries.usable()
            self.tally.add_part("queries", np.count_nonzero(rows))
        for name, side in (("positives", batch.positives), ("negatives", batch.negatives)):
            if side.texts is not None:
                marks = side.texts.there & ~side.texts.usable()
                rows[side.owners[marks]] = True
                self.tally.add_part(name, np.count_nonzero(marks))
        self.tally.checked += len(batch)
        self.tally.add_rows(batch.start, rows)


class Unknown(Check):
    """Documents named by an id, or by null, that have no text."""

    name = "missing_document"
    title = "Document without a text"
    severity = ERROR
    about = (
        "A positive or negative has an id that the corpus does not have, or null in place of a "
        "text: a trainer stops there, or trains on an empty text."
    )
    of = "rows"

    def lacks(self, mined: MinedSet) -> str:
        """Return why the set cannot be checked for this, or nothing."""
        if mined.has("negatives") or mined.has("positives"):
            return ""
        return "there are ids alone; give the documents with --corpus"

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows."""
        rows = np.zeros(len(batch), np.bool_)
        for name, side in (("positives", batch.positives), ("negatives", batch.negatives)):
            if side.texts is not None:
                rows[side.owners[~side.texts.there]] = True
                self.tally.add_part(name, np.count_nonzero(~side.texts.there))
        self.tally.checked += len(batch)
        self.tally.add_rows(batch.start, rows)


class Uneven(Check):
    """Rows whose lists have unequal lengths."""

    name = "uneven_lists"
    title = "Lists of unequal length"
    severity = ERROR
    about = (
        "The texts, ids or scores of a row are not of one number: they come from different "
        "minings, and no other check can use the ids and scores of such a row."
    )
    of = "rows"

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows."""
        self.tally.checked += len(batch)
        self.tally.add_rows(batch.start, batch.uneven)


class ShortRows(Check):
    """Rows with fewer negatives than the others.

    Args:
        examples: how many places to keep.
        counts: an empty spool for the number of negatives of each row.
        expected: negatives that a row should have; default: what most rows have.
    """

    name = "short_row"
    title = "Row short of negatives"
    severity = WARNING
    of = "rows"

    def __init__(self, examples: int, counts: Spool, expected: int | None = None) -> None:
        """Start at none."""
        super().__init__(examples)
        self.counts, self._asked = counts, expected
        self._rows: Counter[int] = Counter()

    @property
    def expected(self) -> int:
        """Negatives that a row should have; of numbers that are as common, the larger."""
        if self._asked is not None:
            return self._asked
        return max(self._rows, key=lambda number: (self._rows[number], number), default=0)

    @property
    def about(self) -> str:  # type: ignore[override]
        """The rule."""
        how = "as asked" if self._asked is not None else "as most rows have"
        return f"The row has fewer than {self.expected} negatives, {how}."

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows."""
        counts = batch.negatives.counts
        self.counts.add(counts)
        self.tally.checked += len(counts)
        values, rows = np.unique(counts, return_counts=True)
        self._rows.update(dict(zip(values.tolist(), rows.tolist(), strict=True)))

    def finish(self) -> None:
        """Count, now that the usual number is known."""
        for start, counts in self.counts.chunks():
            self.tally.add_rows(start, counts < self.expected)
        for number in sorted(self._rows):
            if number < self.expected:
                name = "without any" if number == 0 else f"with {number}"
                self.tally.add_part(name, self._rows[number])

    def figures(self) -> dict[str, Any]:
        """Return rows by number of negatives."""
        return {
            "expected": self.expected,
            "rows_by_negatives": {str(number): self._rows[number] for number in sorted(self._rows)},
        }
