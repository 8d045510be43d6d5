"""The model of risk against every single-threshold rule, on collections with deep judgements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.context import Context
from benchmarks.data import find_collection
from benchmarks.drawing import draw_risk
from benchmarks.minilm import minilm
from benchmarks.processes import fresh_folder
from benchmarks.results import Figure
from hf_hardneg.errors import QueryError
from hf_hardneg.evaluation.calibration_data import (
    CalibrationSet,
    calibration_set,
    labelled_pairs,
)
from hf_hardneg.evaluation.decisions import (
    Decision,
    Family,
    Outcome,
    outcome_of,
    single_rules,
    split_sums,
)
from hf_hardneg.filters.risk import within
from hf_hardneg.hashing import mix
from hf_hardneg.pair_scorer import PairScorer
from hf_hardneg.query_sources import load_queries
from hf_hardneg.risk_fit import fit_risk
from hf_hardneg.risk_signals import signals_of

__all__ = [
    "both_halves", "collections", "columns", "hardest", "models", "pooled", "run", "summary",
]  # fmt: skip

COLLECTIONS = ("vaswani", "cacm")
LABELS = (50, 100, 200, 500, 1_000)
SEEDS = (0, 1, 2)
N, DEPTH = 5, 100
POINTS = 41
LEVELS = (0.05, 0.1, 0.15, 0.2)
SERVED = 0.95
COUNTS = ("false", "cases", "ranks", "chosen", "full", "rows")

Sums = dict[str, float]


@dataclass(frozen=True)
class Found:
    """A collection with its candidates.

    Attributes:
        name: of collection and retriever.
        data: by seed.
    """

    name: str
    data: dict[int, CalibrationSet]


def models(context: Context) -> dict[str, Path]:
    """Return the encoders."""
    return {
        "potion": context.model.parent / "potion-4m-static",
        "MiniLM": minilm("risk_curves"),
    }


def collections(
    context: Context, figure: Figure, seeds: tuple[int, ...], cache: Path
) -> Iterator[Found]:
    """Yield each collection with each encoder; every text is encoded once."""
    about = {}
    for collection in COLLECTIONS:
        place = find_collection(context.data, collection)
        about[collection] = place.describe()
        rows = load_queries(place.folder, split="test").rows
        for name, model in models(context).items():
            context.say(f"{collection}, {name}: retrieving")
            strategy = f"dense@{DEPTH}(model={str(model)!r})"
            data = {
                seed: calibration_set(strategy, rows, str(place.folder), seed=seed, cache_dir=cache)
                for seed in seeds
            }
            yield Found(f"{collection}, {name}", data)
    figure.data = about


def run(context: Context) -> Figure:
    """Take the figure."""
    figure = Figure(
        "risk_curves",
        f"{N} negatives of the top {DEPTH} of a dense retriever, one known positive a query: false "
        "negatives against mean rank and rows served, of the model of risk fitted to so many "
        "labelled pairs and of every single-threshold rule, on queries that neither has seen",
    )
    figure.settings = {
        "num_negatives": N, "depth": DEPTH, "labels": list(LABELS), "seeds": list(SEEDS),
        "models": ["potion-4m-static", "all-MiniLM-L6-v2"], "served_at_least": SERVED,
        "levels": list(LEVELS), "repeat": len(SEEDS),
    }  # fmt: skip
    with fresh_folder(context.work, "risk") as cache:
        for found in collections(context, figure, SEEDS, cache):
            for seed, data in found.data.items():
                context.say(f"{found.name}, seed {seed}")
                for family, points in both_halves(data, seed).items():
                    values = {"points": columns(points), **summary(points)}
                    figure.add(f"{found.name}, {family}", seed, values)
            _judge(figure, found.name)
    figure.notes = [
        "The queries are cut in two by a hash; one half gives labels, the other is measured, and "
        "then the other way round; counts of both are added up. repeat is the seed, of the cut, of "
        "the known positive that each query shows, and of the pairs that are labelled.",
        "points: by threshold, counts over all queries: false negatives, negatives, the sum of "
        "their ranks, rows with all of them, rows. Thresholds of the risk are quantiles of its "
        "probabilities on the measured queries, so that points of several fits can be added up.",
        "risk keeps what lies under a cut and, in any case, the "
        f"{N} candidates of a query with the lowest probability, so every query is served; "
        "risk, short rows: the cut alone.",
        f"rank_at_x: the lowest mean rank among thresholds with at most x% false negatives that "
        f"serve {SERVED:.0%} of the rows in full; left out where there is none. It is picked where "
        "it is measured, for all families alike.",
        "A seed is left out of a number of labels where one of its draws has fewer than three "
        "relevant pairs, which is too few to fit a model.",
        "Targets: the mean rank of risk with so many labels over the lowest of all single rules "
        "at the same rate, counts of all seeds added up; 9.99 where risk does not reach the rate.",
    ]
    draw_risk(figure, context.out / "risk_curves.svg")
    return figure


def both_halves(
    data: CalibrationSet,
    seed: int,
    labels: tuple[int, ...] = LABELS,
    cross_encoder: PairScorer | None = None,
) -> dict[str, list[Sums]]:
    """Return the points of every family, counts of both halves added up.

    Args:
        data: queries, candidates, and what is known of them.
        seed: of the halves and the labels that are drawn.
        labels: how many the model of risk is fitted to.
        cross_encoder: gives the model of risk further signals.
    """
    keys = data.queries.keys
    unique, line = np.unique(keys, return_inverse=True)
    first = np.zeros(len(unique), dtype=np.bool_)
    order = np.argsort(mix(seed, unique), kind="stable")
    first[order[: len(order) // 2]] = True
    signals = signals_of(data.queries, data.candidates, data.retriever, cross_encoder)
    total: dict[str, list[Sums]] = {}
    refused: set[str] = set()
    for learns in (first, ~first):
        rows = learns[line]
        families = list(single_rules(data, rows))
        for number in labels:
            pairs = labelled_pairs(data, signals, rows, seed, number)
            try:
                model = fit_risk(pairs, data.origin, seed=seed).model
            except QueryError:  # too few relevant ones among so few labels
                refused |= {family.name for family in _risk(data, None, ~rows, number)}
                continue
            probabilities = model.probabilities(signals.values, signals.names)
            probabilities = np.where(data.eligible, probabilities, np.nan)
            families += _risk(data, probabilities, ~rows, number)
        for family in families:
            points = [
                _sums(split_sums(outcome_of(data, one, N), ~learns), one.value)
                for one in family.decisions
            ]
            known = total.setdefault(family.name, [])
            for place, point in enumerate(points):
                if place == len(known):
                    known.append(point)
                else:
                    known[place] = {
                        name: value + known[place][name] if name in COUNTS else value
                        for name, value in point.items()
                    }
    return {name: points for name, points in total.items() if name not in refused}


def _risk(
    data: CalibrationSet,
    probabilities: NDArray[np.float64] | None,
    rows: NDArray[np.bool_],
    labels: int,
) -> list[Family]:
    """Return the risk cuts by the model of so many labels; without decisions if there is none."""
    if probabilities is None:
        return [Family(f"risk{name}, {labels} labels", ()) for name in ("", ", short rows")]
    there = probabilities[rows]
    cuts = np.quantile(there[np.isfinite(there)], np.linspace(0, 1, POINTS))
    return [
        Family(
            f"risk{name}, {labels} labels",
            tuple(
                Decision(place / (POINTS - 1), "",
                         within(probabilities, data.candidates, float(cut), least))
                for place, cut in enumerate(cuts)
            ),
        )
        for name, least in (("", N), (", short rows", 0))
    ]  # fmt: skip


def _sums(outcome: Outcome, value: float) -> Sums:
    sums = {name: float(getattr(outcome, name).sum()) for name in COUNTS}
    return {"value": value, **sums}


def summary(points: list[Sums]) -> dict[str, Any]:
    """Return the lowest mean rank at each rate of false negatives."""
    values: dict[str, Any] = {}
    for level in LEVELS:
        best = hardest(points, level)
        if best is not None:
            values[f"rank_at_{level:.0%}".rstrip("%")] = round(best["ranks"] / best["chosen"], 2)
    return values


def hardest(points: list[Sums], level: float, served: float = SERVED) -> Sums | None:
    """Return the point of the lowest mean rank with at most a rate, of those that serve enough."""
    good = [
        one
        for one in points
        if one["chosen"]
        and one["false"] <= level * one["cases"]
        and one["full"] >= served * one["rows"]
    ]
    return min(good, key=lambda one: one["ranks"] / one["chosen"], default=None)


def columns(points: list[Sums]) -> dict[str, list[float]]:
    """Return the points as one list for each number: a third of the JSON."""
    return {
        name: [round(point[name], 4) if name == "value" else int(point[name]) for point in points]
        for name in points[0]
    }


def pooled(figure: Figure, side: str) -> list[Sums]:
    """Return the points of a side with the counts of all seeds added up."""
    runs = [
        {"points": [dict(zip(run["points"], one, strict=True))
                    for one in zip(*run["points"].values(), strict=True)]}
        for run in figure.of(side)
    ]  # fmt: skip
    return [
        {
            "value": parts[0]["value"],
            **{name: sum(part[name] for part in parts) for name in COUNTS},
        }
        for parts in zip(*(run["points"] for run in runs), strict=False)
    ]


def _judge(figure: Figure, name: str) -> None:
    """Compare with the hardest single rule at the same rate of false negatives."""
    sides = list(dict.fromkeys(run["side"] for run in figure.runs if run["side"].startswith(name)))
    rules = [pooled(figure, side) for side in sides if ", risk" not in side]
    for labels in LABELS:
        if f"{name}, risk, {labels} labels" not in sides:
            continue
        ours = pooled(figure, f"{name}, risk, {labels} labels")
        for level in LEVELS:
            best = [found for rule in rules if (found := hardest(rule, level))]
            mine = hardest(ours, level)
            about = f"{name}, {labels} labels, at most {level:.0%} false: mean rank over a rule's"
            if not best:
                continue
            rank = min(one["ranks"] / one["chosen"] for one in best)
            value = 9.99 if mine is None else round(mine["ranks"] / mine["chosen"] / rank, 3)
            figure.target(about, value, 1.0)
