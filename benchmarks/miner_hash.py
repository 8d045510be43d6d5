"""The hash by which ``Dataset.map`` knows a miner, with a large index behind it."""

from __future__ import annotations

from benchmarks.context import Context
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure

__all__ = ["run"]

SEED = 0
LIMIT_MS = 5.0
STATES = {
    "fresh": "unpickled",
    "mined": "after mining",
    "positives": "with positives, after mining",
}


def run(context: Context) -> Figure:
    """Take the figure."""
    figure = Figure(
        "miner_hash",
        "milliseconds of datasets.fingerprint.Hasher.hash(OfflineMiner('bm25')), the hash that "
        f"names its results in the cache, with an index of {context.gigabytes:g} GB behind it",
    )
    with fresh_folder(context.work, "hash") as folder:
        context.say(f"building an index of {context.gigabytes:g} GB (minutes)")
        pickled = folder / "miner.pickle"
        arguments = {
            "gigabytes": context.gigabytes, "seed": SEED, "cache_dir": folder / "cache",
            "keep": pickled,
        }  # fmt: skip
        with fresh_folder(context.work, "side") as scratch:
            built = run_side("hashing:build", arguments, scratch)
        figure.add("build", 0, built)
        figure.data = {
            "name": "random words, seeded",
            "documents": built["documents"],
            "index_bytes": built["index_bytes"],
            "seed": SEED,
        }
        figure.settings = {"repeat": context.repeat, "gigabytes": context.gigabytes}
        for repeat in range(context.repeat):
            for state in context.order(list(STATES), repeat):
                context.say(f"repeat {repeat + 1} of {context.repeat}: {STATES[state]}")
                arguments = {"miner": pickled, "seed": SEED, "state": state}
                with fresh_folder(context.work, "side") as scratch:
                    values = run_side("hashing:hashes", arguments, scratch)
                figure.add(STATES[state], repeat, values)
    _judge(figure, context.gigabytes)
    return figure


def _judge(figure: Figure, gigabytes: float) -> None:
    figure.check(
        f"the index has {gigabytes:g} GB or more", figure.data["index_bytes"] >= gigabytes * 1e9
    )
    for state in ("fresh", "mined"):
        figure.check(
            f"'{STATES[state]}': every process gives the same hash",
            len({run["hash"] for run in figure.of(STATES[state])}) == 1,
        )
    figure.check(
        "mining does not change the hash",
        figure.of(STATES["fresh"])[0]["hash"] == figure.of(STATES["mined"])[0]["hash"],
    )
    for name in STATES.values():
        value = figure.median(name, "median_ms")
        figure.target(f"milliseconds, {name}, at most {LIMIT_MS:g}", value, LIMIT_MS)
    figure.notes = [
        "median_ms, p95_ms: of the calls within one process; first_ms: the first call, which also "
        "finds out what can be known only once.",
    ]
