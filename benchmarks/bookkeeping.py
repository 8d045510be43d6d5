"""Everything but the model and the search: many rows, few documents, tiny vectors."""

from __future__ import annotations

from benchmarks.context import Context
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure

__all__ = ["run"]

SIZES = {"queries": 200_000, "documents": 5_000, "dimension": 16, "n": 3, "k": 10}
LIMIT = 0.25
OURS, PEER, PEER_FAISS = "hf-hardneg", "sentence-transformers", "sentence-transformers, faiss"


def run(context: Context) -> Figure:
    """Take the figure."""
    figure = Figure(
        "bookkeeping",
        "OfflineMiner('dense').mine to n-tuples against sentence-transformers' "
        "mine_hard_negatives, with vectors that are there already",
    )
    figure.data = {"name": "unit vectors in clusters, seeded", **SIZES}
    figure.settings = {"repeat": context.repeat}
    for repeat in range(context.repeat):
        for side in context.order([OURS, PEER, PEER_FAISS], repeat):
            context.say(f"repeat {repeat + 1} of {context.repeat}: {side}")
            with fresh_folder(context.work, "book") as scratch:
                if side == OURS:
                    arguments = {**SIZES, "cache_dir": scratch / "cache"}
                    values = run_side("vectors:mine", arguments, scratch)
                else:
                    arguments = {**SIZES, "faiss_too": side == PEER_FAISS}
                    values = run_side("vectors:peer", arguments, scratch)
                figure.add(side, repeat, values)
    figure.check(
        "every side gives as many rows", len({run["rows_out"] for run in figure.runs}) == 1
    )
    ours = [run["seconds"] for run in figure.of(OURS)]
    for side in (PEER, PEER_FAISS):
        share = figure.ratio(
            f"against {side}", ours, [run["seconds"] for run in figure.of(side)], "seconds"
        )
        figure.target(f"wall time, at most {LIMIT} x {side}", share, LIMIT)
    figure.notes = [
        "seconds of hf-hardneg: everything, the corpus written, keys, vectors kept on disk and the "
        "report included; what it keeps would be there for another strategy.",
    ]
    return figure
