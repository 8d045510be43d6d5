"""A million rows to a Hub on loopback and back: seconds beside ``push_to_hub``, and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.context import Context
from benchmarks.errors import BenchmarkError
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure

__all__ = ["run"]

ROWS = 1_000_000
LIMIT_MIB = 1_024
LIMIT_TIME = 1.2
SIDES = {"hf-hardneg": "ours", "push_to_hub": "bare"}
SERVER = Path(__file__).resolve().parents[1] / "tests" / "hub" / "hub_server.py"


@contextmanager
def _hub(folder: Path) -> Iterator[str]:
    """Give the address of a Hub in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            raise BenchmarkError("publishing: the Hub on loopback did not start.")
        yield address
    finally:
        process.terminate()
        process.wait()


def run(context: Context) -> Figure:
    """Take the figure."""
    figure = Figure(
        "publishing",
        f"publishing {ROWS:,} rows (query, positive, five negatives) on a Hub on loopback from "
        "Arrow on disk, against bare push_to_hub; and loading them back, whole and streamed",
    )
    figure.settings = {"repeat": context.repeat, "rows": ROWS, "transfer": "LFS"}
    with fresh_folder(context.work, "publishing") as folder:
        context.say(f"making {ROWS:,} rows")
        made = run_side("publishing:make", {"rows": ROWS, "folder": folder / "made"}, folder)
        figure.data = {"digest": made["digest"], "bytes": made["bytes"]}
        for repeat in range(context.repeat):
            for side in context.order(list(SIDES), repeat):
                context.say(f"repeat {repeat + 1} of {context.repeat}: {side}")
                _side(context, figure, folder / "made", side, repeat)
    _judge(figure, made["digest"])
    return figure


def _side(context: Context, figure: Figure, made: Path, side: str, repeat: int) -> None:
    """Publish and load with a fresh Hub and fresh caches."""
    with fresh_folder(context.work, "hub") as home, _hub(home / "hub") as address:
        given = {"endpoint": address, "folder": made, "scratch": home / "scratch"}
        figure.add(side, repeat, run_side(f"publishing:{SIDES[side]}", given, home))
        for how in ("whole", "streamed"):
            asked = {"endpoint": address, "streaming": how == "streamed"}
            values = run_side("publishing:load", asked, home)
            figure.add(f"{side}, loaded {how}", repeat, values)


def _judge(figure: Figure, digest: str) -> None:
    loaded = [run for run in figure.runs if "digest" in run]
    figure.check(
        "every row that is loaded is the row that was published",
        all(run["digest"] == digest for run in loaded),
    )
    commits = [run["commits"] for run in figure.of("hf-hardneg")]
    figure.check("one commit holds it all", all(count == 2 for count in commits))
    ours, bare = ([run["seconds"] for run in figure.of(side)] for side in SIDES)
    ratio = figure.ratio("seconds", ours, bare, "hf-hardneg / push_to_hub")
    figure.target("seconds against bare push_to_hub", ratio, LIMIT_TIME)
    own = figure.median("hf-hardneg", "own_peak_mib")
    figure.target("own peak MiB of the push", own, LIMIT_MIB)
    figure.notes = [
        "Both sides begin with the same Arrow files and end when the commit is there. Ours has the "
        "card, the recipe and the report in the commit as well, and reads the tree back.",
        "own_peak_mib: the process's own memory (RssAnon, looked at every 10 ms) above what it was "
        "after the imports and the opening of the data.",
        "The Hub runs on the same machine, takes large files by LFS and shares its cores; the "
        "network of the real one is no part of this.",
    ]
