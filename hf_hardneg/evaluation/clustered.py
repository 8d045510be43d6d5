"""The interval of a rate whose cases come several to a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.rates import CONFIDENCE, bootstrap_ratio, wilson

__all__ = ["Clustered", "by_query", "clustered_interval", "score_interval"]

DIGITS = 12


@dataclass(frozen=True, slots=True)
class Clustered:
    """A rate over cases that come several to a query.

    Attributes:
        rate: weighted share of the cases that count.
        low, high: the wider of the two intervals below, at each end.
        bootstrap: percentile interval, queries drawn anew.
        wilson: score interval with the effective number of cases.
        effective_n: independent cases that would make the rate as sure as these are.
        design_effect: cases divided by ``effective_n``.
        queries: how many have a case.
    """

    rate: float
    low: float
    high: float
    bootstrap: tuple[float, float]
    wilson: tuple[float, float]
    effective_n: float
    design_effect: float
    queries: int

    def details(self) -> dict[str, Any]:
        """Return the parts as plain values."""
        return {
            "bootstrap": list(self.bootstrap),
            "wilson_effective": list(self.wilson),
            "effective_n": self.effective_n,
            "design_effect": self.design_effect,
            "queries": self.queries,
        }


def by_query(
    query_keys: NDArray[np.uint64], *values: NDArray[np.float64] | NDArray[np.bool_]
) -> tuple[NDArray[np.uint64], list[NDArray[np.float64]]]:
    """Return the distinct queries in the order of their keys, and the sums of values of each.

    Args:
        query_keys: the query of each case, shape (cases,).
        values: shape (cases,) each.
    """
    keys, owner = np.unique(query_keys, return_inverse=True)
    sums = [
        np.bincount(owner, weights=value, minlength=len(keys)).astype(np.float64)
        for value in values
    ]
    return keys, sums


def clustered_interval(
    hits: NDArray[np.float64],
    cases: NDArray[np.float64],
    count: float,
    *,
    seed: int = 0,
    kish: float | None = None,
    confidence: float = CONFIDENCE,
) -> Clustered:
    """Return ``sum(hits) / sum(cases)`` with an interval that knows that queries are the units.

    Two intervals are taken, and the wider one at each end is given. The percentile bootstrap over
    queries alone is not enough: it gives an interval of no width where no case counts (or all do),
    and is too narrow for few queries. The other is Wilson's with an effective number of cases,

        n_eff = r (1 - r) / V * (t_{n-1} / t_{k-1})^2,
        V = k / (k - 1) * sum_q (hits_q - r cases_q)^2 / (sum_q cases_q)^2,

    where r is the rate, V the linearised variance of a ratio over k queries, and t the quantiles
    of Student's distribution. At r = 0 or 1 the data say nothing about V, and the number of
    queries (or Kish's effective size of the weights, if that is less) stands for n_eff: as if all
    negatives of one query were the same case. That errs on the wide side.

    Source: E. L. Korn, B. I. Graubard, "Confidence intervals for proportions with small expected
    number of positive counts estimated from survey data", Survey Methodology 24 (1998), 193-201.
    Difference: they put n_eff into the interval of Clopper and Pearson, here it goes into
    Wilson's; n_eff is never more than the number of cases.

    Args:
        hits: weight of the cases that count, of each query, shape (queries,).
        cases: weight of all cases of each query, shape (queries,); its sum is above 0.
        count: how many cases there are, whatever their weights.
        seed: of the draws.
        kish: ``(sum w)^2 / sum w^2`` where cases have weights.
        confidence: between 0 and 1.
    """
    used = cases > 0
    hits, cases = hits[used], cases[used]
    queries = len(cases)
    rate = round(float(hits.sum() / cases.sum()), DIGITS)
    bootstrap = bootstrap_ratio(hits, cases, seed=seed, confidence=confidence)
    effective, score = score_interval(hits, cases, count, kish=kish, confidence=confidence)
    low, high = min(bootstrap[0], score[0]), max(bootstrap[1], score[1])
    return Clustered(
        rate, max(low, 0.0), min(high, 1.0), bootstrap, score, effective, count / effective, queries
    )


def score_interval(
    hits: NDArray[np.float64],
    cases: NDArray[np.float64],
    count: float,
    *,
    kish: float | None = None,
    confidence: float = CONFIDENCE,
) -> tuple[float, tuple[float, float]]:
    """Return the effective number of cases and Wilson's interval with it.

    The arguments are those of :func:`clustered_interval`.
    """
    used = cases > 0
    hits, cases = hits[used], cases[used]
    rate = round(float(hits.sum() / cases.sum()), DIGITS)
    effective = _effective(hits, cases, rate, count, kish, confidence)
    return effective, wilson(rate * effective, effective, confidence)


def _effective(
    hits: NDArray[np.float64],
    cases: NDArray[np.float64],
    rate: float,
    count: float,
    kish: float | None,
    confidence: float,
) -> float:
    """Return the effective number of cases."""
    from scipy.stats import t  # half a second

    queries = len(cases)
    most = float(count if kish is None else min(count, kish))
    least = min(most, float(queries))
    if queries < 2 or rate in (0.0, 1.0):
        return least
    errors = hits - rate * cases
    variance = queries / (queries - 1) * float(errors @ errors) / float(cases.sum()) ** 2
    if variance <= 0:
        return least
    level = 0.5 + confidence / 2
    few = float(t.ppf(level, max(count - 1, 1)) / t.ppf(level, queries - 1)) ** 2
    return float(min(most, max(1.0, rate * (1 - rate) / variance * few)))
