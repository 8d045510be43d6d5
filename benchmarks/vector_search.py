"""Exact search in blocks against bare faiss on the same arrays."""

from __future__ import annotations

from benchmarks.context import Context
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure

__all__ = ["run"]

SIZES = {"queries": 20_000, "documents": 100_000, "dimension": 128, "k": 64}
WALL_LIMIT, MEMORY_LIMIT_MIB = 1.15, 0.3 * 1024
BARE, OURS = "faiss", "hf-hardneg"


def run(context: Context) -> Figure:
    """Take the figure."""
    figure = Figure(
        "vector_search",
        "hf-hardneg's exact search, whose scores and ties do not depend on the batch, against a "
        "flat faiss index over the same arrays in memory",
    )
    figure.data = {"name": "unit vectors in clusters, seeded", **SIZES}
    figure.settings = {"repeat": context.repeat}
    for repeat in range(context.repeat):
        for side in context.order([BARE, OURS], repeat):
            context.say(f"repeat {repeat + 1} of {context.repeat}: {side}")
            with fresh_folder(context.work, "search") as scratch:
                name = "vectors:bare" if side == BARE else "vectors:exact"
                figure.add(side, repeat, run_side(name, SIZES, scratch))
    bare, ours = figure.of(BARE), figure.of(OURS)
    figure.check(
        "both sides find neighbours of the same scores (their sum to 1e-6)",
        all(
            abs(one["digest"] - two["digest"]) <= 1e-6 * abs(one["digest"])
            for one, two in zip(bare, ours, strict=True)
        ),
    )
    wall = figure.ratio(
        "wall", [one["seconds"] for one in ours], [one["seconds"] for one in bare], "seconds"
    )
    figure.target(f"wall time, at most {WALL_LIMIT} x bare faiss", wall, WALL_LIMIT)
    arrays = 4 * SIZES["dimension"] * (SIZES["queries"] + SIZES["documents"]) / 2**20
    above = figure.median(OURS, "peak_mib") - arrays
    figure.target("MiB above the imports and the arrays", round(above, 1), MEMORY_LIMIT_MIB)
    return figure
