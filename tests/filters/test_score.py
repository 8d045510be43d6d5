from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from stage_data import Batch, batches, make_batch

from hf_hardneg import ScoreFilter
from hf_hardneg.errors import ParameterError
from hf_hardneg.testing import check_filter

bounds = st.none() | st.integers(-5, 5).map(lambda value: value / 2)


@settings(max_examples=25)
@given(batches, bounds, bounds)
def test_keeps_the_half_open_range(
    batch: Batch, min_score: float | None, max_score: float | None
) -> None:
    assume(min_score is not None or max_score is not None)
    low = -np.inf if min_score is None else min_score
    high = np.inf if max_score is None else max_score
    assume(low < high)
    queries, candidates = batch
    rule = ScoreFilter(min_score=min_score, max_score=max_score)
    check_filter(rule, queries, candidates)
    wanted = [
        [row if row >= 0 and low <= score < high else -1 for row, score in zip(*line, strict=True)]
        for line in zip(candidates.rows.tolist(), candidates.scores.tolist(), strict=True)
    ]
    assert rule(queries, candidates).rows.tolist() == wanted


def test_bounds_that_float32_cannot_hold() -> None:
    """A bound is compared as float32, as the scores are: 0.7 as written is the score 0.7."""
    queries, candidates = make_batch([[1, 2]], [[0.7, -3e38]], [[0]])
    assert float(candidates.scores[0, 0]) < 0.7
    assert ScoreFilter(min_score=0.7)(queries, candidates).rows.tolist() == [[1, -1]]
    assert ScoreFilter(max_score=0.7)(queries, candidates).rows.tolist() == [[-1, 2]]
    assert ScoreFilter(max_score=1e300)(queries, candidates).rows.tolist() == [[1, 2]]
    assert ScoreFilter(min_score=-1e300)(queries, candidates).rows.tolist() == [[1, 2]]


def test_what_has_no_score_is_dropped() -> None:
    queries, candidates = make_batch([[1, 2]], [[np.nan, 1.0]], [[0]])
    assert ScoreFilter(min_score=-9)(queries, candidates).rows.tolist() == [[-1, 2]]
    assert ScoreFilter(max_score=9)(queries, candidates).rows.tolist() == [[-1, 2]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give min_score, max_score, or both"),
        ({"min_score": 1, "max_score": 1}, "min_score=1 is not below max_score=1"),
        ({"min_score": 2, "max_score": 1}, "min_score=2 is not below max_score=1"),
        ({"min_score": float("nan")}, "min_score=nan"),
        ({"max_score": float("inf")}, "max_score=inf"),
        ({"max_score": "1"}, "max_score='1'"),
    ],
)
def test_parameters_that_cannot_be(options: dict[str, float], said: str) -> None:
    with pytest.raises(ParameterError, match=f"score: {said}"):
        ScoreFilter(**options)
