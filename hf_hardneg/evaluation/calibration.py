"""Which decision meets a target rate of false negatives with the hardest negatives that are left.

The queries are split in three by a hash: the first part fits the model of risk, fixes the grids
and the order of testing; the second calibrates; the third is held out, and measures what came out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.checks import fraction, whole_number
from hf_hardneg.errors import ParameterError, QueryError
from hf_hardneg.evaluation.calibration_data import CalibrationSet, labelled_pairs
from hf_hardneg.evaluation.calibration_report import Calibration, Choice, Met, Point
from hf_hardneg.evaluation.clustered import score_interval
from hf_hardneg.evaluation.decisions import (
    RISK,
    RISK_SERVED,
    Family,
    Outcome,
    measure,
    outcome_of,
    risk_families,
    single_rules,
    split_sums,
)
from hf_hardneg.hashing import mix
from hf_hardneg.pair_scorer import PairScorer
from hf_hardneg.risk_control import (
    betting_p_value,
    conformal_place,
    excess,
    fewest_queries,
    fixed_sequence,
    normal_p_value,
    tail_p_value,
)
from hf_hardneg.risk_fit import RiskFit, fit_risk, reliability
from hf_hardneg.risk_model import Cut, RiskModel
from hf_hardneg.risk_signals import Signals, signals_of, source_name
from hf_hardneg.strategy import Strategy

__all__ = ["PARTS", "calibrate"]

PARTS = (0.3, 0.4, 0.3)
"""Shares of the queries that fit, calibrate, and are held out."""
FEWEST_QUERIES = 12
SALT = 0x53504C49
MAIN_SHARE = 0.5
"""Of delta, for the family of ``risk`` that serves every query; the others share the rest."""

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Parts:
    """Which queries (sorted by key) belong to which part, and the same of the rows."""

    fit: Mask
    calibrate: Mask
    held_out: Mask
    line: NDArray[np.int64]

    def rows(self, part: Mask) -> Mask:
        """Return which rows have a query of the part."""
        return part[self.line]


@dataclass(frozen=True, slots=True)
class _Tried:
    """A family with what each of its decisions does to each query, the strictest first."""

    family: Family
    outcomes: tuple[Outcome, ...]
    delta: float


def calibrate(
    data: CalibrationSet,
    targets: Sequence[float],
    *,
    num_negatives: int = 5,
    delta: float = 0.1,
    min_served: float = 0.95,
    parts: tuple[float, float, float] = PARTS,
    fit_on: int | None = None,
    seed: int = 0,
    cross_encoder: PairScorer | None = None,
) -> Calibration:
    """Fit the model of risk and find, for each target, the hardest decision that meets it.

    Every family of decisions (skipping the top, four margins, the risk cut with short rows and
    without) is tested by learn then test, see :mod:`hf_hardneg.risk_control`: from the decision
    that looks safest on the fitting part towards harder ones, at its share of ``delta`` (half for
    the risk cut that serves every query, the rest in equal parts), so that the promise holds for
    whichever is picked in the end. Of those that pass and serve ``min_served`` of the rows, the one
    with the lowest mean rank is recommended. Each target is a promise of its own.

    The best estimate beside it is the hardest decision that serves as much and whose rate on the
    fitting and calibrating queries is at most the target: nothing is promised of it.

    Args:
        data: queries, candidates, and what is known of them.
        targets: rates of false negatives, each between 0 and 1.
        num_negatives: negatives a row, taken from the top.
        delta: the chance that is taken of a promise that does not hold.
        min_served: share of the rows that must have all their negatives.
        parts: shares of the queries that fit, calibrate, and are held out.
        fit_on: labelled pairs that the model is fitted to, drawn by hash from the fitting part;
            default: all of them.
        seed: of the split and all draws.
        cross_encoder: scores all candidates and the positives, with ``activation="identity"``;
            its logits are further signals. Default: none.

    Raises:
        ParameterError: a parameter out of range.
        ModelError: the cross-encoder cannot be had.
        QueryError: too few queries, or too few labels of a kind.
    """
    n = whole_number("calibrate", "num_negatives", num_negatives, 1)
    fraction("calibrate", "min_served", min_served)
    for name, value in (*(("target", target) for target in targets), ("delta", delta)):
        if not 0 < fraction("calibrate", name, value) < 1:
            raise ParameterError(
                f"calibrate: {name}={value!r}; expected a number between 0 and 1, neither of them."
            )
    split = _split(data, parts, seed)
    signals = signals_of(data.queries, data.candidates, data.retriever, cross_encoder)
    pairs = labelled_pairs(data, signals, split.rows(split.fit), seed, fit_on)
    fit = fit_risk(pairs, data.origin, seed=seed)
    probabilities = _probabilities(fit, signals, data)
    tried = _tried(data, probabilities, split, n, delta)
    met = tuple(_met(tried, split, target, data, n, delta, min_served, seed) for target in targets)
    model = _with_figures(fit.model, data, probabilities, split, met, n, delta)
    return Calibration(
        retriever=str(Strategy(data.retriever)),
        num_negatives=n,
        delta=delta,
        min_served=min_served,
        origin=data.origin,
        complete=data.complete,
        queries={
            name: int(getattr(split, name).sum()) for name in ("fit", "calibrate", "held_out")
        },
        model=model,
        met=met,
        curves=tuple(_curve(one, split, n) for one in tried),
        notes=data.notes,
        cross_encoder=_stage_parameters(cross_encoder),
    )


def _stage_parameters(cross_encoder: PairScorer | None) -> Mapping[str, Any]:
    """Return the parameters of ``risk`` that give it the same cross-encoder."""
    if cross_encoder is None:
        return {}
    return {"cross_encoder": cross_encoder.name, **cross_encoder.parameters()}


def _split(data: CalibrationSet, parts: tuple[float, float, float], seed: int) -> _Parts:
    """Deal the queries out in the order of a hash; those without a label are in no part."""
    if len(parts) != 3 or min(parts) <= 0 or abs(sum(parts) - 1) > 1e-6:
        raise ParameterError(
            f"calibrate: parts={parts!r}; expected three shares above 0 that add up to 1: of the "
            "queries that fit, calibrate, and are held out."
        )
    unique, line = np.unique(data.queries.keys, return_inverse=True)
    known = np.bincount(line, (data.weights > 0).any(axis=1), len(unique)) > 0
    order = np.argsort(mix(seed, SALT, unique), kind="stable")
    order = order[known[order]]
    if len(order) < FEWEST_QUERIES:
        raise QueryError(
            f"calibrate: {len(order)} queries have labelled candidates; expected at least "
            f"{FEWEST_QUERIES}, and some {fewest_queries(0.05, 0.1)} to promise 5%. Label more "
            "queries, a few candidates of each, rather than more of one query."
        )
    place = np.empty(len(unique))
    place[:] = np.inf
    place[order] = (np.arange(len(order)) + 0.5) / len(order)
    first, second = parts[0], parts[0] + parts[1]
    return _Parts(
        place < first, (place >= first) & (place < second),
        (place >= second) & np.isfinite(place), line,
    )  # fmt: skip


def _probabilities(fit: RiskFit, signals: Signals, data: CalibrationSet) -> Floats:
    """Return the probability of each candidate by a model that has not seen its query."""
    found = fit.model.probabilities(signals.values, signals.names)
    for keys, model in fit.folds:
        rows = np.isin(data.queries.keys, keys)
        found[rows] = model.probabilities(signals.values[rows], signals.names)
    return found


def _tried(
    data: CalibrationSet, probabilities: Floats, split: _Parts, n: int, delta: float
) -> list[_Tried]:
    fit = split.rows(split.fit)
    families = [*risk_families(data, probabilities, fit, n), *single_rules(data, fit)]
    rest = delta * (1 - MAIN_SHARE) / max(len(families) - 1, 1)
    return [
        _Tried(
            family,
            tuple(outcome_of(data, decision, n) for decision in family.decisions),
            delta * MAIN_SHARE if family.name == RISK_SERVED else rest,
        )
        for family in families
        if family.decisions
    ]


def _p_value(outcome: Outcome, target: float, n: int, *, complete: bool) -> float:
    """Return the p-value of a decision for a rate above the target."""
    places = n * outcome.rows.max(initial=1)
    z = excess(outcome.false, outcome.cases, target, int(places))
    if complete:
        return betting_p_value(z, target)
    return max(normal_p_value(z), _tail_p_value(outcome, target))


def _tail_p_value(outcome: Outcome, target: float) -> float:
    """Return what the labels would say by the binomial, were they as many independent ones."""
    cases = float(outcome.cases.sum())
    if not cases:
        return 1.0
    kish = cases**2 / float(outcome.squares.sum())
    effective, _ = score_interval(outcome.false, outcome.cases, kish, kish=kish)
    return tail_p_value(float(outcome.false.sum()) / cases, effective, target)


def _passed(one: _Tried, split: _Parts, target: float, n: int, *, complete: bool) -> range:
    """Return the places of the decisions of a family that are certified."""
    kind = {"n": n, "complete": complete}
    safe = [
        _p_value(split_sums(outcome, split.fit), target, **kind)  # type: ignore[arg-type]
        for outcome in one.outcomes
    ]
    start = int(np.argmin(safe))  # the strictest of several
    p_values = np.array(
        [
            _p_value(split_sums(outcome, split.calibrate), target, **kind)  # type: ignore[arg-type]
            for outcome in one.outcomes[start:]
        ]
    )
    return range(start, start + fixed_sequence(p_values, one.delta))


def _met(
    tried: Sequence[_Tried],
    split: _Parts,
    target: float,
    data: CalibrationSet,
    n: int,
    delta: float,
    min_served: float,
    seed: int,
) -> Met:
    """Return what meets a target."""
    seen = split.fit | split.calibrate
    certified: list[Choice] = []
    estimated: list[Choice] = []
    for one in tried:
        passed = _passed(one, split, target, n, complete=data.complete)
        for place, outcome in enumerate(one.outcomes):
            on_seen = measure(split_sums(outcome, seen), n)
            meets = on_seen.rate is not None and on_seen.rate <= target
            if not meets and place not in passed:
                continue
            decision = one.family.decisions[place]
            choice = Choice(
                one.family.name, decision.value, decision.text, on_seen,
                measure(split_sums(outcome, split.held_out), n), place in passed,
            )  # fmt: skip
            if place in passed:
                certified.append(choice)
            if meets:
                estimated.append(choice)

    def best(choices: list[Choice], only: Sequence[str] = ()) -> Choice | None:
        mine = [one for one in choices if not only or one.family in only]
        found = _hardest(mine, min_served)
        if found is None:
            return None
        [source] = [one for one in tried if one.family.name == found.family]
        place = next(
            place for place, one in enumerate(source.family.decisions) if one.text == found.text
        )
        held = split_sums(source.outcomes[place], split.held_out)
        return replace(found, held_out=measure(held, n, interval=True, seed=seed))

    names = [one.family.name for one in tried]
    main = next(one for one in tried if one.family.name == RISK_SERVED)
    return Met(
        target=target,
        certified=best(certified),
        estimate=best(estimated),
        risk_certified=best(certified, (RISK, RISK_SERVED)),
        risk_estimate=best(estimated, (RISK, RISK_SERVED)),
        families={name: (best(certified, [name]), best(estimated, [name])) for name in names},
        average=_average(tried, split, target, n) if data.complete else None,
        promise="high probability" if data.complete else "asymptotic",
        queries_needed=fewest_queries(target, main.delta),
        lowest=_lowest(tried, seen, n, min_served),
    )


def _hardest(choices: list[Choice], min_served: float) -> Choice | None:
    """Return the choice with the lowest mean rank of those that serve enough."""
    enough = [
        one for one in choices if one.seen.mean_rank is not None and one.seen.served >= min_served
    ]
    return min(enough, key=lambda one: one.seen.mean_rank or 0.0, default=None)


def _lowest(tried: Sequence[_Tried], seen: Mask, n: int, min_served: float) -> float | None:
    """Return the lowest rate that any decision reaches which serves enough."""
    figures = [measure(split_sums(o, seen), n) for one in tried for o in one.outcomes]
    rates = [one.rate for one in figures if one.rate is not None and one.served >= min_served]
    return min(rates, default=None)


def _average(tried: Sequence[_Tried], split: _Parts, target: float, n: int) -> Point | None:
    """Return the risk cut of conformal risk control, and what it comes to on held-out queries."""
    [one] = [one for one in tried if one.family.name == RISK]
    parts = [split_sums(outcome, split.calibrate) for outcome in one.outcomes]
    losses = [part.false / (n * part.rows) for part in parts]
    nothing = np.zeros(len(losses[0]))
    place = conformal_place(np.stack([nothing, *losses], axis=1), target)
    if not place:  # too few queries, or only nothing at all would do
        return None
    decision, outcome = one.family.decisions[place - 1], one.outcomes[place - 1]
    held = split_sums(outcome, split.held_out)
    return Point(decision.value, decision.text, measure(held, n))


def _with_figures(
    model: RiskModel,
    data: CalibrationSet,
    probabilities: Floats,
    split: _Parts,
    met: Sequence[Met],
    n: int,
    delta: float,
) -> RiskModel:
    """Return the model with its cuts, and how well it is calibrated on held-out queries."""
    cuts = []
    for one in met:
        choice = one.risk_certified or one.risk_estimate
        if choice is None:
            continue
        certified = one.risk_certified is not None
        cuts.append(
            Cut(
                target=one.target,
                max=choice.value,
                least=n if choice.family == RISK_SERVED else 0,
                promise=one.promise if certified else "none",
                delta=delta if certified else None,
                queries=int(split.calibrate.sum()),
                num_negatives=n,
            )
        )
    held = split.rows(split.held_out)[:, None] & (data.weights > 0)
    figures: Mapping[str, object] = {
        "held_out": reliability(probabilities[held], data.relevance[held], data.weights[held]),
        "queries_held_out": int(split.held_out.sum()),
    }
    name = source_name(data.retriever)
    return model.with_(cuts=tuple(cuts), figures=figures, retriever=name)


def _curve(one: _Tried, split: _Parts, n: int) -> tuple[str, tuple[Point, ...]]:
    """Return the figures of a family's decisions on held-out queries."""
    return one.family.name, tuple(
        Point(decision.value, decision.text, measure(split_sums(outcome, split.held_out), n))
        for decision, outcome in zip(one.family.decisions, one.outcomes, strict=True)
    )
