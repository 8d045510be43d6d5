from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampler_cases import assert_drawn_by, draws_over, mined_alike, miner
from stage_data import Batch, batches, make_batch

from hf_hardneg import MarginBinSampler, RandomSampler
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.testing import check_sampler

NAN = float("nan")


@settings(max_examples=20)
@given(batches, st.sampled_from([1, 2, 10, 1000]))
def test_keeps_the_contract(batch: Batch, bins: int) -> None:
    check_sampler(MarginBinSampler(bins=bins), *batch)


def weights(scores: list[float], bins: int, positive: float = 0.0) -> list[float]:
    """The formula in plain Python, over the margins themselves."""
    margins = [positive - score for score in scores]
    low, width = min(margins), (max(margins) - min(margins)) / bins
    own = [
        next(b for b in range(bins) if b == bins - 1 or margin < low + (b + 1) * width)
        for margin in margins
    ]
    return [1 / (len(set(own)) * own.count(b)) for b in own]


def of(sampler: MarginBinSampler, scores: list[float], positives: list[float]) -> list[float]:
    batch = make_batch([list(range(len(scores)))], [scores], [positives])
    return np.exp(sampler.log_weights(*batch, 0))[0].tolist()


@given(st.lists(st.integers(-64, 64), min_size=2, max_size=20), st.sampled_from([1, 2, 4, 8]))
def test_the_weights_against_plain_python(numbers: list[int], bins: int) -> None:
    scores = sorted((number / 16 for number in numbers), reverse=True)
    if max(scores) == min(scores):
        bins = 1
    found = of(MarginBinSampler(bins=bins), scores, [3.0])
    assert found == pytest.approx(weights(scores, bins, 3.0))
    assert sum(found) == pytest.approx(1)


def test_every_bin_that_is_not_empty_is_as_likely() -> None:
    """Ten bins of width 1 from the margin 0 to 10: of 4, 2, 1, 1 candidates, the others empty."""
    scores = [10.0, 9.9, 9.5, 9.1, 7.5, 7.4, 4.5, 0.0]
    wanted = [1 / 16] * 4 + [1 / 8] * 2 + [1 / 4] * 2
    assert of(MarginBinSampler(), scores, [12.0]) == pytest.approx(wanted)
    assert_drawn_by(draws_over(MarginBinSampler(), 8, scores), wanted)


def test_a_bin_holds_its_lower_bound_and_the_last_one_both() -> None:
    assert of(MarginBinSampler(bins=2), [4.0, 2.0, 0.0], [4.0]) == pytest.approx([0.5, 0.25, 0.25])


def test_equal_margins_and_one_bin_are_the_uniform_draw() -> None:
    queries, candidates = make_batch([[1, 2, 3], [4, 5]], [[2.0] * 3, [9.0, 1.0]], [[1.0], [NAN]])
    uniform = RandomSampler().keys(queries, candidates, 3)
    for bins in (1, 10):
        keys = MarginBinSampler(bins=bins).keys(queries, candidates, 3)
        order = np.argsort(-keys, axis=1, kind="stable")
        assert order[0].tolist() == np.argsort(-uniform, axis=1, kind="stable")[0].tolist()
    assert np.isclose(keys[0] - uniform[0], -math.log(3)).all()


@pytest.mark.parametrize("positives", [[3.0], [NAN], [-7.0, 50.0, 2.0], [2.0, NAN], [3e38]])
def test_the_positives_do_not_matter(positives: list[float]) -> None:
    scores = [3.0, 2.5, 1.0, 0.5, -4.0]
    assert of(MarginBinSampler(), scores, positives) == of(MarginBinSampler(), scores, [0.0])


def test_scores_at_the_ends_and_missing_ones() -> None:
    largest = 3e38
    found = of(MarginBinSampler(), [largest, largest, 0.0, -largest], [largest])
    assert found == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 3])
    assert of(MarginBinSampler(), [1.0, NAN, 0.0], [2.0]) == pytest.approx([0.5, 0, 0.5])
    assert of(MarginBinSampler(), [NAN, NAN], [2.0]) == [0, 0]


def test_bins_are_made_of_the_survivors() -> None:
    """Ranks 1 and 2 are far away from the rest, which would all be in one bin."""
    [sampler] = [miner("bm25@40+rank(range_min=3)+margin-bin")._need_strategy().sampler]
    assert sampler.among_survivors
    queries, candidates = make_batch([[0, 1, 2, 3]], [[100.0, 3.0, 2.0, 1.0]], [[0.0]])
    left = candidates.keep(np.array([[False, True, True, True]]))
    found = np.exp(sampler.log_weights(queries, left, 0))[0]
    assert found[1:] == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("bins", [0, -1, 2.5, True, "10", None])
def test_bad_parameters(bins: Any) -> None:
    with pytest.raises(ParameterError, match=r"bins=.*at least 1 \(the paper's value: 10\)"):
        MarginBinSampler(bins=bins)


def test_scores_are_needed() -> None:
    with pytest.raises(StrategyError, match="needs scores"):
        miner("random+margin-bin")


def test_mining() -> None:
    mined, report = mined_alike("bm25@60+margin-bin(bins=5)")
    assert report.strategy == "bm25@60+margin-bin(bins=5)"
    assert [len(names) for names in mined["hard_negative_ids"]] == [6] * len(mined)
