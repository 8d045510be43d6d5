"""A mix of hard, medium and random negatives, each marked with what it is."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.checks import fraction, whole_number
from hf_hardneg.errors import ParameterError, PoolError, listing
from hf_hardneg.samplers.base import Sampler

__all__ = ["StratifiedSampler"]

TOLERANCE = 1e-6
HARD, MEDIUM, RANDOM = range(3)
RANDOM_SOURCE = re.compile(r"random(-\d+)?")
"""Names of random retrievers in a union: the second of a kind has a number."""


class StratifiedSampler(Sampler):
    """Takes a share of hard, of medium and of random negatives, uniformly within each.

    Every log-weight is 0; how many come from where is a matter of quotas. The column
    ``hard_negative_strata`` marks each negative, and the report counts them. Strata, by raw rank
    (it counts from 1, positives included):

    - ``hard``: ranks from 1 to ``hard_until``, inclusive;
    - ``medium``: ranks after ``hard_until`` to ``medium_until``, inclusive;
    - ``random``: what a ``random`` retriever of the union brought and none of its other retrievers
      found, as in ``"bm25,random+stratified"``. A document that another one found too is not
      random: it is judged by its rank. Where there is no ``random`` retriever, ranks after
      ``medium_until`` stand in for it: documents that the retriever still found, so deeper than
      random ones are.

    In a union with a ``random`` retriever the random documents are left out when ranks are
    counted, because fusion mixes them into the list; a document after ``medium_until`` that is not
    random belongs to no stratum there and is never drawn. Fusion ranks a document that ``random``
    found too higher than the others would alone; in a large corpus there are hardly any. After
    ``random`` as the only retriever, all candidates are random.

    Of ``n`` negatives each stratum gives ``share * n``, made whole by largest remainders: all
    shares are rounded down, and what is missing goes to the largest remainders, of equal ones to
    the harder stratum. What a stratum cannot give, the others do, in the order hard, medium,
    random; this includes one whose share is 0. Negatives are written in this order too.

    No published source: mixing negatives of several degrees of hardness is common practice, and
    the defaults are a starting point, not values of a paper.

    Args:
        hard: share of hard negatives, from 0 to 1, default 0.5.
        medium: share of medium ones, default 0.3.
        random: share of random ones, default 0.2. The three add up to 1, within 0.000001.
        hard_until: last rank that is hard, at least 1, default 30.
        medium_until: last rank that is medium, above ``hard_until``, default 100.

    Raises:
        ParameterError: a share out of range, shares that do not add up to 1, or
            ``hard_until >= medium_until``.
        PoolError: it is not known which retrievers a pool of several is from.
    """

    name = "stratified"
    stratum_names = ("hard", "medium", "random")
    source = "common practice; no paper"

    def __init__(
        self,
        *,
        hard: float = 0.5,
        medium: float = 0.3,
        random: float = 0.2,
        hard_until: int = 30,
        medium_until: int = 100,
    ) -> None:
        """Check the shares and the bounds."""
        self.hard = fraction("stratified", "hard", hard)
        self.medium = fraction("stratified", "medium", medium)
        self.random = fraction("stratified", "random", random)
        total = self.hard + self.medium + self.random
        if abs(total - 1) > TOLERANCE:
            raise ParameterError(
                f"stratified: hard={hard} + medium={medium} + random={random} is {total:g}; "
                f"expected shares that add up to 1, within {TOLERANCE:f} (no paper sets them; the "
                "defaults are 0.5, 0.3 and 0.2)."
            )
        self.hard_until = whole_number("stratified", "hard_until", hard_until, 1)
        self.medium_until = whole_number("stratified", "medium_until", medium_until, 2)
        if hard_until >= medium_until:
            raise ParameterError(
                f"stratified: hard_until={hard_until} is not below medium_until={medium_until}; "
                "expected hard_until < medium_until (no paper sets them; the defaults are 30 and "
                "100)."
            )

    def log_weights(
        self, queries: Queries, candidates: Candidates, seed: int
    ) -> NDArray[np.float64]:
        """Return 0, and minus infinity for what belongs to no stratum."""
        drawn = np.zeros(candidates.shape, dtype=np.float64)
        random = _brought_at_random(candidates)
        if random is None:
            return drawn
        beyond = _ranks_beside(candidates, random) > self.medium_until
        drawn[beyond & ~random] = -np.inf
        return drawn

    def strata(self, queries: Queries, candidates: Candidates) -> NDArray[np.int8]:
        """Return 0 for hard, 1 for medium, 2 for random, shape (batch, k)."""
        random = _brought_at_random(candidates)
        ranks = candidates.ranks if random is None else _ranks_beside(candidates, random)
        strata = np.full(candidates.shape, RANDOM, dtype=np.int8)
        strata[ranks <= self.medium_until] = MEDIUM
        strata[ranks <= self.hard_until] = HARD
        if random is not None:
            strata[random] = RANDOM
        return strata

    def quotas(self, n: int) -> tuple[int, ...]:
        """Return how many of ``n`` negatives each stratum gives, by largest remainders."""
        # Rounded, so that 0.15 * 10 and 0.35 * 10 have the same remainder.
        exact = [round(share * n, 6) for share in (self.hard, self.medium, self.random)]
        counts = [int(share) for share in exact]
        by_remainder = sorted(range(3), key=lambda place: (counts[place] - exact[place], place))
        for place in by_remainder[: n - sum(counts)]:
            counts[place] += 1
        return tuple(counts)


def _brought_at_random(candidates: Candidates) -> NDArray[np.bool_] | None:
    """Return which candidates only a random retriever brought; ``None`` if there is none."""
    names, listed = candidates.source_names, candidates.source_ranks
    if listed is not None and listed.shape[2] != len(names):
        raise PoolError(
            f"stratified: the pool keeps ranks in {listed.shape[2]} lists, and its retrievers are "
            f"{listing(names)}. Which of them is random is not known: retrieve again, or select "
            "with the strategy that the pool was retrieved with."
        )
    random = np.array([bool(RANDOM_SOURCE.fullmatch(name)) for name in names])
    if not random.any():
        return None
    if listed is None:  # one retriever alone, or a pool that kept no more
        by_one: NDArray[np.bool_] = candidates.filled & random[candidates.sources]
        return by_one
    beside = (listed[:, :, ~random] > 0).any(axis=2)
    by_none: NDArray[np.bool_] = candidates.filled & ~beside
    return by_none


def _ranks_beside(candidates: Candidates, random: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the ranks that the candidates would have without the random ones before them."""
    before: NDArray[np.int64] = np.cumsum(random, axis=1, dtype=np.int64)
    return candidates.ranks - before  # slots stand in rank order
