"""How often the intervals of the estimators of false negatives hold the truth."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.context import Context
from benchmarks.data import find_collection
from benchmarks.errors import BenchmarkError
from benchmarks.minilm import minilm
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure

__all__ = ["run", "table", "write_table"]

COLLECTIONS = ("vaswani", "cacm")
N, REPEATS, LABELLED = 5, 100, 100
LEAST = 0.9
PROMISED = (
    "hidden, half of the queries with all positives, for all queries",
    "labels",
    "cosine, upper limit",
    "cross-encoder, upper limit",
    "cosine, with labels",
    "cross-encoder, with labels",
)
"""Cases whose intervals have to hold the truth; of the others the documentation says why not."""


def run(context: Context) -> Figure:
    """Take the figure. Everything is counted, nothing timed."""
    static = context.model.parent / "potion-4m-static"
    for folder in (static, context.model):
        if not folder.is_dir():
            raise BenchmarkError(f"there is no model in {folder}. Name one with --model.")
    judge = minilm("false_negative_coverage")
    figure = Figure(
        "false_negative_coverage",
        f"the estimators of false negatives over {REPEATS} seeded repetitions on collections with "
        "deep judgements, one positive of each query known: how often the interval holds the truth",
    )
    figure.settings = {
        "num_negatives": N, "repetitions": REPEATS, "labelled": LABELLED, "dense": static.name,
        "cross_encoder": context.model.name, "cosine": "all-MiniLM-L6-v2", "sample": 1_000,
        "least": LEAST,
    }  # fmt: skip
    # Nothing is timed here, so the collections need not wait for one another.
    with ThreadPoolExecutor(len(COLLECTIONS)) as workers:
        found = list(workers.map(lambda name: _cases(context, name, static, judge), COLLECTIONS))
    for name, (about, cases) in zip(COLLECTIONS, found, strict=True):
        figure.data[name] = about
        _keep(figure, name, cases)
    figure.check("every case has all repetitions", _whole(figure))
    figure.notes = [
        "truth: share of the negatives of that repetition's mined set that the collection's "
        "judgements call relevant, documents without a judgement taken for not relevant.",
        "covered: share of the repetitions whose interval holds the truth; one without an interval "
        "counts among told_nothing, and not as covered. Repetitions share the collection: their "
        "spread is that of which positives are known, which queries are judged and what is drawn.",
        "A value that is not there in any repetition is left out.",
    ]
    return figure


def _cases(
    context: Context, name: str, static: Path, judge: Path
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Return what to say of a collection, and the repetitions of every case."""
    collection = find_collection(context.data, name)
    context.say(f"{name}: {REPEATS} repetitions")
    arguments: dict[str, Any] = {
        "corpus": collection.folder, "queries": collection.queries,
        "judgements": collection.judgements[0],
        "strategies": {"bm25": "bm25", "dense": f"dense(model={str(static)!r})"},
        "cross_encoder": context.model, "bi_encoder": judge, "n": N, "repeats": REPEATS,
        "labelled": LABELLED,
    }  # fmt: skip
    with (
        fresh_folder(context.work, "coverage") as folder,
        fresh_folder(context.work, "side") as scratch,
    ):
        arguments["cache_dir"] = folder / "cache"
        values = run_side("coverage:repetitions", arguments, scratch)
    context.say(f"{name}: done")
    return collection.describe(), values["cases"]


def _keep(figure: Figure, collection: str, cases: dict[str, list[dict[str, Any]]]) -> None:
    for name, runs in cases.items():
        told = [run for run in runs if run["low"] is not None and run["high"] is not None]
        held = [run["low"] <= run["truth"] <= run["high"] for run in told]
        values: dict[str, Any] = {
            "repetitions": len(runs),
            "covered": round(float(np.mean(held)), 4) if told else None,
            "told_nothing": len(runs) - len(told),
            "truth": _mean(runs, "truth"),
            "estimate": _mean(told, "rate"),
            "low": _mean(told, "low"),
            "high": _mean(told, "high"),
        }
        kept = {key: value for key, value in values.items() if value is not None}
        figure.add(f"{collection}, {name}", 0, kept)
        promised = name.split(": ", 1)[1] in PROMISED
        if promised and told:
            missed = round(1 - float(np.mean(held)), 4)
            about = f"{collection}, {name}: share of intervals that miss the truth"
            figure.target(about, missed, round(1 - LEAST, 4))


def _mean(runs: list[dict[str, Any]], name: str) -> float | None:
    values = [run[name] for run in runs if run[name] is not None]
    return round(float(np.mean(values)), 4) if values else None


def _whole(figure: Figure) -> bool:
    return all(run["repetitions"] == REPEATS for run in figure.runs)


# -- the table of the documentation --------------------------------------------------------------

BEGIN, END = "<!-- table of coverage: begin -->", "<!-- table of coverage: end -->"


def table(result: Mapping[str, Any]) -> str:
    """Return the result as a table in Markdown: a row a case, a column a mined set."""
    cells: dict[str, dict[str, str]] = {}
    for run in result["runs"]:
        place, case = run["side"].split(": ", 1)
        cells.setdefault(case, {})[place] = _cell(run)
    places = list(dict.fromkeys(place for own in cells.values() for place in own))
    lines = [
        f"| estimator | {' | '.join(places)} |",
        "| --- |" + " --- |" * len(places),
        *(
            f"| {case} | {' | '.join(own.get(place, '-') for place in places)} |"
            for case, own in cells.items()
        ),
    ]
    return "\n".join(lines)


def _cell(run: Mapping[str, Any]) -> str:
    silent = run["told_nothing"]
    if silent == run["repetitions"]:
        return "cannot tell"
    said = f"{run['covered']:.0%}; {run['truth']:.0%} in {run['low']:.0%} to {run['high']:.0%}"
    return said + (f" ({silent} cannot tell)" if silent else "")


def write_table(result: Mapping[str, Any], page: Path) -> None:
    """Put the table between its two marks in a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    text = f"{before}{BEGIN}\n\n{table(result)}\n\n{END}{after}"
    page.write_text(text, encoding="utf-8")
