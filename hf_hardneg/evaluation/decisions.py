"""Decisions that calibration compares: every single-threshold rule, and the model of risk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.evaluation.calibration_data import CalibrationSet
from hf_hardneg.evaluation.clustered import clustered_interval
from hf_hardneg.filters import MarginFilter, RankFilter, ScoreFilter
from hf_hardneg.filters.base import Filter
from hf_hardneg.filters.risk import within
from hf_hardneg.risk_signals import over
from hf_hardneg.samplers import TopSampler
from hf_hardneg.selection import Rules, select

__all__ = [
    "RISK", "RISK_SERVED", "Decision", "Family", "Measured", "Outcome", "measure", "outcome_of",
    "risk_families", "single_rules", "split_sums",
]  # fmt: skip

RISK, RISK_SERVED = "risk", "risk, every query served"
SKIPS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 20, 25, 30, 35, 40, 50, 60, 70, 80, 90, 100, 150,
         200, 300, 500)  # fmt: skip
SHARES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6)
QUANTILES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
CUTS = 40

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Decision:
    """One way to decide which candidates may be negatives.

    Attributes:
        value: of its threshold.
        text: the stage of a strategy string; of ``risk`` without the model.
        mask: which candidates it keeps, shape (batch, k).
    """

    value: float
    text: str
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Family:
    """Decisions of one kind, the strictest first.

    Attributes:
        name: of the kind.
        decisions: the strictest first.
    """

    name: str
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a decision does to each query; arrays of shape (queries,), rows of a query summed up.

    Attributes:
        false: (weighted) false negatives among those whose relevance is known.
        cases: (weighted) negatives whose relevance is known.
        chosen: negatives.
        full: rows that have all that was asked for.
        rows: rows of the query.
        ranks: sum of the negatives' ranks.
        hardness: sum of the negatives' scores over the positive's.
        squares: sum of the squared weights in ``cases``.
    """

    false: Floats
    cases: Floats
    chosen: Floats
    full: Floats
    rows: Floats
    ranks: Floats
    hardness: Floats
    squares: Floats


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of a decision on some queries.

    Attributes:
        rate: share of false negatives among the negatives; ``None`` where there are none.
        low, high: its 95% interval; see
            :func:`~hf_hardneg.evaluation.clustered.clustered_interval`.
        mean_rank: of the negatives; lower is harder.
        hardness: mean score over the positive's.
        served: share of the rows that have all the negatives that were asked for.
        filled: share of the places that are filled.
        negatives: how many.
        queries: how many.
    """

    rate: float | None
    low: float | None
    high: float | None
    mean_rank: float | None
    hardness: float | None
    served: float
    filled: float
    negatives: int
    queries: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


class _Given(Filter):
    """A filter whose decision is made already; used in this module alone."""

    name = "given"

    def __init__(self, kept: NDArray[np.bool_]) -> None:
        self.kept = kept

    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Return what was decided."""
        return self.kept


def single_rules(data: CalibrationSet, fit: NDArray[np.bool_]) -> list[Family]:
    """Return every single-threshold rule over a grid.

    Grids on the scale of scores are quantiles of the scores of the rows of ``fit``.

    Args:
        data: queries and candidates.
        fit: which rows grids may look at, shape (batch,).
    """
    queries, candidates = data.queries, data.candidates
    scores = np.where(data.eligible, candidates.scores, np.nan).astype(np.float64)
    positive = candidates.positive_score(queries)
    seen = scores[fit]
    gaps = (positive[:, None] - scores)[fit]
    depth = int(candidates.ranks.max(initial=1))
    skips: list[Filter] = [RankFilter(range_min=m + 1) for m in SKIPS if m < depth]
    relative: list[Filter] = [MarginFilter(relative=share) for share in SHARES]
    absolute: list[Filter] = [
        MarginFilter(margin=gap) for gap in _quantiles(gaps[gaps > 0], QUANTILES)
    ]
    known = positive[fit][~np.isnan(positive[fit])]
    percentile: list[Filter] = [
        MarginFilter(percentile=share, cut=float(np.quantile(known, share, method="lower")))
        for share in (QUANTILES if len(known) else ())
    ]
    highest: list[Filter] = [ScoreFilter(max_score=one) for one in _quantiles(seen, QUANTILES)]
    return [
        _family("skip the top", data, skips[::-1], "range_min", -1),
        _family("relative margin", data, relative[::-1], "relative"),
        _family("absolute margin", data, absolute[::-1], "margin"),
        _family("percentile margin", data, percentile, "percentile"),
        _family("highest score", data, highest, "max_score"),
    ]


def _quantiles(values: Floats, shares: Sequence[float]) -> list[float]:
    """Return distinct quantiles to four digits, rising."""
    there = values[np.isfinite(values)]
    if not len(there):
        return []
    return sorted({float(f"{one:.4g}") for one in np.quantile(there, shares)})


def _family(
    name: str, data: CalibrationSet, stages: Sequence[Filter], parameter: str, shift: float = 0
) -> Family:
    return Family(
        name,
        tuple(
            Decision(
                float(getattr(stage, parameter)) + shift,
                stage.expression(),
                stage.mask(data.queries, data.candidates),
            )
            for stage in stages
        ),
    )


def risk_families(
    data: CalibrationSet, probabilities: Floats, fit: NDArray[np.bool_], n: int
) -> list[Family]:
    """Return the cuts on the probability of being relevant, with short rows and without.

    Args:
        data: queries and candidates.
        probabilities: of the candidates, shape (batch, k).
        fit: the rows whose probabilities the grid may look at.
        n: negatives for each row.
    """
    eligible = np.where(data.eligible, probabilities, np.nan)
    there = eligible[fit]
    there = there[np.isfinite(there)]
    cuts: list[float] = []
    if len(there):
        # Half of the grid evenly over the candidates, half evenly over the log of the probability.
        low, high = np.log(np.maximum(there.min(), 1e-6)), np.log(np.maximum(there.max(), 1e-6))
        spread = np.exp(np.linspace(low, high, CUTS))
        even = np.quantile(there, np.linspace(0, 1, CUTS))
        cuts = sorted({float(f"{one:.4g}") for one in (*spread, *even)})

    def family(name: str, least: int) -> Family:
        text = f", least={least}" if least else ""
        return Family(
            name,
            tuple(
                Decision(cut, f"risk(max={cut!r}{text})",
                         within(eligible, data.candidates, cut, least))
                for cut in ([0.0, *cuts] if least else cuts)
            ),
        )  # fmt: skip

    return [family(RISK_SERVED, n), family(RISK, 0)]


def outcome_of(data: CalibrationSet, decision: Decision, n: int) -> Outcome:
    """Return what a decision does, by the engine that mines, the hardest first.

    Args:
        data: queries and candidates.
        decision: which candidates are kept.
        n: negatives for each row.
    """
    rules = Rules((_Given(decision.mask),), (), TopSampler(), n, 0)
    slots = select(data.queries, data.candidates, rules, data.corpus).slots
    taken, place = slots >= 0, np.maximum(slots, 0)

    def of(values: NDArray[Any]) -> Floats:
        return np.where(taken, np.take_along_axis(values, place, axis=1), 0).astype(np.float64)

    weights = of(data.weights)
    relevance = np.where(weights > 0, of(np.nan_to_num(data.relevance)), 0.0)
    positive = data.candidates.positive_score(data.queries)
    relative = over(data.candidates.scores.astype(np.float64), positive[:, None])
    counts = taken.sum(axis=1)
    unique, line = np.unique(data.queries.keys, return_inverse=True)

    def total(values: NDArray[Any]) -> Floats:
        return np.bincount(line, values.astype(np.float64), len(unique)).astype(np.float64)

    return Outcome(
        false=total((weights * relevance).sum(axis=1)),
        cases=total(weights.sum(axis=1)),
        chosen=total(counts),
        full=total(counts == n),
        rows=total(np.ones(len(counts))),
        ranks=total(of(data.candidates.ranks).sum(axis=1)),
        hardness=total(of(np.nan_to_num(relative)).sum(axis=1)),
        squares=total((weights**2).sum(axis=1)),
    )


def split_sums(outcome: Outcome, part: NDArray[np.bool_]) -> Outcome:
    """Return the outcome for some of the queries."""
    return Outcome(*(getattr(outcome, name)[part] for name in Outcome.__slots__))


def measure(outcome: Outcome, n: int, *, interval: bool = False, seed: int = 0) -> Measured:
    """Return the figures of a decision.

    Args:
        outcome: of the queries that count.
        n: negatives for each row.
        interval: whether to draw queries anew for the interval of the rate.
        seed: of these draws.
    """
    cases, chosen, rows = outcome.cases.sum(), outcome.chosen.sum(), outcome.rows.sum()
    low = high = None
    if interval and cases:
        kish = float(cases**2 / outcome.squares.sum())
        found = clustered_interval(outcome.false, outcome.cases, kish, seed=seed, kish=kish)
        low, high = found.low, found.high
    return Measured(
        rate=float(outcome.false.sum() / cases) if cases else None,
        low=low,
        high=high,
        mean_rank=float(outcome.ranks.sum() / chosen) if chosen else None,
        hardness=float(outcome.hardness.sum() / chosen) if chosen else None,
        served=float(outcome.full.sum() / rows) if rows else 0.0,
        filled=float(chosen / (n * rows)) if rows else 0.0,
        negatives=int(chosen),
        queries=len(outcome.rows),
    )
