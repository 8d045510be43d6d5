"""Looking at a published set of a million rows: time to first view, to any row, to any answer."""

from __future__ import annotations

from benchmarks.context import Context
from benchmarks.data import find_collection
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure
from benchmarks.sides.inspection import planted

__all__ = ["run"]

ROWS = 1_000_000
LIMIT_MIB = 512
LIMIT_VIEW, LIMIT_ROW, LIMIT_ANSWER, LIMIT_TOGETHER = 5.0, 0.5, 1.5, 5.0
SEARCHES = ("rare_word", "common_word", "word_nowhere", "rare_word_in_all_texts",
            "common_word_in_all_texts", "word_nowhere_in_all_texts", "document")  # fmt: skip
FILTERS = ("outscores", "near_duplicate", "short", "suspicious_first")
FIRST, AGAIN = "opened for the first time", "opened again"
USERS, TOGETHER = 20, "20 people at once in the app"
CALLED = ("row", "search", "overview", "label")


def run(context: Context) -> Figure:
    """Take the figure."""
    figure = Figure(
        "inspect",
        f"looking at a published set of {ROWS:,} rows with 5 negatives each, its pool of 20 "
        "candidates a row and its documents: seconds and memory",
    )
    collection = find_collection(context.data, "debian-packages")
    figure.data = collection.describe()
    figure.settings = {"repeat": context.repeat, "rows": ROWS, "negatives": 5, "pool": 20}
    with fresh_folder(context.work, "inspect") as folder:
        context.say(f"making {ROWS:,} rows")
        made = {"corpus": collection.corpus, "rows": ROWS, "folder": folder / "set"}
        figure.data["bytes"] = run_side("inspection:make", made, folder)["bytes"]
        given = {"folder": folder / "set", "rows": ROWS}
        for repeat in range(context.repeat):
            # One cache for the two: the second finds what the first has worked out.
            with fresh_folder(context.work, "cache") as cache:
                for side, name in (("first", FIRST), ("again", AGAIN)):
                    context.say(f"repeat {repeat + 1} of {context.repeat}: {name}")
                    figure.add(name, repeat, run_side(f"inspection:{side}", given, cache))
                context.say(f"repeat {repeat + 1} of {context.repeat}: {TOGETHER}")
                figure.add(
                    TOGETHER, repeat, run_side("space:users", {**given, "number": USERS}, cache)
                )
    _judge(figure)
    return figure


def _judge(figure: Figure) -> None:
    found = [run["found"] for run in figure.of(AGAIN)]
    counts = planted(ROWS)
    for name in ("outscores", "short"):
        figure.check(
            f"every row with the planted defect {name} is found, and no other",
            all(one[name]["total"] == counts[name] for one in found),
        )
    figure.check(
        "no fewer near-duplicates are found than are planted",
        all(one["near_duplicate"]["total"] >= counts["near_duplicate"] for one in found),
    )
    figure.check("every search ends", all(one[name]["complete"] for one in found
                                          for name in SEARCHES))  # fmt: skip
    figure.check("a word that is nowhere is not found",
                 all(one["word_nowhere_in_all_texts"]["total"] == 0 for one in found))  # fmt: skip
    figure.target("seconds to the first view, opened again",
                  figure.median(AGAIN, "first_view_seconds"), LIMIT_VIEW)  # fmt: skip
    figure.target("seconds to any of 200 rows, the slowest",
                  figure.median(AGAIN, "row_slowest_seconds"), LIMIT_ROW)  # fmt: skip
    for name in (*FILTERS, *SEARCHES):
        about = f"seconds to the answer: {name.replace('_', ' ')}"
        figure.target(about, figure.median(AGAIN, f"{name}_seconds"), LIMIT_ANSWER)
    together = figure.of(TOGETHER)
    figure.check("every call of 20 people at once is answered, and every label is kept",
                 all(run["answers"] == 20 * USERS and run["labels_kept"] == run["answers"] / 5
                     for run in together))  # fmt: skip
    for name in CALLED:
        slowest = figure.median(TOGETHER, f"{name}_slowest_seconds")
        about = f"seconds, 20 people at once, the slowest {name}"
        figure.target(about, slowest, LIMIT_TOGETHER)
    for side in (FIRST, AGAIN):
        figure.target(f"own peak MiB, {side}", figure.median(side, "own_peak_mib"), LIMIT_MIB)
    figure.notes = [
        "The first opening copies the Parquet files into the cache in a form that is read at any "
        "place; what goes on in the background after it is kept there too.",
        "The answer to a search is a full page, or what was found in one second with how far it "
        "has looked; *_whole_seconds is the time until all rows have been looked at.",
        "own_peak_mib: the process's own memory (RssAnon, looked at every 10 ms) above what it was "
        "after the imports.",
        "The report has no hardness, so that all scores are read from the pool; that is the most "
        "that the background work can take.",
    ]
