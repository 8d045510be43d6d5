"""What a mining job has to do, and what each phase of it is expected to take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

__all__ = ["Advice", "Nearest", "Phase", "Trial", "Workload", "seconds_by_length", "timed"]

Nearest = list[tuple[str, int]]
"""Queries with rows of documents that are near to them, for each query the nearest first."""

QUANTILES = (0.03, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 0.99)
"""Of the lengths at which texts are timed; the tail is where models spend their time."""
FIRST_TEXTS = 64
FULL_BATCH = 64
GROWTH = 4
MOST_TEXTS = 8_192


@dataclass(frozen=True, slots=True)
class Workload:
    """What is to be done.

    Attributes:
        queries: the distinct queries.
        tried: some of them, from all over the data.
        known: the rows of the known positives of each query that is tried.
        rows: number of rows, which may have a query in common.
        num_negatives: negatives for each row.
        budget: seconds that one measurement should take, so that small differences show.
        processes: processes that share the work of models.
    """

    queries: Sequence[str]
    tried: Sequence[str]
    known: Mapping[str, frozenset[int]]
    rows: int
    num_negatives: int
    budget: float = 1.0
    processes: int = 1

    def negatives(self, nearest: Nearest) -> Nearest:
        """Return the candidates that are not known positives."""
        return [(query, row) for query, row in nearest if row not in self.known[query]]


@dataclass(frozen=True, slots=True)
class Advice:
    """Another way to do a phase.

    Attributes:
        text: what to do.
        seconds: works out what the phase would take then; may take seconds itself.
    """

    text: str
    seconds: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of a job.

    Attributes:
        name: which part.
        seconds: expected.
        memory: bytes beyond what the process has when it begins.
        disk: bytes that stay in the cache or the output.
        basis: what the figures were worked out from.
        advice: other ways to do it.
    """

    name: str
    seconds: float
    memory: int = 0
    disk: int = 0
    basis: str = ""
    advice: tuple[Advice, ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """What a retriever's trial has shown.

    Attributes:
        phases: of the whole work.
        nearest: candidates that a veto can be tried on.
        notes: what the figures do not cover.
    """

    phases: tuple[Phase, ...]
    nearest: Nearest = field(default_factory=list)
    notes: tuple[str, ...] = ()


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def seconds_by_length(
    do: Callable[[list[int]], object],
    lengths: NDArray[np.int64],
    budget: float,
    timer: Callable[[Callable[[], object]], float] = timed,
) -> tuple[float, int]:
    """Return the seconds that ``do`` would take for all texts, and how many it was timed on.

    Models sort texts by length and take the more time for one the longer it is. So groups of
    texts of nearly one length are timed, at least 64 texts in all and more until that takes as
    long as ``budget``, and the seconds for a text of another length are interpolated.

    Args:
        do: works on the texts with the given places.
        lengths: of all texts, shape (texts,).
        budget: seconds.
        timer: returns the seconds that a call takes.
    """
    if not len(lengths):
        return 0.0, 0
    order = np.argsort(lengths, kind="stable")
    if len(order) <= FIRST_TEXTS:
        do(order[:8].tolist())
        return timer(lambda: do(order.tolist())), len(order)
    groups = _groups(order, FIRST_TEXTS)
    # The first call prepares what later calls find.
    if timer(partial(do, groups[len(groups) // 2])) < budget:
        do(order[-FULL_BATCH:].tolist())  # so that the peak of the memory shows
    number = FIRST_TEXTS
    while True:
        groups = _groups(order, number)
        seconds = [timer(partial(do, group)) / len(group) for group in groups]
        number = sum(map(len, groups))
        spent = sum(each * len(group) for each, group in zip(seconds, groups, strict=True))
        if spent >= budget or number >= min(MOST_TEXTS, len(order) // 2):
            break
        number = min(GROWTH * number, MOST_TEXTS)
    at = [float(np.mean(lengths[group])) for group in groups]
    return float(np.interp(lengths, at, seconds).sum()), number


def _groups(order: NDArray[np.int64], number: int) -> list[list[int]]:
    """Return neighbours in the order of length, around each of the quantiles."""
    size = max(min(number, len(order)) // len(QUANTILES), 1)
    starts = [int(share * (len(order) - size)) for share in QUANTILES]
    return [order[start : start + size].tolist() for start in starts]
