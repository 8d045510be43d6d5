"""The peak memory of this process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["own_mib", "peak_mib", "watched"]

STATUS = Path("/proc/self/status")


def peak_mib() -> float:
    """Return the largest resident memory that this process has had, in MiB.

    Pages of memory-mapped files that are resident count. Linux hands ``ru_maxrss`` of the parent
    down to the child that it starts, so the process's own mark, ``VmHWM``, is read there.
    """
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def own_mib() -> float:
    """Return the memory that is the process's own now: without the pages of mapped files."""
    for line in STATUS.read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def watched(period: float = 0.01) -> Iterator[Callable[[], float]]:
    """Give the largest own memory seen so far."""
    seen, done = [own_mib()], threading.Event()

    def watch() -> None:
        while not done.wait(period):
            seen[0] = max(seen[0], own_mib())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield lambda: seen[0]
    finally:
        done.set()
        thread.join()
