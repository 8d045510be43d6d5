"""``CrossEncoderDenoiser`` asked lazily against scoring all candidates first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.context import Context
from benchmarks.data import Collection, find_collection
from benchmarks.errors import BenchmarkError
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure

__all__ = ["run"]

N, DEPTH, MAX_LENGTH, SEED = 5, 50, 160, 0
THRESHOLDS = [0.9, 0.5, 0.1, 0.02, 0.01]
MOST = 0.5
LIMIT, DEFAULT = 1 / 3, 0.1
FULL = "all first"


def _side(threshold: float) -> str:
    return f"lazy, threshold {threshold}"


def run(context: Context) -> Figure:
    """Take the figure. Pairs are counted, not timed, so one repeat is enough."""
    if not context.model.is_dir():
        raise BenchmarkError(
            f"there is no cross-encoder in {context.model}. Name the folder of one with --model."
        )
    figure = Figure(
        "lazy_veto",
        f"CrossEncoderDenoiser, {N} negatives of {DEPTH} candidates of BM25: pairs scored when "
        "asked lazily, as a share of the pairs that scoring all candidates first needs",
    )
    collection = find_collection(context.data, "medquad")
    figure.data = collection.describe()
    figure.settings = {
        "num_negatives": N, "keep_top_k": DEPTH, "max_length": MAX_LENGTH, "seed": SEED,
        "model": context.model.name, "split": collection.judgements[0].stem,
        "thresholds": THRESHOLDS, "repeat": context.repeat,
    }  # fmt: skip
    with fresh_folder(context.work, "veto") as folder:
        context.say("making the pool")
        figure.settings["queries"] = _pool(context, collection, folder)
        for repeat in range(context.repeat):
            for side in context.order([FULL, *map(_side, THRESHOLDS)], repeat):
                context.say(f"repeat {repeat + 1} of {context.repeat}: {side}")
                with fresh_folder(context.work, "side") as scratch:
                    values = _take(context, collection, side, folder, scratch)
                if "ids" in values:
                    (folder / f"{side}-{repeat}.json").write_text(json.dumps(values.pop("ids")))
                figure.add(side, repeat, values)
            _check_negatives(figure, folder, repeat)
    _judge(figure)
    return figure


def _pool(context: Context, collection: Collection, folder: Path) -> int:
    arguments = {
        "corpus": collection.folder, "queries": collection.queries,
        "judgements": collection.judgements[0], "number": context.queries, "seed": SEED,
        "cache_dir": folder / "cache", "pool": folder / "pool",
    }  # fmt: skip
    with fresh_folder(context.work, "pool") as scratch:
        return int(run_side("veto:make_pool", arguments, scratch)["queries"])


def _take(
    context: Context, collection: Collection, side: str, folder: Path, scratch: Path
) -> dict[str, Any]:
    common = {
        "corpus": collection.folder, "pool": folder / "pool", "model": context.model,
        "n": N, "depth": DEPTH, "max_length": MAX_LENGTH, "cache_dir": folder / "cache",
        "scratch": scratch / "cache",
    }  # fmt: skip
    if side == FULL:
        more: dict[str, Any] = {"thresholds": THRESHOLDS, "keep": folder / "all.json"}
        return run_side("veto:everything", {**common, **more}, scratch)
    more = {"threshold": next(limit for limit in THRESHOLDS if _side(limit) == side)}
    return run_side("veto:lazily", {**common, **more}, scratch)


def _check_negatives(figure: Figure, folder: Path, repeat: int) -> None:
    expected = json.loads((folder / "all.json").read_text())
    for threshold in THRESHOLDS:
        mined = json.loads((folder / f"{_side(threshold)}-{repeat}.json").read_text())
        figure.check(
            f"threshold {threshold}: the same negatives, in the same order, as all first",
            mined == expected[str(threshold)]["ids"],
        )


def _judge(figure: Figure) -> None:
    full = figure.of(FULL)
    survival = full[0]["survival"]
    shares = {}
    for threshold in THRESHOLDS:
        runs = figure.of(_side(threshold))
        survives = survival[str(threshold)]
        shares[threshold] = figure.ratio(
            f"pairs, threshold {threshold}",
            [run["pairs"] for run in runs],
            [run["pairs"] for run in full],
            f"{survives:.1%} of the candidates survive",
        )
        figure.ratio(
            f"seconds, threshold {threshold}",
            [run["seconds"] for run in runs],
            [run["seconds"] for run in full],
            f"{survives:.1%} of the candidates survive",
        )
        figure.check(
            f"threshold {threshold}: no pair is scored that could have been left out",
            all(run["pairs"] == full[0]["fewest"][str(threshold)] for run in runs),
        )
    for threshold in THRESHOLDS:
        each = [run["where_most_pass"][str(threshold)] for run in full]
        if not each[0]["queries"]:
            continue
        share = figure.ratio(
            f"pairs, threshold {threshold}, queries most of whose candidates survive",
            [counts["fewest"] for counts in each],
            [counts["pairs"] for counts in each],
            f"{each[0]['queries']:,} of {figure.settings['queries']:,} queries",
        )
        about = (
            f"pairs at threshold {threshold}, in the {each[0]['queries']:,} queries most of whose "
            "own candidates survive, at most a third"
        )
        figure.target(about, share, round(LIMIT, 4))
    for threshold, share in shares.items():
        survives = survival[str(threshold)]
        if survives > MOST or threshold == DEFAULT:  # the default one in any case
            about = f"pairs at threshold {threshold}, where {survives:.1%} survive, at most a third"
            figure.target(about, share, round(LIMIT, 4))
    figure.notes = [
        "survival: the share of all scored candidates that a threshold lets pass. The target "
        f"is one wherever more than {MOST:.0%} pass; the default threshold is {DEFAULT}.",
        "where_most_pass: the same for the queries by themselves of whose own candidates more than "
        "half pass.",
        "fewest: pairs up to and with the n-th survivor of every query. Nothing that takes the "
        "first n survivors in order can do with fewer.",
        "seconds: choosing, the model loaded before; all first leaves out the filtering itself.",
        "Pairs are distinct pairs of query and document text that went through the model.",
    ]
