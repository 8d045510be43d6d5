"""How many negatives a decision gives, and of which rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.inspection.pool_batch import PoolBatch
from hf_hardneg.rates import bootstrap_ratio, wilson

__all__ = ["Estimate", "FigureTally", "Figures"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure of some rows.

    Attributes:
        value: of the rows that were looked at; ``None`` where there is nothing to take it from.
        low, high: 95% for all rows of the set: Wilson's interval of a share, a bootstrap over rows
            of a mean. ``None`` where the rows were picked and are no sample; equal to ``value``
            where they are all there are.
        n: how many cases it is taken from.
        of: what these are.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    of: str = "rows"


@dataclass(frozen=True, slots=True)
class Figures:
    """What was chosen, for some rows.

    Attributes:
        rows: how many.
        negatives: of all of them.
        a_row: negatives a row: the yield.
        short: share of rows with fewer than asked for, the empty ones among them.
        empty: rows without any.
        mean_rank: of the negatives among the candidates, from 1.
    """

    rows: int
    negatives: int
    a_row: Estimate
    short: Estimate
    empty: int
    mean_rank: Estimate


class FigureTally:
    """Counts and ranks of negatives, row by row."""

    def __init__(self) -> None:
        self._counts: list[NDArray[np.float64]] = []
        self._ranks: list[NDArray[np.float64]] = []

    def add_slots(self, batch: PoolBatch, slots: NDArray[np.int64]) -> None:
        """Count the candidates in these slots, -1 for none, shape (batch, n)."""
        chosen = np.zeros(batch.candidates.shape, dtype=np.bool_)
        lines, places = np.nonzero(slots >= 0)
        chosen[lines, slots[lines, places]] = True
        self.add_mask(batch, chosen)

    def add_mask(self, batch: PoolBatch, chosen: NDArray[np.bool_]) -> None:
        """Count these candidates, shape (batch, k)."""
        self._counts.append(chosen.sum(axis=1).astype(np.float64))
        ranks = np.where(chosen, batch.candidates.ranks, 0)
        self._ranks.append(ranks.sum(axis=1).astype(np.float64))

    def figures(self, n: int, spread: str | None, seed: int) -> Figures:
        """Return the figures, with intervals if the rows are a ``sample``, or the ``whole``."""
        counts = np.concatenate([np.zeros(0), *self._counts])
        ranks = np.concatenate([np.zeros(0), *self._ranks])
        rows, negatives = len(counts), int(counts.sum())
        short = int((counts < n).sum())

        def mean(hits: NDArray[np.float64], cases: NDArray[np.float64], of: str) -> Estimate:
            number = int(cases.sum())
            if not number:
                return Estimate(None, None, None, 0, of)
            value = float(hits.sum() / cases.sum())
            drawn = bootstrap_ratio(hits, cases, seed=seed) if spread == "sample" else None
            return _estimate(value, drawn, spread, number, of)

        share = short / rows if rows else None
        between = wilson(short, rows) if spread == "sample" and rows else None
        return Figures(
            rows,
            negatives,
            mean(counts, np.ones(rows), "rows"),
            _estimate(share, between, spread, rows, "rows"),
            int((counts == 0).sum()),
            mean(ranks, counts, "negatives"),
        )


def _estimate(
    value: float | None, between: tuple[float, float] | None, spread: str | None, n: int, of: str
) -> Estimate:
    if spread == "whole":
        return Estimate(value, value, value, n, of)
    low, high = between if between is not None else (None, None)
    return Estimate(value, low, high, n, of)
