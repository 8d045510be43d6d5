"""Taking a judge's errors out of the share that it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.evaluation.clustered import score_interval
from hf_hardneg.rates import CONFIDENCE, REPEATS

__all__ = [
    "LEAST_SEPARATION", "Correction", "JudgedSample", "corrected", "joined_limits",
    "limits_of_draws", "query_draws", "rogan_gladen", "score_limits",
]  # fmt: skip

LEAST_SEPARATION = 0.2
"""Below this lower limit of se + sp - 1 there is no rate: the correction divides by it."""
AT_ONCE = 200
APPARENT, SENSITIVITY, FALSE_ALARMS = 0, 1, 2


@dataclass(frozen=True, slots=True)
class JudgedSample:
    """Pairs that a judge has looked at, one entry each.

    Attributes:
        queries: keys of the queries.
        called: whether it calls the document relevant.
        weights: how many cases each stands for.
    """

    queries: NDArray[np.uint64]
    called: NDArray[np.bool_]
    weights: NDArray[np.float64]


Interval = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Correction:
    """A rate without the judge's errors; three numbers are a value and its 95% interval.

    Attributes:
        rate: between 0 and 1.
        low, high: its interval, kept likewise; ``None`` where no draw has one.
        raw: rate, low and high before they were kept between 0 and 1; ``None`` likewise.
        apparent: share of the negatives that the judge calls relevant.
        sensitivity, specificity: the judge's.
        separation: their sum minus 1.
        queries: from which any pair was judged.
        draws_left_out: draws in which the judge did not separate at all.
    """

    rate: float | None
    low: float | None
    high: float | None
    raw: Interval | None
    apparent: Interval
    sensitivity: Interval
    specificity: Interval
    separation: Interval
    queries: int
    draws_left_out: int

    def details(self) -> dict[str, Any]:
        """Return the parts as plain values."""
        named = {
            "apparent": self.apparent,
            "sensitivity": self.sensitivity,
            "specificity": self.specificity,
            "separation": self.separation,
        }
        return {
            **{
                name: dict(zip(("rate", "low", "high"), v, strict=True))
                for name, v in named.items()
            },
            "corrected": {"rate": self.rate, "low": self.low, "high": self.high},
            "raw": None
            if self.raw is None
            else [value if np.isfinite(value) else None for value in self.raw],
            "queries": self.queries,
            "draws_left_out": self.draws_left_out,
        }


def rogan_gladen(
    apparent: NDArray[np.float64] | float,
    sensitivity: NDArray[np.float64] | float,
    false_alarms: NDArray[np.float64] | float,
) -> NDArray[np.float64]:
    """Return (p + sp - 1) / (se + sp - 1) with sp = 1 - false alarms; ``nan`` where se + sp <= 1.

    Source: W. J. Rogan, B. Gladen, "Estimating prevalence from the results of a screening test",
    American Journal of Epidemiology 107 (1978), 71-76.
    """
    separation = np.asarray(sensitivity, dtype=np.float64) - false_alarms
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = (np.asarray(apparent, dtype=np.float64) - false_alarms) / separation
    return np.where(separation > 0, rates, np.nan)


def corrected(
    negatives: JudgedSample,
    positives: JudgedSample,
    others: JudgedSample,
    *,
    seed: int = 0,
    repeats: int = REPEATS,
    confidence: float = CONFIDENCE,
) -> Correction:
    """Return the rate of relevant documents among the negatives.

    The interval is the wider of two at each end. One is the percentile bootstrap: queries are
    drawn anew with all their pairs, of all three samples at once. Where a share is 0 or 1 or rests
    on few queries that is too narrow, so the other puts each share at either end of its own score
    interval (see :func:`~hf_hardneg.evaluation.clustered.score_interval`), the others as they
    are, and joins the three changes of the rate as the root of the sum of their squares.

    Source of the second: G. Y. Zou, A. Donner, "Construction of confidence limits about effect
    measures: a general approach", Statistics in Medicine 27 (2008), 1693-1702. Difference: they
    join limits of sums and differences; here the changes of the corrected rate itself are joined.

    Args:
        negatives: the sample whose rate is asked for.
        positives: relevant documents.
        others: documents that are not.
        seed: of the draws.
        repeats: draws.
        confidence: between 0 and 1.
    """
    samples = (negatives, positives, others)
    sums = _by_query(samples)
    shares = sums[:3].sum(axis=1) / sums[3:].sum(axis=1)
    scores = score_limits(sums, [sample.weights for sample in samples], confidence)
    draws = query_draws(sums, seed, repeats)
    draws = draws[np.isfinite(draws).all(axis=1)]
    tail = np.array([(1 - confidence) / 2, 1 - (1 - confidence) / 2])
    rates = rogan_gladen(*draws.T)
    rates = rates[np.isfinite(rates)]
    raw = float(rogan_gladen(*shares))
    whole: Interval | None = None
    if len(rates) and np.isfinite(raw):
        below, above = joined_limits(rogan_gladen, shares, scores)
        ends = np.quantile(rates, tail)
        whole = raw, min(below, float(ends[0])), max(above, float(ends[1]))
    rate, low, high = (None,) * 3 if whole is None else np.clip(whole, 0.0, 1.0).tolist()
    limits = _wider(np.quantile(draws, tail, axis=0).T if len(draws) else scores, scores)
    return Correction(
        rate=rate,
        low=low,
        high=high,
        raw=whole,
        apparent=_named(shares[APPARENT], limits[APPARENT]),
        sensitivity=_named(shares[SENSITIVITY], limits[SENSITIVITY]),
        specificity=_named(1 - shares[FALSE_ALARMS], 1 - limits[FALSE_ALARMS, ::-1]),
        separation=_separation(shares, draws, scores, tail),
        queries=sums.shape[1],
        draws_left_out=repeats - len(rates),
    )


def _by_query(samples: tuple[JudgedSample, ...]) -> NDArray[np.float64]:
    """Return, for each query in the order of keys, weight called and weight, shape (6, queries)."""
    keys = np.unique(np.concatenate([sample.queries for sample in samples]))
    places = [np.searchsorted(keys, sample.queries) for sample in samples]
    called = [
        np.bincount(place, sample.weights * sample.called, len(keys))
        for place, sample in zip(places, samples, strict=True)
    ]
    whole = [
        np.bincount(place, sample.weights, len(keys))
        for place, sample in zip(places, samples, strict=True)
    ]
    return np.stack([*called, *whole])


def limits_of_draws(values: NDArray[np.float64], confidence: float) -> list[float]:
    """Return the two ends of the percentile interval."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return [float(low), float(high)]


def query_draws(sums: NDArray[np.float64], seed: int, repeats: int) -> NDArray[np.float64]:
    """Return three shares over queries drawn anew, shape (repeats, 3); ``nan`` without any case.

    Args:
        sums: by query, what counts in each of three shares, then its cases, shape (6, queries).
        seed: of the draws.
        repeats: draws.
    """
    generator = np.random.default_rng(seed)
    queries = sums.shape[1]
    found = []
    for start in range(0, repeats, AT_ONCE):
        drawn = generator.integers(0, queries, (min(AT_ONCE, repeats - start), queries))
        counts = np.stack([np.bincount(row, minlength=queries) for row in drawn])
        totals = counts @ sums.T
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(totals[:, :3] / totals[:, 3:])
    return np.concatenate(found)


def score_limits(
    sums: NDArray[np.float64], weights: list[NDArray[np.float64]], confidence: float
) -> NDArray[np.float64]:
    """Return the score interval of three shares, shape (3, 2).

    Args:
        sums: as for :func:`query_draws`.
        weights: of the cases of each.
        confidence: between 0 and 1.
    """
    limits = []
    for place, own in enumerate(weights):
        own = own[own > 0]
        kish = float(own.sum() ** 2 / (own @ own))
        _, limit = score_interval(
            sums[place], sums[3 + place], len(own), kish=kish, confidence=confidence
        )
        limits.append(limit)
    return np.array(limits)


def joined_limits(
    rate: Callable[..., Any], shares: NDArray[np.float64], limits: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the interval of a function of three shares, from those of the shares.

    Args:
        rate: of the three shares.
        shares: shape (3,).
        limits: their intervals, shape (3, 2).
    """
    middle = float(rate(*shares))
    below = above = 0.0
    for place in range(len(shares)):
        moved = np.tile(shares, (2, 1))
        moved[:, place] = limits[place]
        ends = [float(rate(*line)) for line in moved]
        changes = [end - middle for end in ends if np.isfinite(end)]
        # A share so uncertain that the judge may not separate at all leaves nothing known.
        below += max(0.0, -min(changes)) ** 2 if len(changes) == len(ends) else np.inf
        above += max(0.0, max(changes)) ** 2 if len(changes) == len(ends) else np.inf
    return middle - float(np.sqrt(below)), middle + float(np.sqrt(above))


def _wider(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.minimum(one, other)[:, 0], np.maximum(one, other)[:, 1]], axis=1)


def _separation(
    shares: NDArray[np.float64],
    draws: NDArray[np.float64],
    limits: NDArray[np.float64],
    tail: NDArray[np.float64],
) -> Interval:
    """Return se + sp - 1 with its interval."""
    low, high = joined_limits(lambda _, se, alarms: se - alarms, shares, limits)
    drawn = draws[:, SENSITIVITY] - draws[:, FALSE_ALARMS]
    if len(drawn):
        ends = np.quantile(drawn, tail)
        low, high = min(low, float(ends[0])), max(high, float(ends[1]))
    return float(shares[SENSITIVITY] - shares[FALSE_ALARMS]), low, high


def _named(value: float, limits: NDArray[np.float64]) -> Interval:
    return float(value), float(limits[0]), float(limits[1])
