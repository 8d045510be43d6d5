"""Scores of negatives beside those of their positives: margins and softmax weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["reference_scores", "relative_scores", "row_maximum", "row_sum", "softmax_shares"]

Floats = NDArray[np.float64]
Offsets = NDArray[np.int64]


def _owners(offsets: Offsets) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def row_sum(offsets: Offsets, values: Floats) -> Floats:
    """Return the sum of each row's values, 0 for a row without any; shape (rows,)."""
    sums = np.bincount(_owners(offsets), values, minlength=len(offsets) - 1)
    return sums.astype(np.float64)  # of nothing at all they are whole numbers


def row_maximum(offsets: Offsets, values: Floats) -> Floats:
    """Return the largest of each row's values, ``-inf`` for a row without any; shape (rows,)."""
    out = np.full(len(offsets) - 1, -np.inf)
    np.maximum.at(out, _owners(offsets), values)
    return out


def reference_scores(offsets: Offsets, scores: NDArray[Any], against: str = "min") -> Floats:
    """Return the score that stands for the positives of each row, shape (rows,).

    ``nan`` for a row without a positive, and where one of its positives has no score: a run that
    does not list a positive ranked it below everything else.

    Args:
        offsets: the positives of row i are ``offsets[i]:offsets[i + 1]``.
        scores: of the positives; one that is not finite is missing.
        against: ``min`` (the strictest: a negative above any positive is harder), ``max``,
            ``mean``.
    """
    known = np.isfinite(scores)
    values = np.where(known, scores, 0.0).astype(np.float64)
    owner, counts = _owners(offsets), np.diff(offsets)
    if against == "mean":
        out = np.bincount(owner, values, minlength=len(counts)) / np.maximum(counts, 1)
    elif against == "max":
        out = np.full(len(counts), -np.inf)
        np.maximum.at(out, owner, values)
    else:
        out = np.full(len(counts), np.inf)
        np.minimum.at(out, owner, values)
    out[owner[~known]] = np.nan
    out[counts == 0] = np.nan
    return out


def relative_scores(reference: Floats, scores: Floats) -> Floats:
    """Return ``1 - (s+ - s) / |s+|``: 1 is as high as the positive, more is harder.

    Where the positive's score is above 0 this is ``s / s+``; below 0 the plain quotient would turn
    the order round. ``nan`` where the positive's score is 0 or missing.

    Args:
        reference: score of the positive beside each negative.
        scores: of the negatives, the same shape.
    """
    size = np.abs(reference)
    gap: Floats = np.divide(
        reference - scores, size, out=np.full(len(scores), np.nan), where=size > 0
    )
    return 1.0 - gap


def softmax_shares(
    offsets: Offsets, scores: Floats, temperature: float, positive: Floats | None = None
) -> Floats:
    """Return ``exp(s_j / t) / (exp(s+ / t) + sum_k exp(s_k / t))`` for each negative of a row.

    With the positive this is the probability that InfoNCE gives to the negative, and ``1 / t``
    times it the size of the gradient on its score (A. van den Oord, Y. Li, O. Vinyals,
    "Representation learning with contrastive predictive coding", 2018, equation 4). In-batch
    negatives are not in the sum: in training the weights are lower. Without the positive the
    shares of a row add up to 1.

    The largest score is taken off before the exponential, so that nothing overflows.

    Args:
        offsets: the negatives of row i are ``offsets[i]:offsets[i + 1]``.
        scores: of the negatives; ``nan`` is left out of the sum and gets ``nan``.
        temperature: above 0.
        positive: score of the positive of each row; a row where it is ``nan`` gets ``nan``.
    """
    owner = _owners(offsets)
    known = ~np.isnan(scores)
    low = np.where(known, scores, -np.inf)
    top = row_maximum(offsets, low)
    if positive is not None:
        top = np.maximum(top, positive)  # nan stays nan
    top = np.where(np.isneginf(top), 0.0, top)
    powers = np.where(known, np.exp((low - top[owner]) / temperature), 0.0)
    sums = row_sum(offsets, powers)
    if positive is not None:
        sums = sums + np.exp((positive - top) / temperature)
    shares: Floats = np.divide(powers, sums[owner], out=np.full(len(scores), np.nan), where=known)
    return shares
