"""Whether this is a worker process, and how many threads it may use."""

from __future__ import annotations

import multiprocessing
import os

import multiprocess

__all__ = ["in_worker", "limit_torch_threads", "steady_torch_threads", "usable_threads"]

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
    """Return how many threads to work with: one in a worker process, else all cores.

    Where ``OMP_NUM_THREADS`` asks for fewer, as many as that: faiss and PyTorch share their
    threads, and what one of them is told would be undone by the other.
    """
    if in_worker():
        return 1
    every = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(int(asked), every or 1) if asked.isdecimal() and int(asked) else every or 1


def steady_torch_threads() -> None:
    """Let torch work with :func:`usable_threads`, whatever was computed before.

    What adds up in another order with another number of threads would else depend on whether
    faiss, which sets torch's threads along with its own, has been at work in this process.
    """
    import torch

    torch.set_num_threads(usable_threads())


def limit_torch_threads() -> None:
    """Let torch work with one thread in a worker process; elsewhere do nothing.

    A forked worker inherits torch's thread pool without its threads, and would wait for them for
    ever; with one thread there is nobody to wait for.
    """
    if in_worker():
        import torch

        torch.set_num_threads(1)
