"""The negatives of a mined set, as pairs to be labelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW
from hf_hardneg.errors import FormatError
from hf_hardneg.evaluation.pair_frames import (
    FoundPair,
    Frame,
    PairBatch,
    by_row,
    nothing,
)
from hf_hardneg.evaluation.ranks import numbers_beside, places_of
from hf_hardneg.hashing import text_keys
from hf_hardneg.mined_set import MinedBatch, MinedSet
from hf_hardneg.pool import description_of

__all__ = ["MinedFrame"]

Keys = NDArray[np.uint64]


class MinedFrame(Frame):
    """The negatives of a mined set."""

    def __init__(self, mined: MinedSet) -> None:
        """Check that there are texts."""
        if not mined.has("negatives"):
            raise FormatError(
                f"{mined.name} has the ids of its negatives and no texts. Give the corpus that "
                "the ids belong to (--corpus)."
            )
        if not mined.query_texts:
            raise FormatError(
                f"{mined.name} has the ids of its queries and no texts. Give these (--query-texts)."
            )
        self._mined, self._corpus = mined, mined.corpus
        notes = list(mined.notes)
        self.ranked = mined.has("negative_ranks")
        if not self.ranked:
            notes.append("the set has no ranks: the place in a row's list of negatives stands in.")
        if not mined.has("positives"):
            notes.append("the set has no texts of positives: none can be left out or mixed in.")
        self.notes = tuple(notes)
        note = description_of(mined.rows).get("report", {})
        self._source = note.get("strategy") if isinstance(note, dict) else None

    def query_keys(self) -> Keys:
        """Return the key of each row's query."""
        return np.concatenate([text_keys(batch.queries()) for batch in self._mined.batches()])

    def batches(self) -> Iterator[PairBatch]:
        """Yield the negatives of all rows."""
        for batch in self._mined.batches():
            offsets, keys = batch.keys("negatives")
            yield PairBatch(
                batch.start,
                text_keys(batch.queries()),
                offsets,
                keys,
                places_of(batch, offsets),
                *self._positives(batch),
                *self._further(batch),
            )

    def _positives(self, batch: MinedBatch) -> tuple[NDArray[np.int64], Keys]:
        if not batch.has("positives"):
            return nothing(len(batch))
        return batch.keys("positives")

    def _further(self, batch: MinedBatch) -> tuple[NDArray[np.int64], Keys]:
        """Return the keys of the positives' texts in the corpus, which may have a title."""
        if self._corpus is None or not batch.has("positive_ids"):
            return nothing(len(batch))
        ids = batch.texts("positive_ids")
        rows = self._corpus.rows_of_ids(ids.flat)
        found = rows != NO_ROW
        owner = np.repeat(np.arange(len(batch)), np.diff(ids.offsets))
        counts = np.bincount(owner[found], minlength=len(batch))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        return offsets, self._corpus.document_keys[rows[found]]

    def find(
        self, pairs: Sequence[tuple[int, int]], positives: Sequence[tuple[int, int]]
    ) -> tuple[list[FoundPair], list[FoundPair]]:
        """Return pairs and positives with their texts."""
        found: dict[tuple[str, int], FoundPair] = {}
        asked = {"negative": (pairs, by_row(pairs)), "positive": (positives, by_row(positives))}
        for batch in self._mined.batches():
            rows = range(batch.start, batch.start + len(batch))
            for kind, (wanted, places) in asked.items():
                own = [place for row in rows for place in places.get(row, ())]
                if own:
                    for place, pair in zip(own, self._read(batch, kind, wanted, own), strict=True):
                        found[kind, place] = pair
        return (
            [found["negative", place] for place in range(len(pairs))],
            [found["positive", place] for place in range(len(positives))],
        )

    def _read(
        self, batch: MinedBatch, kind: str, wanted: Sequence[tuple[int, int]], own: Sequence[int]
    ) -> Iterator[FoundPair]:
        queries = batch.queries()
        ids = batch.query_ids() if batch.has("query_id") else [""] * len(queries)
        texts = batch.texts(f"{kind}s")
        names = batch.texts(f"{kind}_ids") if batch.has(f"{kind}_ids") else None
        name = f"{kind}_scores"
        scores = numbers_beside(batch, name, texts.offsets) if batch.has(name) else None
        ranks = places_of(batch, texts.offsets) if kind == "negative" else None
        for place in own:
            row, slot = wanted[place][0] - batch.start, wanted[place][1]
            at = int(texts.offsets[row]) + slot
            yield FoundPair.of(
                (ids[row], queries[row]),
                (names.flat[at] if names is not None else "", texts.flat[at]),
                rank=None if ranks is None else int(ranks[at]),
                score=None if scores is None else scores[at],
                source=self._source,
            )
