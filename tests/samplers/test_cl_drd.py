from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampler_cases import ROWS, mined_alike, miner
from stage_data import Batch, batches, make_batch

from hf_hardneg import CLDRDSampler
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.selection import Rules, select
from hf_hardneg.testing import check_sampler

LEVELS = {1: (5, 12, 13), 2: (10, 10, 10), 3: (20, 5, 5)}
CORPUS: Any = None


@settings(max_examples=20)
@given(batches, st.sampled_from([1, 2, 3]))
def test_keeps_the_contract(batch: Batch, stage: int) -> None:
    check_sampler(CLDRDSampler(stage=stage), *batch)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_thirty_in_the_order_of_the_teacher_with_their_levels(stage: int) -> None:
    scores = np.round(np.random.default_rng(stage).normal(size=40), 1)  # with ties
    queries, candidates = make_batch(
        [[place % 24 for place in range(40)]], [scores.tolist()], [[0.0]]
    )
    sampler = CLDRDSampler(stage=stage)
    keys = sampler.keys(queries, candidates, 0)[0]
    order = sorted(range(40), key=lambda slot: (-scores[slot], slot))
    assert np.argsort(-keys, kind="stable")[:30].tolist() == order[:30]
    assert (keys[order[30:]] == -np.inf).all()
    strata = sampler.strata(queries, candidates)[0][order[:30]]
    wanted = [level for level, number in enumerate(LEVELS[stage]) for _ in range(number)]
    assert strata.tolist() == wanted
    assert strata.dtype == np.int8


def test_levels_go_by_the_place_among_the_survivors() -> None:
    """The engine gives strata what it gives weights: what the filters leave."""
    queries, candidates = make_batch([list(range(8, 16))], [[9.0 - p for p in range(8)]], [[0.0]])

    class FromRankThree:
        name, among_survivors, needs = "three", False, ()

        def mask(self, queries: Any, candidates: Any) -> np.ndarray:
            kept: np.ndarray = candidates.ranks >= 3
            return kept

    rule: Any = FromRankThree()
    found = select(queries, candidates, Rules((rule,), (), CLDRDSampler(), 6, 0), CORPUS)
    assert found.slots[0].tolist() == [2, 3, 4, 5, 6, 7]
    assert found.strata[0].tolist() == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("stage", [0, 4, 1.0, True, "1", None, [1]])
def test_bad_parameters(stage: Any) -> None:
    with pytest.raises(ParameterError, match=r"stage=.*1, 2 or 3, the paper's.* 5, 10 or 20"):
        CLDRDSampler(stage=stage)


def test_scores_are_needed() -> None:
    with pytest.raises(StrategyError, match="needs scores"):
        miner("random+cl-drd")


@pytest.mark.parametrize("stage", [1, 3])
def test_mining(stage: int) -> None:
    mined, report = mined_alike(f"bm25@60+cl-drd(stage={stage})", num_negatives=30)
    first, second, third = LEVELS[stage]
    rows = len(ROWS)
    wanted = {"ordered": first * rows, "upper": second * rows, "lower": third * rows}
    assert report.strata == wanted
    for scores in mined["hard_negative_scores"]:
        assert scores == sorted(scores, reverse=True)


def test_no_more_than_thirty() -> None:
    mined = miner("bm25@60+cl-drd", num_negatives=40).mine(ROWS.select(range(3)))
    assert [len(names) for names in mined["hard_negative_ids"]] == [30] * 3
