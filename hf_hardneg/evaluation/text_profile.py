"""Lengths of positives and negatives, and the words that they share with their query."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list
from hf_hardneg.distributions import Distribution, distribution, edges
from hf_hardneg.evaluation.lexical import overlaps, word_counts
from hf_hardneg.hashing import mix, text_keys
from hf_hardneg.mined_set import MinedBatch

__all__ = ["PROFILE_ROWS", "TextProfile", "TextTally"]

PROFILE_ROWS = 20_000
"""About how many rows are looked at; a set with fewer is looked at whole."""

KINDS = ("positives", "negatives")


@dataclass(frozen=True, slots=True)
class TextProfile:
    """Lengths and words in common, of the rows that were looked at.

    Attributes:
        rows: how many were.
        positive_words, negative_words: number of words.
        positive_overlap, negative_overlap: share of the query's different words that the text has.
            Negatives far below the positives were found by meaning alone, or not at all; far above
            them, by words alone.
    """

    rows: int
    positive_words: Distribution
    negative_words: Distribution
    positive_overlap: Distribution
    negative_overlap: Distribution

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


class TextTally:
    """Gathers the texts of batches.

    Args:
        rows: of the whole set; of more than 20,000 a sample is looked at, drawn by a hash of
            (seed, query), so that the order of the rows decides nothing.
        seed: of the sample.
    """

    def __init__(self, rows: int, seed: int = 0) -> None:
        """Begin with nothing."""
        self._share = min(PROFILE_ROWS / rows, 1.0)
        self._seed, self._rows, self._whole = seed, 0, rows
        self._parts: dict[str, list[NDArray[np.float32]]] = {}

    def add(self, batch: MinedBatch) -> None:
        """Look at the rows of a batch that are in the sample."""
        if not batch.has("negatives"):
            return
        rows = self._drawn(batch)
        if not len(rows):
            return
        self._rows += len(rows)
        table = batch.table.take(pa.array(rows))
        queries = table["query"].combine_chunks()
        for kind in KINDS:
            if not batch.has(kind):
                continue
            offsets, texts = flat_list(table[kind])
            owner = np.repeat(np.arange(len(rows)), np.diff(offsets))
            self._keep(f"{kind} words", word_counts(texts))
            self._keep(f"{kind} overlap", overlaps(queries, texts, owner))

    def _drawn(self, batch: MinedBatch) -> NDArray[np.int64]:
        if self._share >= 1:
            return np.arange(len(batch))
        noise = mix(self._seed, text_keys(batch.queries())).astype(np.float64) * 2.0**-64
        return np.flatnonzero(noise < self._share)

    def _keep(self, name: str, values: NDArray[Any]) -> None:
        self._parts.setdefault(name, []).append(values.astype(np.float32))

    def notes(self) -> tuple[str, ...]:
        """Return what a reader should know of the sample."""
        if self._share >= 1 or not self._rows:
            return ()
        return (
            f"lengths and words in common are those of {self._rows:,} of {self._whole:,} rows, "
            "drawn at random by query.",
        )

    def result(self) -> TextProfile | None:
        """Return the figures, ``None`` where there are no texts."""
        if not self._rows:
            return None
        return TextProfile(self._rows, *self._both("words"), *self._both("overlap"))

    def _both(self, what: str) -> tuple[Distribution, Distribution]:
        values = [
            np.sort(np.concatenate(self._parts.get(f"{kind} {what}") or [np.zeros(0, np.float32)]))
            for kind in KINDS
        ]
        bins = edges(*values)
        return distribution(values[0], bins), distribution(values[1], bins)
