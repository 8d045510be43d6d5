from __future__ import annotations

import numpy as np
import pytest
from drawing import DRAWS, SURE, draws, line
from hypothesis import given, settings
from scipy.stats import chisquare, kstest
from stage_data import Batch, batches, make_batch

from hf_hardneg import RandomSampler
from hf_hardneg.samplers import Sampler
from hf_hardneg.testing import check_sampler


@settings(max_examples=20)
@given(batches)
def test_keeps_the_contract(batch: Batch) -> None:
    check_sampler(RandomSampler(), *batch)


class Weighted(Sampler):
    """Weights by slot."""

    name = "weighted"

    def __init__(self, *, weights: tuple[float, ...] = (8, 4, 2, 1, 1)) -> None:
        self.weights = weights

    def log_weights(self, queries: object, candidates: object, seed: int) -> np.ndarray:
        return np.broadcast_to(np.log(self.weights), candidates.shape)  # type: ignore[attr-defined]


def test_every_candidate_is_as_likely_at_every_place() -> None:
    order = draws(RandomSampler(), line([1.0] * 5))
    for place in range(5):
        assert chisquare(np.bincount(order[:, place], minlength=5)).pvalue > SURE
    pairs = np.bincount(order[:, 0] * 5 + order[:, 1], minlength=25)
    assert chisquare(pairs[pairs > 0]).pvalue > SURE
    assert np.count_nonzero(pairs) == 20


@pytest.mark.parametrize("weights", [(8, 4, 2, 1, 1), (1, 1, 1, 1, 1), (100, 1, 1, 1, 0.5)])
def test_noise_on_log_weights_is_sampling_without_replacement(weights: tuple[float, ...]) -> None:
    """First i, then j, with probability w_i/W * w_j/(W - w_i): the closed form."""
    order = draws(Weighted(weights=weights), line([1.0] * 5))
    share = np.array(weights) / sum(weights)
    wanted = np.outer(share / (1 - share), share)
    np.fill_diagonal(wanted, 0)
    counts = np.bincount(order[:, 0] * 5 + order[:, 1], minlength=25).reshape(5, 5)
    assert (counts.diagonal() == 0).all()
    apart = ~np.eye(5, dtype=bool)
    assert np.isclose(wanted.sum(), 1)
    assert chisquare(counts[apart], DRAWS * wanted[apart]).pvalue > SURE


def test_the_noise_is_gumbel() -> None:
    queries, candidates = make_batch([list(range(17))], [[0.0] * 17], [[0]])
    keys = np.concatenate(
        [RandomSampler().keys(queries, candidates, seed)[0] for seed in range(600)]
    )
    assert kstest(keys, "gumbel_r").pvalue > SURE


def test_the_noise_follows_the_text_not_the_row() -> None:
    """Documents 0 and 17 have the same text; a row number has no part in the noise."""
    queries, candidates = make_batch([[0, 5, 17]], [[3.0, 2.0, 1.0]], [[0]])
    other, moved = make_batch([[17, 0, 5]], [[9.0, 8.0, 7.0]], [[0]])
    first, second, third = RandomSampler().keys(queries, candidates, 3)[0]
    assert first == third
    assert RandomSampler().keys(other, moved, 3)[0].tolist() == [first, first, second]
