"""A million documents on disk: exact and approximate search, and the memory they take."""

from __future__ import annotations

import numpy as np

from benchmarks.context import Context
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure

__all__ = ["run"]

DOCUMENTS, QUERIES, DIMENSION, K = 1_000_000, 10_000, 384, 64
MEMORY_LIMIT_MIB, RECALL_LIMIT, TIME_LIMIT = 2048, 0.95, 0.2
EXACT, APPROXIMATE = "exact", "approximate, index='auto'"


def run(context: Context) -> Figure:
    """Take the figure."""
    figure = Figure(
        "large_corpus",
        f"DenseRetriever over {DOCUMENTS:,} vectors of {DIMENSION} dimensions on disk, top {K} of "
        f"{QUERIES:,} queries",
    )
    figure.data = {"name": "unit vectors in clusters, seeded", "documents": DOCUMENTS,
                   "queries": QUERIES, "dimension": DIMENSION}  # fmt: skip
    figure.settings = {"top_k": K, "memory_gb": 1.0, "repeat": context.repeat}
    with fresh_folder(context.work, "large") as folder:
        corpus, cache = folder / "corpus.jsonl", folder / "cache"
        common = {"corpus": corpus, "dimension": DIMENSION, "cache_dir": cache}
        context.say("writing a million vectors (minutes)")
        with fresh_folder(context.work, "side") as scratch:
            built = run_side("vectors:build", {**common, "documents": DOCUMENTS}, scratch)
        figure.add("write the vectors", 0, built)
        for repeat in range(context.repeat):
            for side in context.order([EXACT, APPROXIMATE], repeat):
                context.say(f"repeat {repeat + 1} of {context.repeat}: {side}")
                name = "vectors:large_exact" if side == EXACT else "vectors:approximate"
                keep = folder / ("exact.npy" if side == EXACT else "approximate.npy")
                arguments = {**common, "queries": QUERIES, "k": K, "keep": keep}
                with fresh_folder(context.work, "side") as scratch:
                    values = run_side(name, arguments, scratch)
                figure.add(side, repeat, values)
        one, two = (np.load(folder / f"{name}.npy") for name in ("exact", "approximate"))
    missed = [1 - len(np.intersect1d(a, b)) / K for a, b in zip(one, two, strict=True)]
    _judge(figure, float(np.mean(missed)))
    return figure


def _judge(figure: Figure, missed: float) -> None:
    share = figure.ratio(
        "search",
        [run["seconds"] for run in figure.of(APPROXIMATE)],
        [run["seconds"] for run in figure.of(EXACT)],
        "seconds of the approximate search as a share of the exact one's",
    )
    for side in (EXACT, APPROXIMATE):
        peak = max(run["peak_mib"] + run["imports_mib"] for run in figure.of(side))
        figure.target(f"peak MiB of the process, {side}", round(peak, 1), MEMORY_LIMIT_MIB)
    figure.target(
        f"share of the true top {K} that the approximate search misses",
        round(missed, 4), round(1 - RECALL_LIMIT, 4),
    )  # fmt: skip
    figure.target("approximate search, share of the exact time", share, TIME_LIMIT)
    figure.notes = [
        "seconds: the search alone. index_seconds: opening, and for the first approximate run "
        "training and filling the index. queries_seconds: encoding the queries and, for the "
        "approximate search, measuring its recall on a sample of them.",
        "The peak is that of the whole process, imports included.",
    ]
