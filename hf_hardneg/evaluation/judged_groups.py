"""The rate by judgements in bins of ranks and of scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.evaluation.ranks import BINS
from hf_hardneg.rates import wilson

__all__ = ["by_rank", "by_score"]

DECILES = 10


def _group(name: str, judged: int, relevant: int) -> dict[str, Any]:
    low, high = wilson(relevant, judged)
    rate = relevant / judged if judged else None
    return {
        "name": name, "judged": judged, "relevant": relevant, "rate": rate, "low": low,
        "high": high,
    }  # fmt: skip


def by_rank(
    places: NDArray[np.int64], judged: NDArray[np.bool_], relevant: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Return the rate in each bin of ranks that has a negative."""
    bins = BINS.of(places)
    return [
        _group(name, int(judged[own].sum()), int(relevant[own].sum()))
        for number, name in enumerate(BINS.names)
        if (own := bins == number).any()
    ]


def by_score(
    scores: NDArray[np.float32], judged: NDArray[np.bool_], relevant: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Return the rate in each tenth of the scores, lowest first, and of those without a score."""
    known = np.isfinite(scores)
    groups = []
    if known.any():
        edges = np.unique(np.quantile(scores[known], np.linspace(0, 1, DECILES + 1)))
        place = np.searchsorted(edges[1:-1], scores, side="right")
        for number in range(max(len(edges) - 1, 1)):
            own = known & (place == number)
            last = edges[min(number + 1, len(edges) - 1)]
            group = _group("", int(judged[own].sum()), int(relevant[own].sum()))
            groups.append({**group, "name": f"{edges[number]:.4g} to {last:.4g}"})
    if not known.all():
        groups.append(_group("no score", int(judged[~known].sum()), int(relevant[~known].sum())))
    return groups
