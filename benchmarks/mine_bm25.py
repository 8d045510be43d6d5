"""``mine`` with BM25 against bare bm25s on the same texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.context import Context
from benchmarks.data import Collection, find_collection
from benchmarks.machine import cores
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure

__all__ = ["run"]

K, N = 100, 5
WALL_LIMIT, MEMORY_LIMIT = 1.3, 1.3
SETTINGS: dict[str, Any] = {"tokenizer": "class", "csc": "numpy", "threads": cores()}
BARE, OURS, TUPLES = "bm25s", "hf-hardneg", "hf-hardneg, n-tuple"
BARE_COMPILED, OURS_COMPILED = "bm25s, compiled before", "hf-hardneg, compiled before"


def _bare(
    collection: Collection, settings: dict[str, Any], scratch: Path, **more: Any
) -> dict[str, Any]:
    arguments = {
        "corpus": collection.corpus,
        "queries": collection.queries,
        "k": K,
        "compiled": False,
        **settings,
        **more,
    }
    return run_side("bare_bm25:search", arguments, scratch)


def _ours(
    collection: Collection, joined: Path, scratch: Path, form: str, compiled: bool
) -> dict[str, Any]:
    arguments = {
        "corpus": collection.folder,
        "queries": collection.queries,
        "judgements": joined,
        "k": K,
        "n": N,
        "output_format": form,
        "cache_dir": scratch / "cache",
        "compiled": compiled,
    }
    return run_side("hardneg:mine", arguments, scratch)


def _fastest(
    context: Context, collection: Collection
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run bare bm25s with every combination of its settings; return the best value of each.

    A setting stands in as many runs as there are combinations of the others, so the median over
    those runs judges it, not one run.
    """
    options: dict[str, list[Any]] = {
        "tokenizer": ["class", "function"],
        "csc": ["numpy", "scipy"],
        "threads": sorted({0, cores()}),
    }
    trials = []
    for values in product(*options.values()):
        settings = dict(zip(options, values, strict=True))
        context.say(f"trying bare bm25s with {settings}")
        with fresh_folder(context.work, "bm25s") as scratch:
            found = _bare(collection, settings, scratch)
        trials.append({**settings, "seconds": found["seconds"], "peak_mib": found["peak_mib"]})

    def seconds(name: str, value: Any) -> float:
        return float(median(trial["seconds"] for trial in trials if trial[name] == value))

    best = {name: min(values, key=partial(seconds, name)) for name, values in options.items()}
    return best, trials


def run(context: Context) -> Figure:
    """Take the figure."""
    figure = Figure(
        "mine_bm25",
        f"OfflineMiner('bm25').mine, top {K}, {N} negatives, from the files on disk to the "
        f"finished data set, against bare bm25s doing tokenise + index + retrieve(k={K})",
    )
    collection = find_collection(context.data, "debian-packages")
    figure.data = collection.describe()
    settings, trials = _fastest(context, collection) if context.trial else (SETTINGS, [])
    figure.settings = {
        "top_k": K, "num_negatives": N, "repeat": context.repeat,
        "bm25s": {**settings, "backend": "numba", "stemmer": "english", "stopwords": "english",
                  "sorted": True},
        "bm25s_trials": trials,
    }  # fmt: skip
    sides = [BARE, OURS, TUPLES, BARE_COMPILED, OURS_COMPILED]
    with fresh_folder(context.work, "data") as folder:
        joined = collection.join_judgements(folder / "judgements.tsv")
        scores = folder / "scores.npy"
        for repeat in range(context.repeat):
            for side in context.order(sides, repeat):
                context.say(f"repeat {repeat + 1} of {context.repeat}: {side}")
                with fresh_folder(context.work, "mine") as scratch:
                    compiled = side in (BARE_COMPILED, OURS_COMPILED)
                    if side in (BARE, BARE_COMPILED):
                        keep = scores if side == BARE and repeat == 0 else None
                        values = _bare(collection, settings, scratch, compiled=compiled, keep=keep)
                    else:
                        form = "n-tuple" if side == TUPLES else "columns"
                        values = _ours(collection, joined, scratch, form, compiled)
                    figure.add(side, repeat, values)
                    if side == OURS and repeat == 0:
                        _compare(context, figure, collection, joined, scratch / "cache", scores)
    _judge(figure)
    return figure


def _compare(
    context: Context,
    figure: Figure,
    collection: Collection,
    joined: Path,
    cache: Path,
    scores: Path,
) -> None:
    """Check that both sides found the same candidates."""
    context.say("comparing the candidates of both sides")
    arguments = {
        "corpus": collection.folder, "queries": collection.queries, "judgements": joined,
        "k": K, "n": N, "cache_dir": cache, "scores": scores,
    }  # fmt: skip
    with fresh_folder(context.work, "compare") as scratch:
        found = run_side("hardneg:compare", arguments, scratch)
    figure.check(
        "the candidates of every query have the scores that bare bm25s gives (to 1e-5)",
        found["different_lines"] == 0,
    )


def _judge(figure: Figure) -> None:
    bare, ours, tuples = figure.of(BARE), figure.of(OURS), figure.of(TUPLES)
    for name in ("documents", "queries"):
        figure.check(
            f"both sides work on the same number of {name}",
            len({run[name] for run in figure.runs}) == 1,
        )
    lists = {run["digest"] for run in [*ours, *figure.of(OURS_COMPILED)]}
    figure.check("every run mines the same negatives and scores", len(lists) == 1)
    figure.check(
        "every n-tuple run gives the same data set", len({run["digest"] for run in tuples}) == 1
    )

    def seconds(runs: Sequence[dict[str, Any]], reading: int = 0) -> list[float]:
        """Return the seconds; ``reading`` adds (1) or takes off (-1) what the files took."""
        return [run["seconds"] + reading * run["reading_seconds"] for run in runs]

    wall = figure.ratio(
        "wall", seconds(ours), seconds(bare),
        "ours with reading the files, bare bm25s without: compared with the target",
    )  # fmt: skip
    figure.ratio(
        "wall, both reading", seconds(ours), seconds(bare, 1), "reading counted on both sides"
    )
    figure.ratio(
        "wall, neither reading", seconds(ours, -1), seconds(bare), "reading counted on no side"
    )
    figure.ratio(
        "wall, n-tuple", seconds(tuples), seconds(bare), "as 'wall', n-tuple instead of lists"
    )
    figure.ratio(
        "wall, compiled before",
        seconds(figure.of(OURS_COMPILED)),
        seconds(figure.of(BARE_COMPILED)),
        "as 'wall', without the seconds that numba compiles in a fresh process, on both sides",
    )
    memory = figure.ratio(
        "peak memory",
        [run["peak_mib"] for run in ours],
        [run["peak_mib"] for run in bare],
        "peak above the imports",
    )
    figure.target(f"wall time, at most {WALL_LIMIT} x bare bm25s", wall, WALL_LIMIT)
    figure.target(f"peak memory, at most {MEMORY_LIMIT} x bare bm25s", memory, MEMORY_LIMIT)
    figure.notes = [
        "seconds of bm25s: tokenise + index + retrieve; of hf-hardneg: everything, the files read "
        "included. reading_seconds: the files alone, on either side.",
        "Peak memory of bm25s holds the texts, as its user must; resident pages of memory-mapped "
        "files count on both sides.",
        "Every process is fresh, so numba's compilation is in all sides but those 'compiled "
        "before'; peak_mib of these has the compilation in it all the same.",
    ]
