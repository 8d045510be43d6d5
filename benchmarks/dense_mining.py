"""Dense mining with a real model against sentence-transformers' miner."""

from __future__ import annotations

from benchmarks.context import Context
from benchmarks.data import find_collection
from benchmarks.minilm import minilm
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure

__all__ = ["run"]

FULL_LIMIT, AUTO_LIMIT, SECOND_LIMIT, SAME = 1.0, 0.45, 0.03, 1e-5
OURS, AUTO = "hf-hardneg", "hf-hardneg, dtype='auto'"
PEER, PEER_FAISS = "sentence-transformers", "sentence-transformers, faiss"


def run(context: Context) -> Figure:
    """Take the figure."""
    collection = find_collection(context.data, "medquad")
    figure = Figure(
        "dense_mining",
        "OfflineMiner('dense@64').mine with all-MiniLM-L6-v2, 5 negatives, against "
        "mine_hard_negatives of sentence-transformers with the same model and range_max=64",
    )
    figure.data = {**collection.describe(), "documents_used": context.texts or "all"}
    figure.settings = {"repeat": context.repeat}
    common = {
        "folder": collection.folder,
        "documents": context.texts,
        "model": minilm("dense_mining"),
    }
    for repeat in range(context.repeat):
        with fresh_folder(context.work, "dense") as folder:
            for side in context.order([OURS, PEER, PEER_FAISS, AUTO], repeat):
                context.say(f"repeat {repeat + 1} of {context.repeat}: {side}")
                with fresh_folder(context.work, "side") as scratch:
                    if side in (OURS, AUTO):
                        dtype = "float32" if side == OURS else "auto"
                        arguments = {**common, "dtype": dtype, "cache_dir": folder / dtype}
                        values = run_side("dense:mine", arguments, scratch)
                    else:
                        arguments = {**common, "faiss_too": side == PEER_FAISS,
                                     "cache_dir": scratch / "cache"}  # fmt: skip
                        values = run_side("dense:peer", arguments, scratch)
                    figure.add(side, repeat, values)
            if repeat == 0:
                context.say("comparing the candidates with a search by hand")
                arguments = {**common, "cache_dir": folder / "float32", "half": folder / "auto"}
                with fresh_folder(context.work, "side") as scratch:
                    figure.add("agreement", 0, run_side("dense:agree", arguments, scratch))
    _judge(figure)
    return figure


def _judge(figure: Figure) -> None:
    [agreement] = figure.of("agreement")
    for name in ("largest_difference", "largest_difference_by_row"):
        figure.check(
            f"the top 64 in float32 are those of a search by hand ({name} below {SAME:g})",
            agreement[name] < SAME,
        )
    for peer in (PEER, PEER_FAISS):
        other = [run["seconds"] for run in figure.of(peer)]
        for side, limit in ((OURS, FULL_LIMIT), (AUTO, AUTO_LIMIT)):
            share = figure.ratio(
                f"{side}, against {peer}", [run["seconds"] for run in figure.of(side)], other,
                "seconds",
            )  # fmt: skip
            figure.target(f"wall time of {side}, at most {limit} x {peer}", share, limit)
        second = figure.ratio(
            f"a second strategy, against {peer}",
            [run["second_seconds"] for run in figure.of(OURS)],
            other,
            "seconds of a margin and random choice over the vectors that are kept",
        )
        figure.target(f"a second strategy, at most {SECOND_LIMIT} x {peer}", second, SECOND_LIMIT)
    figure.notes = [
        "The first documents_used, and a row for each positive among them of each training query.",
        "auto_top_10_agreement: share of the top 10 that float32 and dtype='auto' have in common.",
        "seconds: loading the model included on all sides, importing the libraries on none.",
    ]
