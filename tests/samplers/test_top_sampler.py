from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from stage_data import Batch, batches, make_batch

from hf_hardneg import TopSampler
from hf_hardneg.testing import check_sampler


@settings(max_examples=20)
@given(batches)
def test_keeps_the_contract(batch: Batch) -> None:
    check_sampler(TopSampler(), *batch)


@given(batches)
def test_the_order_is_that_of_the_scores(batch: Batch) -> None:
    queries, candidates = batch
    keys = TopSampler().keys(queries, candidates, 0)
    for line, scores in enumerate(candidates.scores):
        wanted = sorted(range(len(scores)), key=lambda slot: (-scores[slot], slot))
        assert np.argsort(-keys[line], kind="stable").tolist() == wanted


def test_without_scores_the_order_is_that_of_the_ranks() -> None:
    queries, candidates = make_batch([[5, 2, 9]], [[np.nan] * 3], [[np.nan]])
    assert TopSampler().keys(queries, candidates, 0).tolist() == [[-1.0, -2.0, -3.0]]
