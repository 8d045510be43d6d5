"""What samplers draw, many times over, to compare with the closed form of their distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import chisquare
from stage_data import Batch, make_batch, query_keys

from hf_hardneg.samplers import Sampler
from hf_hardneg.testing import take_candidates, take_queries

SURE = 1e-4  # of fair draws, one in ten thousand looks less fair; seeds are fixed
DRAWS = 100_000


def repeated(batch: Batch, number: int = DRAWS) -> Batch:
    """The first line of a batch for so many different queries."""
    queries, candidates = batch
    lines = [0] * number
    many = take_queries(queries, lines)
    return replace(many, keys=query_keys(number)), take_candidates(queries, candidates, lines)


def line(scores: Sequence[float], positives: Sequence[float] = (0.0,)) -> Batch:
    """One query with candidates of these scores, all with texts of their own."""
    return make_batch([list(range(len(scores)))], [list(scores)], [list(positives)])


def order_of(sampler: Sampler, batch: Batch, seed: int = 5) -> np.ndarray:
    """Slots in the order in which they are taken, -1 where nothing more is, shape (batch, k)."""
    keys = sampler.keys(*batch, seed)
    order = np.argsort(-keys, axis=1)
    return np.where(np.take_along_axis(keys, order, axis=1) > -np.inf, order, -1)


def draws(sampler: Sampler, batch: Batch) -> np.ndarray:
    """Order of the slots of many queries over the same candidates."""
    return order_of(sampler, repeated(batch))


def assert_drawn(sampler: Sampler, batch: Batch, shares: Sequence[float] | np.ndarray) -> None:
    """The first that is drawn follows these shares, and what has none is never drawn."""
    first = draws(sampler, batch)[:, 0]
    wanted = np.asarray(shares, dtype=float)
    assert np.isclose(wanted.sum(), 1)
    counts = np.bincount(first[first >= 0], minlength=len(wanted))
    assert counts.sum() == DRAWS
    assert (counts[wanted == 0] == 0).all()
    assert chisquare(counts[wanted > 0], DRAWS * wanted[wanted > 0]).pvalue > SURE


def softmax(log_weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """Shares of weights that are given by their logarithms."""
    weights = np.exp(np.asarray(log_weights, dtype=float) - np.max(log_weights))
    return np.asarray(weights / weights.sum())
