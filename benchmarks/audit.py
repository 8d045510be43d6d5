"""An audit of a million rows: rows a second, and memory that does not grow with them."""

from __future__ import annotations

from benchmarks.context import Context
from benchmarks.data import find_collection
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure

__all__ = ["run"]

ROWS = (250_000, 1_000_000)
SIDES = {"all checks, near-duplicates in 10,000 rows": 10_000, "without near-duplicates": 0}
LIMIT_MIB = 1_024
GROWTH = 1.2


def run(context: Context) -> Figure:
    """Take the figure."""
    figure = Figure(
        "audit",
        f"audit of mined sets of {ROWS[0]:,} and {ROWS[1]:,} rows with 5 negatives each: rows a "
        "second and peak memory",
    )
    collection = find_collection(context.data, "debian-packages")
    figure.data = collection.describe()
    figure.settings = {"repeat": context.repeat, "rows": list(ROWS), "negatives": 5}
    with fresh_folder(context.work, "audit") as folder:
        for rows in ROWS:
            context.say(f"making {rows:,} rows")
            path = folder / f"{rows}.arrow"
            made = {"corpus": collection.corpus, "rows": rows, "path": path}
            run_side("audit:make", made, folder)
            for repeat in range(context.repeat):
                for side in context.order(list(SIDES), repeat):
                    context.say(f"repeat {repeat + 1} of {context.repeat}: {rows:,} rows, {side}")
                    given = {"path": path, "rows": rows, "near_duplicates": SIDES[side]}
                    with fresh_folder(context.work, "side") as scratch:
                        values = run_side("audit:audit", given, scratch)
                    figure.add(f"{side}, {rows:,} rows", repeat, values)
            path.unlink()
    _judge(figure)
    return figure


def _judge(figure: Figure) -> None:
    figure.check(
        "every audit counts the defects that were planted, and no others of their kinds",
        all(run["as_planted"] for run in figure.runs),
    )
    for side in SIDES:
        few, many = (f"{side}, {rows:,} rows" for rows in ROWS)
        own = figure.median(many, "own_peak_mib")
        figure.target(f"own peak MiB, {many}", own, LIMIT_MIB)
        grown = round(own / figure.median(few, "own_peak_mib"), 3)
        figure.target(
            f"own peak memory, {ROWS[1]:,} against {ROWS[0]:,} rows, {side}", grown, GROWTH
        )
    figure.notes = [
        "own_peak_mib: the process's own memory (RssAnon, looked at every 10 ms) above what it was "
        "after the imports. peak_mib has the resident pages of the memory-mapped set too, which "
        "the system takes back when it needs them, and so grows with the file.",
        "What must grow with the rows lies in temporary files, 16 bytes a negative and 40 a row; "
        "in memory it is the queries that stand in several rows, eight bytes each.",
        "The texts are those of the collection with a number behind, 500,000 documents; every row "
        "follows from its number.",
    ]
