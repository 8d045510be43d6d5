from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from stage_data import Batch, batches, make_batch

from hf_hardneg import RankFilter
from hf_hardneg.errors import ParameterError
from hf_hardneg.testing import check_filter


@settings(max_examples=25)
@given(batches, st.integers(1, 11), st.none() | st.integers(2, 12))
def test_keeps_the_half_open_window_of_raw_ranks(
    batch: Batch, range_min: int, range_max: int | None
) -> None:
    assume(range_max is None or range_min < range_max)
    queries, candidates = batch
    rule = RankFilter(range_min=range_min, range_max=range_max)
    check_filter(rule, queries, candidates)
    window = range(range_min, 100 if range_max is None else range_max)
    wanted = [
        [row if rank in window else -1 for row, rank in zip(rows, ranks, strict=True)]
        for rows, ranks in zip(candidates.rows.tolist(), candidates.ranks.tolist(), strict=True)
    ]
    assert rule(queries, candidates).rows.tolist() == wanted


def test_what_was_dropped_before_does_not_move_the_window() -> None:
    """Ranks are raw: with the first two gone, rank 3 is still rank 3."""
    queries, candidates = make_batch([[4, 3, 2, 1]], [[4, 3, 2, 1]], [[0]])
    left = candidates.keep(np.array([[False, False, True, True]]))
    assert RankFilter(range_max=3)(queries, left).filled.sum() == 0
    assert RankFilter(range_min=3)(queries, left).rows.tolist() == [[-1, -1, 2, 1]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"range_min": 0}, "range_min=0"),
        ({"range_min": 1.5}, "range_min=1.5"),
        ({"range_min": 5, "range_max": 5}, "not below range_max=5"),
        ({"range_min": 5, "range_max": 4}, "not below range_max=4"),
        ({"range_max": 1}, "not below range_max=1"),
        ({"range_max": 0}, "range_max=0"),
    ],
)
def test_parameters_that_cannot_be(options: dict[str, int], said: str) -> None:
    with pytest.raises(ParameterError, match=f"rank: .*{said}"):
        RankFilter(**options)
