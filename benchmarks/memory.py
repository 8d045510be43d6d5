"""The peak memory of this process."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["peak_mib"]

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
