"""``calibrate``: the rate of false negatives that is achieved against the target."""

from __future__ import annotations

from typing import Any

from benchmarks import risk_curves
from benchmarks.context import Context
from benchmarks.processes import fresh_folder
from benchmarks.results import Figure
from hf_hardneg.evaluation.calibration import calibrate
from hf_hardneg.evaluation.calibration_report import Calibration, Choice, Met, Point

__all__ = ["run"]

TARGETS = (0.01, 0.02, 0.05, 0.1, 0.2)
PARTS = (0.2, 0.3, 0.5)
SEEDS = tuple(range(10))
N, DELTA = 5, 0.1


def run(context: Context) -> Figure:
    """Take the figure."""
    figure = Figure(
        "calibrate",
        f"calibrate, {N} negatives of the top 100, one known positive a query: the rate of false "
        "negatives on the held-out half against the target",
    )
    figure.settings = {
        "num_negatives": N, "targets": list(TARGETS), "parts": list(PARTS), "delta": DELTA,
        "seeds": list(SEEDS), "models": ["potion-4m-static", "all-MiniLM-L6-v2"],
        "repeat": len(SEEDS),
    }  # fmt: skip
    with fresh_folder(context.work, "calibrate") as cache:
        for found in risk_curves.collections(context, figure, SEEDS, cache):
            for seed, data in found.data.items():
                context.say(f"{found.name}, seed {seed}")
                result = calibrate(
                    data, TARGETS, num_negatives=N, delta=DELTA, parts=PARTS, seed=seed
                )
                for met in result.met:
                    for side, values in _values(result, met).items():
                        figure.add(f"{found.name}, {met.target:.0%}, {side}", seed, values)
            _judge(figure, found.name)
    figure.notes = [
        "Queries are split by a hash: a fifth fits the model, three tenths calibrate, half is held "
        "out. repeat is the seed, of the split and of the positive that each query shows; the ten "
        "splits are of the same queries, so they are no independent trials.",
        "certified: learn then test at delta = 0.1 over all families; missing where nothing is. "
        "on average: conformal risk control, false negatives a place asked for. estimate: the "
        "hardest decision whose rate on the other half is at most the target, nothing promised.",
        "found: 1 where there is such a decision. broken: 1 where its held-out rate is above the "
        "target; held-out queries are few, so a decision that keeps its promise shows that too.",
    ]
    return figure


def _values(result: Calibration, met: Met) -> dict[str, dict[str, Any]]:
    found: dict[str, Choice | Point | None] = {
        "certified": met.certified,
        "on average": met.average,
        "estimate": met.estimate,
        "estimate of risk": met.risk_estimate,
    }
    return {side: _of(choice, met.target) for side, choice in found.items()} | {
        "model": _model(result)
    }


def _of(choice: Choice | Point | None, target: float) -> dict[str, Any]:
    if choice is None or choice.held_out.rate is None:
        return {"found": 0}
    held = choice.held_out
    values = {"found": 1, "rate": round(held.rate or 0.0, 4), "mean_rank": held.mean_rank,
              "served": held.served, "filled": held.filled,
              "broken": int((held.rate or 0.0) > target)}  # fmt: skip
    if isinstance(choice, Point):
        loss = (held.rate or 0.0) * held.filled
        values |= {"rate_a_place": round(loss, 4), "broken": int(loss > target)}
    else:
        values["family"] = choice.family
    return values


def _model(result: Calibration) -> dict[str, Any]:
    held = result.model.figures["held_out"]
    return {name: held[name] for name in ("brier", "brier_of_base_rate", "error", "base_rate")}


def _judge(figure: Figure, name: str) -> None:
    """A promise at delta may be broken in so many of the splits, and on average not at all."""
    for target in TARGETS:
        for side, limit, key in (
            ("certified", DELTA, "broken"),
            ("on average", target, "rate_a_place"),
        ):
            runs = [run for run in figure.of(f"{name}, {target:.0%}, {side}") if run["found"]]
            if runs:
                value = round(sum(run[key] for run in runs) / len(runs), 4)
                what = (
                    "share of splits above the target" if key == "broken" else "mean rate a place"
                )
                figure.target(f"{name}, target {target:.0%}, {side}: {what}", value, limit)
