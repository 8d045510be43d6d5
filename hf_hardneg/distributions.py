"""Distributions of numbers: how many, mean, quantiles, counts between edges."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Distribution", "distribution", "edges"]

BINS = 20
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class Distribution:
    """Scores: how many, how many missing, mean, quantiles (0, 5, 25, 50, 75, 95, 100%)."""

    count: int
    missing: int
    mean: float | None
    quantiles: list[float] | None
    bin_edges: list[float] = field(default_factory=list)
    bin_counts: list[int] = field(default_factory=list)


def distribution(values: NDArray[np.float32], edges: NDArray[np.float64]) -> Distribution:
    """Return the distribution of the scores that are there, with counts between ``edges``."""
    known = values[np.isfinite(values)].astype(np.float64)
    missing = len(values) - len(known)
    if not len(known):
        return Distribution(0, missing, None, None)
    return Distribution(
        len(known),
        missing,
        float(known.mean()),
        [float(value) for value in np.quantile(known, QUANTILES)],
        [float(edge) for edge in edges],
        [int(count) for count in np.histogram(known, bins=edges)[0]],
    )


def edges(*parts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return common bin edges, so that the two histograms can be laid over each other."""
    known = [part[np.isfinite(part)] for part in parts]
    values = np.concatenate(known) if known else np.zeros(0)
    if not len(values):
        return np.linspace(0.0, 1.0, BINS + 1)
    low, high = float(values.min()), float(values.max())
    return np.linspace(low, high if high > low else low + 1.0, BINS + 1)
