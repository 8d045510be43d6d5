"""What exact and approximate search are expected to take, from a small one."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from hf_hardneg.approximate import TRAINING_POINTS_PER_LIST, automatic_index
from hf_hardneg.vector_search import exact_search
from hf_hardneg.workload import Advice, Phase, timed

__all__ = ["SearchRate", "approximate_seconds", "search_rate", "searching"]

TRIAL_VECTORS, TRIAL_QUERIES, TRIAL_FLOATS = 65_536, 4_096, 1 << 25
SHARE_OF_LISTS = 1 / 16
"""That an approximate search reads; measured 6% on a million clustered vectors."""
TRAINING_ROUNDS = 10
"""Of k-means in an inverted file of faiss."""


@dataclass(frozen=True)
class SearchRate:
    """Seconds of exact search.

    Attributes:
        query: for a query in a block of vectors, however many they are.
        pair: for a query and a vector.
    """

    query: float
    pair: float

    def seconds(self, queries: int, vectors: int, block: int) -> float:
        """Return the seconds for all queries and vectors, so many vectors at a time."""
        blocks = -(-vectors // block)
        return queries * (blocks * self.query + vectors * self.pair)


def search_rate(queries: int, dimension: int, k: int, similarity: str, budget: float) -> SearchRate:
    """Measure exact search among a few vectors and among more of them.

    Args:
        queries: how many there are; many at a time cost less each.
        dimension: of the vectors.
        k: how many are sought.
        similarity: ``cosine``, ``dot`` or ``euclidean``.
        budget: seconds that the measurement should take.
    """
    made = np.random.default_rng(0)
    many = max(min(TRIAL_FLOATS // dimension, TRIAL_VECTORS), 64)
    vectors = made.standard_normal((many, dimension), dtype=np.float32)
    number = max(min(queries, TRIAL_QUERIES), 1)
    asked = made.standard_normal((number, dimension), dtype=np.float32)

    def each(vectors_used: int) -> float:
        block = [(0, vectors[:vectors_used])]
        seconds: list[float] = []
        exact_search(asked[:8], block, k, similarity)
        while not seconds or sum(seconds) < budget / 4:
            seconds.append(timed(lambda: exact_search(asked, block, k, similarity)))
        return min(seconds) / number

    few = many // 4
    short, long = each(few), each(many)
    pair = max(long - short, 0.2 * long) / (many - few)
    return SearchRate(max(long - pair * many, 0.0), pair)


def approximate_seconds(factory: str, queries: int, vectors: int, rate: float) -> float | None:
    """Return the seconds to build and search an inverted file; ``None`` for another index.

    Args:
        factory: the faiss factory string.
        queries: how many.
        vectors: how many.
        rate: seconds for a query and a vector.
    """
    found = re.search(r"IVF(\d+)", factory)
    if found is None:
        return None
    lists = int(found[1])
    training = TRAINING_ROUNDS * TRAINING_POINTS_PER_LIST * lists * lists
    search = queries * (lists + SHARE_OF_LISTS * vectors)
    return rate * (training + vectors * lists + search)


def searching(
    name: str, index: str, queries: int, vectors: int, block: int, rate: SearchRate
) -> tuple[Phase, tuple[str, ...]]:
    """Return what the search is expected to take, and what could not be foreseen.

    Args:
        name: of the retriever.
        index: ``exact``, ``auto`` or a faiss factory string.
        queries: how many.
        vectors: how many.
        block: vectors that are in memory at a time.
        rate: of exact search.
    """
    exact = rate.seconds(queries, vectors, block)
    basis = f"{min(queries, TRIAL_QUERIES):,} queries among {TRIAL_VECTORS:,} vectors"
    factory = automatic_index(vectors) if index == "auto" else index
    if factory in (None, "exact"):
        other = automatic_index(max(vectors, 500_000)) or ""
        quicker = approximate_seconds(other, queries, vectors, rate.pair) or exact
        advice = (Advice(f"an approximate index: index={other!r}", lambda: quicker),)
        return Phase(f"{name}: search", exact, basis=basis, advice=advice), ()
    seconds = approximate_seconds(str(factory), queries, vectors, rate.pair)
    if seconds is None:
        note = f"{name}: how long {factory!r} takes is not known; exact search is shown instead."
        return Phase(f"{name}: search", exact, basis=basis), (note,)
    return Phase(f"{name}: index and search", seconds, basis=basis), ()
