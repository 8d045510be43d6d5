"""The model of risk with and without a cross-encoder's score among its signals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.context import Context
from benchmarks.data import find_collection
from benchmarks.processes import fresh_folder
from benchmarks.results import Figure
from benchmarks.risk_curves import (
    COLLECTIONS,
    LEVELS,
    SEEDS,
    N,
    both_halves,
    columns,
    hardest,
    pooled,
    summary,
)
from hf_hardneg.evaluation.calibration_data import CalibrationSet, calibration_set
from hf_hardneg.pair_scorer import PairScorer
from hf_hardneg.query_sources import load_queries

__all__ = ["run"]

ENCODER = "potion-4m-static"
DEPTHS = (100, 30)
LABELS = (200, 500, 1_000)
NONE, WORST = float("inf"), 9.99
SIDES = ("risk", "risk with cross-encoder")


def run(context: Context) -> Figure:
    """Take the figure."""
    figure = Figure(
        "risk_cross_encoder",
        f"{N} negatives of the top of a static model, one known positive a query: false negatives "
        "against mean rank, of the model of risk with and without the score of a cross-encoder, "
        "on queries that it was not fitted to",
    )
    figure.settings = {
        "num_negatives": N, "depths": list(DEPTHS), "labels": list(LABELS), "seeds": list(SEEDS),
        "encoder": ENCODER, "cross_encoder": context.model.name, "levels": list(LEVELS),
        "repeat": len(SEEDS),
    }  # fmt: skip
    with fresh_folder(context.work, "risk") as cache:
        scorer = PairScorer(context.model, cache_dir=cache)
        for name, seed, data in _collections(context, figure, cache):
            context.say(f"{name}, seed {seed}")
            for side, given in zip(SIDES, (None, scorer), strict=True):
                for family, points in both_halves(data, seed, LABELS, given).items():
                    kind, _, rest = family.partition(", ")
                    if kind != "risk" or "short" in rest:
                        continue
                    values = {"points": columns(points), **summary(points)}
                    figure.add(f"{name}, {side}, {rest}", seed, values)
    for collection in COLLECTIONS:
        for depth in DEPTHS:
            _judge(figure, f"{collection}, top {depth}")
    figure.notes = [
        "As risk_curves: halves of the queries learn and are measured in turn, counts of three "
        "seeds added up; every query is served. The points are picked where they are measured, for "
        "both sides alike, and the difference has no interval.",
        "Targets: the mean rank with the cross-encoder over that without it, at a rate of at most "
        "x; 9.99 where it alone does not reach the rate, 0 where it alone does.",
    ]
    return figure


def _collections(
    context: Context, figure: Figure, cache: Path
) -> Iterator[tuple[str, int, CalibrationSet]]:
    """Yield each collection at each depth and seed."""
    model = context.model.parent / ENCODER
    about = {}
    for collection in COLLECTIONS:
        place = find_collection(context.data, collection)
        about[collection] = place.describe()
        rows = load_queries(place.folder, split="test").rows
        for depth in DEPTHS:
            strategy = f"dense@{depth}(model={str(model)!r})"
            for seed in SEEDS:
                data = calibration_set(
                    strategy, rows, str(place.folder), seed=seed, cache_dir=cache
                )
                yield f"{collection}, top {depth}", seed, data
    figure.data = about


def _judge(figure: Figure, name: str) -> None:
    """Compare with and without at the same rate of false negatives."""
    for labels in LABELS:
        without, given = (pooled(figure, f"{name}, {side}, {labels} labels") for side in SIDES)
        for level in LEVELS:
            ends = [hardest(points, level) for points in (without, given)]
            ranks = [NONE if end is None else end["ranks"] / end["chosen"] for end in ends]
            if ranks == [NONE, NONE]:
                continue
            about = f"{name}, {labels} labels, at most {level:.0%} false: mean rank over without"
            figure.target(about, round(min(ranks[1] / ranks[0], WORST), 3), 1.0)
