"""Several people at once in the app, over loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.child import Measured
from benchmarks.memory import own_mib, watched

__all__ = ["users"]

CALLS = 20
"""Calls of each user."""
WORDS = ("the", "library", "zyzzyva", "development files", "python")


def users(folder: str, rows: int, number: int) -> Measured:
    """Start the app on a set that was opened before; let users call it, each one after another.

    The users are threads of another process, so that they take no time from the app's. Each call is
    one that a view makes: a row, a search, the overview, a label.
    """
    from hf_hardneg.space import SpaceSettings, launch

    before = own_mib()
    with TemporaryDirectory() as labels, watched() as peak:
        url = launch(SpaceSettings(folder, labels=Path(labels)), block=False)
        script = [sys.executable, "-m", "benchmarks.sides.space", url, str(rows), str(number)]
        done = subprocess.run(script, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-2_000:])
        found = json.loads(done.stdout.splitlines()[-1])
        kept = sum(len(path.read_text().splitlines()) for path in Path(labels).glob("*.jsonl"))
        values = {**found, "labels_kept": kept, "own_peak_mib": round(peak() - before, 1)}
    return Measured(values)


def _user(url: str, rows: int, seed: int, ready: threading.Barrier, told: list[Any]) -> None:
    from gradio_client import Client

    client = Client(url, verbose=False)
    draw = np.random.default_rng(seed)
    ready.wait()
    for call in range(CALLS):
        row = int(draw.integers(rows))
        kind = ("row", "row", "search", "overview", "label")[call % 5]
        arguments: tuple[Any, ...] = {
            "row": (row,),
            "search": (WORDS[call // 5 % len(WORDS)],),
            "overview": (),
            "label": (row, 0, "true_negative"),
        }[kind]
        started = time.perf_counter()
        client.predict(*arguments, api_name=f"/{kind}")
        told.append((kind, time.perf_counter() - started))


def _all_users(url: str, rows: int, number: int) -> dict[str, Any]:
    from gradio_client import Client

    started = time.perf_counter()
    Client(url, verbose=False).predict(0, api_name="/row")  # the set is opened by the first call
    values: dict[str, Any] = {"first_answer_seconds": round(time.perf_counter() - started, 3)}
    told: list[Any] = []
    ready = threading.Barrier(number)
    threads = [
        threading.Thread(target=_user, args=(url, rows, seed, ready, told))
        for seed in range(number)
    ]
    started = time.perf_counter()
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    values |= {"answers": len(told), "wall_seconds": round(time.perf_counter() - started, 3)}
    for kind in ("row", "search", "overview", "label"):
        times = [seconds for name, seconds in told if name == kind]
        values[f"{kind}_median_seconds"] = round(float(np.median(times)), 3)
        values[f"{kind}_slowest_seconds"] = round(max(times), 3)
    return values


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_all_users(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))) + "\n")
