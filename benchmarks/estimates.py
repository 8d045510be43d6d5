"""What ``estimate`` expects, against what mining then takes, both in fresh processes."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.context import Context
from benchmarks.data import find_collection
from benchmarks.errors import BenchmarkError
from benchmarks.minilm import minilm
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure

__all__ = ["run"]

LIMIT = 2.0
COLLECTIONS = ("medquad", "wordnet", "debian-packages")
PAIRED_ROWS = 1_500
"""Rows of the cross-encoder, which would take an hour otherwise."""


def _jobs(context: Context) -> list[tuple[str, str, str, int]]:
    """Return (title, collection, strategy, rows or 0 for all) of each job."""
    static = context.model.parent / "potion-4m-static"
    if not static.is_dir():
        raise BenchmarkError(
            f"estimates needs a static model beside the cross-encoder: there is no {static}."
        )
    denoised = f"bm25+denoised(model={str(context.model)!r})"
    jobs = []
    for name in COLLECTIONS:
        jobs += [
            ("bm25", name, "bm25", 0),
            ("dense, a static model", name, f"dense(model={str(static)!r})", 0),
            (f"bm25+denoised, {PAIRED_ROWS:,} rows", name, denoised, PAIRED_ROWS),
        ]
    dense = f"dense(model={str(minilm('estimates'))!r}, dtype='auto')"
    return [*jobs, ("dense, all-MiniLM-L6-v2 in dtype='auto'", "medquad", dense, 0)]


def run(context: Context) -> Figure:
    """Take the figure."""
    figure = Figure(
        "estimates",
        "time, memory and disk that OfflineMiner.estimate expects, against what OfflineMiner.mine "
        "takes",
    )
    figure.data = {name: find_collection(context.data, name).describe() for name in COLLECTIONS}
    figure.settings = {"repeat": context.repeat}
    for title, name, strategy, rows in _jobs(context):
        for repeat in range(context.repeat):
            arguments = {"folder": context.data / name, "strategy": strategy, "rows": rows}
            for side in context.order(["expected", "taken"], repeat):
                context.say(f"repeat {repeat + 1} of {context.repeat}: {name}, {title}: {side}")
                with fresh_folder(context.work, "side") as scratch:
                    given: dict[str, Any] = {**arguments, "cache_dir": scratch / "cache"}
                    found = run_side(f"estimates:{side}", given, scratch)
                figure.add(f"{side}: {name}, {title}", repeat, found)
        _judge(figure, name, title)
    figure.notes = [
        "phases: seconds by phase, as expected and as the report has them; they are divided "
        "differently.",
        "memory_mib: expected peak of the process; of the other side it is peak_mib + imports_mib.",
        "spent_seconds: what the estimate itself took. Reading the files is on neither side.",
    ]
    return figure


def _judge(figure: Figure, name: str, title: str) -> None:
    one, two = (figure.of(f"{side}: {name}, {title}") for side in ("expected", "taken"))
    share = figure.ratio(
        f"{name}, {title}",
        [run["seconds"] for run in one],
        [run["seconds"] for run in two],
        "expected seconds, as a share of the seconds taken",
    )
    off = round(max(share, 1 / share), 3)
    figure.target(f"{name}, {title}: factor between expected and taken", off, LIMIT)
    for what, pairs in (
        ("peak memory", [(a["memory_mib"], b["peak_mib"] + b["imports_mib"])
                         for a, b in zip(one, two, strict=True)]),
        ("disk", [(a["disk_mib"], b["disk_mib"]) for a, b in zip(one, two, strict=True)]),
    ):  # fmt: skip
        # In whole MiB; less than one is one.
        share = median(max(said, 1) / max(was, 1) for said, was in pairs)
        off = round(max(share, 1 / share), 3)
        figure.target(f"{name}, {title}: the same of {what}", off, LIMIT)
