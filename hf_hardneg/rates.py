"""A rate with its interval: what every estimator of false negatives returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.errors import ParameterError

__all__ = ["CONFIDENCE", "Rate", "bootstrap_ratio", "wilson"]

CONFIDENCE = 0.95
REPEATS = 2_000
DRAWN_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Rate:
    """A share, how sure it is, and what has to be true for it to be right.

    Attributes:
        method: which estimator: ``judged``, ``hidden positives``, ``judge`` or ``labels``.
        rate: between 0 and 1; ``None`` where the data cannot tell, and ``why`` says so.
        low, high: the 95% interval.
        n: how many cases it is taken from.
        of: what these are, such as ``negatives``.
        assumed: one sentence each.
        why: why there is no rate.
        details: further figures of the estimator, plain values for JSON.
    """

    method: str
    rate: float | None
    low: float | None
    high: float | None
    n: int
    of: str = "negatives"
    assumed: tuple[str, ...] = ()
    why: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "assumed": list(self.assumed), "details": dict(self.details)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rate:
        """Return the rate that :meth:`to_dict` made."""
        return cls(**{**values, "assumed": tuple(values["assumed"])})

    def __str__(self) -> str:
        """Return it in a line."""
        if self.rate is None or self.low is None or self.high is None:
            return f"unknown ({self.method}, n = {self.n:,} {self.of}): {self.why}"
        return (
            f"{self.rate:.1%} ({self.low:.1%} to {self.high:.1%}; {self.method}, "
            f"n = {self.n:,} {self.of})"
        )


def wilson(hits: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the score interval of a share of independent cases, (0, 1) where there are none.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927), 209-212.

    Args:
        hits: cases that are counted, 0 to ``n``.
        n: cases; with an effective number of cases both may be fractions.
        confidence: of the interval, between 0 and 1.
    """
    if not 0 <= hits <= n:
        raise ParameterError(f"wilson: hits={hits} of n={n}; expected 0 to n.")
    if n == 0:
        return 0.0, 1.0
    from scipy.stats import norm  # half a second

    z = float(norm.ppf(0.5 + confidence / 2))
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    # At the ends rounding would leave a limit a hair inside the rate itself.
    low = 0.0 if hits == 0 else middle - half
    high = 1.0 if hits == n else middle + half
    return low, high


def bootstrap_ratio(
    hits: NDArray[np.float64],
    cases: NDArray[np.float64],
    *,
    seed: int = 0,
    repeats: int = REPEATS,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Return the percentile interval of ``sum(hits) / sum(cases)`` over queries drawn anew.

    Negatives of one query are alike, so it is queries that are drawn, with replacement, not
    negatives. Draws without a case are left out; (0, 1) where no draw has one.

    Source: B. Efron, R. Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.

    Args:
        hits: of each query, shape (queries,).
        cases: of each query, shape (queries,).
        seed: of the draws.
        repeats: draws.
        confidence: of the interval, between 0 and 1.
    """
    if not len(cases) or not cases.sum():
        return 0.0, 1.0
    generator = np.random.default_rng(seed)
    queries, done, ratios = len(cases), 0, []
    while done < repeats:  # in portions of bounded memory
        some = min(repeats - done, max(1, DRAWN_AT_ONCE // queries))
        drawn = generator.integers(0, queries, (some, queries))
        whole = cases[drawn].sum(axis=1)
        ratios.append(hits[drawn].sum(axis=1)[whole > 0] / whole[whole > 0])
        done += some
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(ratios), [tail, 1 - tail])
    return float(low), float(high)
