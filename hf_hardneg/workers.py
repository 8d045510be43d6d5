"""Whether this is a worker process, and how many threads it may use."""

from __future__ import annotations

import multiprocessing
import os

import multiprocess

__all__ = ["in_worker", "limit_torch_threads", "usable_threads"]

_IMPORTED_BY = os.getpid()


def in_worker() -> bool:
    """Return whether this process works for another one.

    A forked worker has another number than the process that imported this module. A spawned one
    is known by its parent; ``Dataset.map`` starts its workers with ``multiprocess``, of which
    ``multiprocessing`` knows nothing.
    """
    forked = os.getpid() != _IMPORTED_BY
    spawned = any(module.parent_process() is not None for module in (multiprocessing, multiprocess))
    return forked or spawned


def usable_threads() -> int:
    """Return how many threads to work with: all cores here, one in a worker process."""
    if in_worker():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_torch_threads() -> None:
    """Let torch work with one thread in a worker process; elsewhere do nothing.

    A forked worker inherits torch's thread pool without its threads, and would wait for them for
    ever; with one thread there is nobody to wait for.
    """
    if in_worker():
        import torch

        torch.set_num_threads(1)
