"""Fitting the model of risk, and looking how well its probabilities are calibrated."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.errors import QueryError
from hf_hardneg.hashing import mix
from hf_hardneg.pair_scorer import ScorerNote
from hf_hardneg.risk_model import RiskModel, rounded

__all__ = ["FEWEST_LABELS", "FEWEST_OF_A_KIND", "Pairs", "RiskFit", "fit_risk", "reliability"]

FEWEST_LABELS, FEWEST_OF_A_KIND = 20, 3
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
FOLDS = 5
STEPS = 1_000
BINS = 10
LEAST = 1e-6
"""Probabilities nearer to 0 or 1 count as this in the log loss, so that one surprise is not all."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Labelled pairs of a query and a candidate.

    Attributes:
        signals: names.
        values: shape (pairs, signals).
        labels: how relevant, 0 to 1, shape (pairs,).
        weights: 1 over the chance of having been drawn, shape (pairs,).
        groups: keys of the queries, shape (pairs,): pairs of one query are never parted.
        cross_encoder: which cross-encoder signals came from; ``None`` without one.
    """

    signals: tuple[str, ...]
    values: Floats
    labels: Floats
    weights: Floats
    groups: NDArray[np.uint64]
    cross_encoder: ScorerNote | None = None

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.labels)

    def of(self, chosen: NDArray[Any]) -> Pairs:
        """Return some of the pairs."""
        return Pairs(
            self.signals,
            self.values[chosen],
            self.labels[chosen],
            self.weights[chosen],
            self.groups[chosen],
            self.cross_encoder,
        )


@dataclass(frozen=True, slots=True)
class RiskFit:
    """A model, and what it says of its own pairs when it has not seen their query.

    Attributes:
        model: fitted to all pairs.
        folds: (keys of queries, model fitted without them), so that queries of the fit can be
            looked at as if they were new; empty where there are too few queries.
    """

    model: RiskModel
    folds: tuple[tuple[NDArray[np.uint64], RiskModel], ...]


def fit_risk(pairs: Pairs, origin: str, *, penalty: float | None = None, seed: int = 0) -> RiskFit:
    """Fit a logistic regression with an L2 penalty to weighted labels.

    Signals are centred and scaled by their weighted mean and standard deviation; a constant one
    gets the coefficient 0. Weights are brought to a mean of 1, which keeps the meaning of the
    penalty ``C``: (mean weighted log loss) x pairs + |b|^2 / (2 C). A label between 0 and 1 counts
    as both, in that proportion. ``C`` is the one of 0.01, 0.03, 0.1, 0.3, 1, 3 with the lowest
    weighted log loss in 5-fold cross-validation, whole queries in one fold; with fewer than five
    queries or too few relevant pairs for that it is 1.

    Args:
        pairs: the labelled pairs; those with a missing signal are left out.
        origin: where the labels are from, for the model.
        penalty: ``C``, above 0, instead of cross-validation.
        seed: of the folds, with the queries' keys.

    Raises:
        QueryError: too few labels, or too few of one kind.
    """
    pairs = pairs.of(~np.isnan(pairs.values).any(axis=1) & (pairs.weights > 0))
    # Any order of rows gives the same sums.
    pairs = pairs.of(np.lexsort((pairs.labels, *pairs.values.T, pairs.groups)))
    _refuse_few(pairs, origin)
    fold = _folds(pairs.groups, seed)
    chosen, how = (penalty, "given") if penalty is not None else _chosen_penalty(pairs, fold)
    model = _fitted(pairs, chosen, how, origin)
    apart = []
    for _, train, held in _splits(pairs, fold):
        apart.append((np.unique(pairs.groups[held]), _fitted(pairs.of(train), chosen, how, origin)))
    return RiskFit(model, tuple(apart))


def _refuse_few(pairs: Pairs, origin: str) -> None:
    relevant = int((pairs.labels >= 0.5).sum())
    others = len(pairs) - relevant
    if len(pairs) < FEWEST_LABELS or min(relevant, others) < FEWEST_OF_A_KIND:
        raise QueryError(
            f"risk: {len(pairs)} labelled pairs from {origin}, {relevant} of them relevant; "
            f"expected at least {FEWEST_LABELS}, with {FEWEST_OF_A_KIND} relevant ones and "
            f"{FEWEST_OF_A_KIND} that are not. Label more pairs, give judgements with several "
            "positives a query, or retrieve deeper."
        )


def _folds(groups: NDArray[np.uint64], seed: int) -> NDArray[np.int64]:
    """Return the fold of each pair: queries in the order of a hash, dealt out in turn."""
    unique, place = np.unique(groups, return_inverse=True)
    turn = np.empty(len(unique), dtype=np.int64)
    turn[np.argsort(mix(seed, unique), kind="stable")] = np.arange(len(unique)) % FOLDS
    return turn[place]


def _splits(
    pairs: Pairs, fold: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield (fold, train, held out) where both kinds of labels are left to train on."""
    for number in range(FOLDS):
        held = fold == number
        left = pairs.labels[~held]
        if held.any() and min((left >= 0.5).sum(), (left < 0.5).sum()) >= 1:
            yield number, ~held, held


def _chosen_penalty(pairs: Pairs, fold: NDArray[np.int64]) -> tuple[float, str]:
    splits = list(_splits(pairs, fold))
    if len(splits) < FOLDS:
        return 1.0, f"fixed: fewer than {FOLDS} parts of the queries can be learnt from"
    losses = []
    for penalty in PENALTIES:
        total = 0.0
        for _, train, held in splits:
            model = _fitted(pairs.of(train), penalty, "", "")
            part = pairs.of(held)
            p = np.clip(model.probabilities(part.values, part.signals), LEAST, 1 - LEAST)
            loss = part.labels * np.log(p) + (1 - part.labels) * np.log1p(-p)
            total -= float((part.weights * loss).sum())
        losses.append(total)
    return PENALTIES[int(np.argmin(losses))], f"{FOLDS}-fold cross-validation over queries"


def _fitted(pairs: Pairs, penalty: float, how: str, origin: str) -> RiskModel:
    """Return the model; scikit-learn does the work, numpy alone uses it."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    weights = pairs.weights / pairs.weights.mean()
    share = weights / weights.sum()
    centre = np.array([rounded(one) for one in share @ pairs.values])
    spread = np.sqrt(share @ (pairs.values - centre) ** 2)
    constant = spread <= LEAST * np.maximum(np.abs(centre), 1.0)
    scale = np.array([rounded(one) for one in np.where(constant, 1.0, spread)])
    scaled = np.where(constant, 0.0, (pairs.values - centre) / scale)
    # A label between 0 and 1 stands there twice, as both kinds, with its share of the weight.
    both = np.concatenate([scaled, scaled])
    kinds = np.repeat([1, 0], len(pairs))
    parts = np.concatenate([weights * pairs.labels, weights * (1 - pairs.labels)])
    used = parts > 0
    regression = LogisticRegression(C=penalty, max_iter=STEPS, tol=1e-8)
    with warnings.catch_warnings():
        # Stopped early it is a model all the same, and its calibration is measured.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(both[used], kinds[used], sample_weight=parts[used])
    return RiskModel(
        signals=pairs.signals,
        centre=tuple(centre.tolist()),
        scale=tuple(scale.tolist()),
        coefficients=tuple(
            0.0 if still else rounded(one)
            for one, still in zip(regression.coef_[0], constant, strict=True)
        ),
        intercept=rounded(regression.intercept_[0]),
        penalty=penalty,
        penalty_from=how,
        labels=len(pairs),
        relevant=rounded(share @ pairs.labels),
        queries=len(np.unique(pairs.groups)),
        origin=origin,
        cross_encoder=pairs.cross_encoder,
    )


def reliability(
    probabilities: Floats, labels: Floats, weights: Floats, bins: int = BINS
) -> dict[str, Any]:
    """Return how well probabilities are calibrated, as plain values for JSON.

    ``brier`` is the weighted mean of ``(p - y)^2``; ``brier_of_base_rate`` that of the constant
    ``p = mean y`` of the same pairs, which only their own labels could give: a model is of use
    below it. ``curve`` has, for bins of equally many pairs by rising probability, the mean
    probability, the share that is relevant, and the pairs; ``error`` is the mean distance of the
    two, weighted (expected calibration error).

    Args:
        probabilities: shape (pairs,), of queries that the model has not seen; ``nan`` is left out.
        labels: 0 to 1.
        weights: 1 over the chance of having been drawn.
        bins: of the curve, at most as many as there are pairs.
    """
    there = ~np.isnan(probabilities) & (weights > 0)
    p, y, w = probabilities[there], labels[there], weights[there]
    if not len(p):
        return {"pairs": 0, "missing": int((~there).sum())}
    w = w / w.sum()
    base = float(w @ y)
    order = np.argsort(p, kind="stable")
    curve = []
    error = 0.0
    for part in np.array_split(order, min(bins, len(order))):
        share = w[part].sum()
        mean, found = float(w[part] @ p[part] / share), float(w[part] @ y[part] / share)
        error += float(share) * abs(mean - found)
        curve.append({"probability": rounded(mean), "relevant": rounded(found), "pairs": len(part)})
    return {
        "pairs": len(p),
        "missing": int((~there).sum()),
        "base_rate": rounded(base),
        "brier": rounded(w @ (p - y) ** 2),
        "brier_of_base_rate": rounded(w @ (base - y) ** 2),
        "error": rounded(error),
        "curve": curve,
    }
