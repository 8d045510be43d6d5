"""``select`` with every sampler and cheap filter, over a saved pool of a whole collection."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.context import Context
from benchmarks.data import Collection, find_collection
from benchmarks.errors import BenchmarkError
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure

__all__ = ["run"]

K, N = 100, 5
SECONDS, MEMORY_MIB = 2.0, 256.0
BM25, DENSE = "bm25", "dense"
STAGES: dict[str, tuple[str, str]] = {
    "top": (BM25, "top"),
    "random": (BM25, "random"),
    "simans": (BM25, "simans"),
    "simans, per standard deviation": (BM25, "simans(scale='std')"),
    "ambiguous, window": (BM25, "ambiguous(strategy='uniform', start_rank=20, end_rank=80)"),
    "importance": (BM25, "importance"),
    "rance": (BM25, "rance"),
    "margin-bin": (BM25, "margin-bin"),
    "stratified": (BM25, "stratified"),
    "curriculum": (BM25, "curriculum(difficulty=0.7)"),
    "distance-weighted": (DENSE, "distance-weighted"),
    "triangular": (DENSE, "triangular"),
    "rank": (BM25, "rank(range_min=11, range_max=51)"),
    "score": (BM25, "score(min_score=1.0)"),
    "margin": (BM25, "margin"),
    "margin, percentile": (BM25, "margin(percentile=0.5)"),
    "semi-hard": (BM25, "semi-hard(relative=0.2)"),
    "passage-sieve": (BM25, "passage-sieve"),
    "reuse-cap": (BM25, "reuse-cap"),
    "consistency": (BM25, "consistency"),
}
"""By name: which pool, and the stage."""


def run(context: Context) -> Figure:
    """Take the figure."""
    model = context.model.parent / "potion-4m-static"
    if not model.is_dir():
        raise BenchmarkError(
            f"there is no static embedding model in {model}, beside the cross-encoder. Name the "
            "cross-encoder's folder with --model."
        )
    figure = Figure(
        "stage_speed",
        f"OfflineMiner.select with each sampler and cheap filter over a saved pool of the top {K}, "
        f"{N} negatives",
    )
    collection = find_collection(context.data, "debian-packages")
    figure.data = collection.describe()
    figure.settings = {
        "top_k": K, "num_negatives": N, "repeat": context.repeat, "model": model.name,
        "stages": {side: list(how) for side, how in STAGES.items()},
    }  # fmt: skip
    with fresh_folder(context.work, "stages") as folder:
        for pool in (BM25, DENSE):
            context.say(f"making the {pool} pool")
            _pool(collection, folder, pool, model)
        for repeat in range(context.repeat):
            for side in context.order(list(STAGES), repeat):
                context.say(f"repeat {repeat + 1} of {context.repeat}: {side}")
                pool, stage = STAGES[side]
                # A finished selection is kept; the next repeat must not find it.
                shutil.rmtree(folder / "cache" / "maps", ignore_errors=True)
                arguments = {
                    "corpus": collection.folder, "pool": folder / pool, "n": N,
                    "strategy": f"{_head(pool, model)}+{stage}", "output_format": "columns",
                    "cache_dir": folder / "cache",
                }  # fmt: skip
                with fresh_folder(context.work, "side") as scratch:
                    figure.add(side, repeat, run_side("hardneg:select", arguments, scratch))
    _judge(figure)
    return figure


def _head(pool: str, model: Path) -> str:
    return f"bm25@{K}" if pool == BM25 else f"dense@{K}(model={str(model)!r})"


def _pool(collection: Collection, folder: Path, pool: str, model: Path) -> None:
    arguments = {
        "corpus": collection.folder, "queries": collection.queries,
        "judgements": collection.judgements[0],
        "strategy": _head(pool, model), "n": N, "cache_dir": folder / "cache",
        "pool": folder / pool,
    }  # fmt: skip
    with fresh_folder(folder, "pool") as scratch:
        run_side("presets:make_pool", arguments, scratch)


def _judge(figure: Figure) -> None:
    for side in STAGES:
        figure.check(
            f"every run of '{side}' gives the same data set",
            len({run["digest"] for run in figure.of(side)}) == 1,
        )
        seconds = figure.median(side, "seconds")
        figure.target(f"seconds of select with {side}", seconds, SECONDS)
        memory = figure.median(side, "peak_mib")
        figure.target(f"MiB of select with {side}, above the imports", memory, MEMORY_MIB)
    figure.notes = [
        "seconds: from calling select in a fresh process to the finished data set, all of its "
        "other work and the fit of stages that are fitted included.",
        "the pool is 47,868 queries x 100 candidates, a gigabyte as arrays: memory far below that "
        "is bounded by the batch.",
    ]
