"""``select`` from a pool on disk against the run that mined everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.context import Context
from benchmarks.data import Collection, find_collection
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure

__all__ = ["run"]

K, N = 100, 5
LIMIT = 0.05
JUDGEMENTS = "judgements.tsv"
FIRST, POOL, SAME = "first run", "retrieve and save the pool", "select"
STRATEGIES = {
    SAME: (f"bm25@{K}", "columns"),
    "select, n-tuple": (f"bm25@{K}", "n-tuple"),
    "select, margin": (f"bm25@{K}+margin(relative=0.05)", "columns"),
    "select, random": (f"bm25@{K}+random", "columns"),
    "select, ranks 11 to 50": (f"bm25@{K}+rank(range_min=11, range_max=51)", "columns"),
}


def run(context: Context) -> Figure:
    """Take the figure."""
    figure = Figure(
        "select_from_pool",
        f"OfflineMiner.select from a saved pool of the top {K}, {N} negatives, as a share of "
        "mining the same from the files on disk",
    )
    collection = find_collection(context.data, "debian-packages")
    figure.data = collection.describe()
    figure.settings = {
        "top_k": K, "num_negatives": N, "repeat": context.repeat,
        "strategies": {side: list(how) for side, how in STRATEGIES.items()},
    }  # fmt: skip
    for repeat in range(context.repeat):
        with fresh_folder(context.work, "select") as folder:
            collection.join_judgements(folder / JUDGEMENTS)
            # The pool has a cache of its own: nothing that the first run kept can help select.
            for side in [POOL, *context.order([FIRST, *STRATEGIES], repeat)]:
                context.say(f"repeat {repeat + 1} of {context.repeat}: {side}")
                with fresh_folder(context.work, "side") as scratch:
                    figure.add(side, repeat, _take(collection, side, folder, scratch))
    _judge(figure)
    return figure


def _take(collection: Collection, side: str, folder: Path, scratch: Path) -> dict[str, Any]:
    """Run one side; ``folder`` holds the pool, its cache and the judgements."""
    common = {"corpus": collection.folder, "n": N}
    files = {"k": K, "queries": collection.queries, "judgements": folder / JUDGEMENTS}
    if side == FIRST:
        own = {"cache_dir": scratch / "cache", "output_format": "columns", "compiled": False}
        return run_side("hardneg:mine", {**common, **files, **own}, scratch)
    place = {"cache_dir": folder / "cache", "pool": folder / "pool"}
    if side == POOL:
        return run_side("hardneg:retrieve", {**common, **files, **place}, scratch)
    strategy, form = STRATEGIES[side]
    how = {"strategy": strategy, "output_format": form}
    return run_side("hardneg:select", {**common, **place, **how}, scratch)


def _judge(figure: Figure) -> None:
    first = figure.of(FIRST)
    same = {run["digest"] for run in [*first, *figure.of(SAME)]}
    figure.check("select gives the negatives and scores of the first run", len(same) == 1)
    shares = {}
    for side in STRATEGIES:
        runs = figure.of(side)
        figure.check(
            f"every run of '{side}' gives the same data set",
            len({run["digest"] for run in runs}) == 1,
        )
        shares[side] = figure.ratio(
            side,
            [run["seconds"] for run in runs],
            [run["seconds"] for run in first],
            "share of the first run's seconds",
        )
    figure.target(f"select, at most {LIMIT:.0%} of the first run", shares[SAME], LIMIT)
    figure.notes = [
        "seconds of select: from calling it in a fresh process to the finished data set. "
        "opening_seconds, not among them: loading the pool and making the miner.",
        "seconds of the first run: everything, the files read and numba's compilation included.",
    ]
