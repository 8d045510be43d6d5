"""Time and memory as the corpus and the queries grow, and a drawing of both."""

from __future__ import annotations

import numpy as np

from benchmarks.context import Context
from benchmarks.drawing import draw_growth
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure

__all__ = ["run"]

DOCUMENTS = (10_000, 30_000, 100_000, 300_000, 1_000_000)
QUERIES = (1_000, 3_000, 10_000, 30_000, 100_000)
FIXED_QUERIES, FIXED_DOCUMENTS = 1_000, 100_000
STRATEGIES = {"bm25": "bm25@64", "dense": "dense@64", "dense, approximate": "dense@64(index='{}')"}
SLOPE = 1.15
MEMORY_LIMIT_MIB = 2_048


def run(context: Context) -> Figure:
    """Take the figure."""
    figure = Figure(
        "growth",
        "OfflineMiner.mine, 5 negatives of the top 64: seconds and peak memory against the number "
        "of documents and of queries",
    )
    figure.data = {"name": "texts of words by Zipf's law; unit vectors in clusters, 384 dimensions",
                   "documents": list(DOCUMENTS), "queries": list(QUERIES)}  # fmt: skip
    figure.settings = {"repeat": context.repeat, "queries_while_documents_grow": FIXED_QUERIES,
                       "documents_while_queries_grow": FIXED_DOCUMENTS}  # fmt: skip
    points = [(size, FIXED_QUERIES) for size in DOCUMENTS]
    points += [(FIXED_DOCUMENTS, size) for size in QUERIES if size != FIXED_QUERIES]
    for documents, queries in points:
        for side, strategy in STRATEGIES.items():
            for repeat in range(context.repeat):
                context.say(f"{side}: {documents:,} documents, {queries:,} queries")
                arguments = {"documents": documents, "queries": queries, "strategy": strategy}
                with fresh_folder(context.work, "growth") as scratch:
                    given = {**arguments, "cache_dir": scratch / "cache"}
                    found = run_side("growth:mine", given, scratch)
                figure.add(side, repeat, found)
    _judge(figure)
    draw_growth(figure, context.out / "growth.svg")
    return figure


def _judge(figure: Figure) -> None:
    for side in STRATEGIES:
        runs = figure.of(side)
        largest = max(run["peak_mib"] + run["imports_mib"] for run in runs)
        figure.target(f"peak MiB of the process, {side}", round(largest, 1), MEMORY_LIMIT_MIB)
        if side == "dense, approximate":
            continue  # building the index, which is most of it, grows faster than the corpus
        for name, other, fixed in (
            ("documents", "queries", FIXED_QUERIES), ("queries", "documents", FIXED_DOCUMENTS)
        ):  # fmt: skip
            own = [run for run in runs if run[other] == fixed]
            own.sort(key=lambda run: int(run[name]))
            first, last = own[-2], own[-1]
            slope = np.log(last["seconds"] / first["seconds"]) / np.log(last[name] / first[name])
            figure.target(
                f"{side}: exponent of the time by {name} at the end", round(float(slope), 3), SLOPE
            )
    figure.notes = [
        "seconds: mining alone. Making the texts and vectors is not counted, nor are the imports.",
        "The peak is that of the whole process, imports included.",
        "dense, approximate: the inverted file that index='auto' would choose at 500,000 texts and "
        "more, here at every size; seconds include training and filling it.",
    ]
