"""Margins and softmax weights, against their definitions written as loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg.errors import ParameterError
from hf_hardneg.hardness_scores import (
    reference_scores,
    relative_scores,
    softmax_shares,
)
from hf_hardneg.score_hardness import ScoreTally

SCORES = st.one_of(
    st.floats(-1, 1, width=32), st.sampled_from([0.0, 0.5, -0.5, math.nan, 1e30, -1e30])
)
ROWS = st.lists(
    st.tuples(st.lists(SCORES, max_size=3), st.lists(SCORES, max_size=5)), min_size=1, max_size=6
)


def flat(lists: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    return offsets, np.array([value for one in lists for value in one], dtype=np.float64)


def reference(positives: list[float], against: str) -> float:
    if not positives or any(math.isnan(value) for value in positives):
        return math.nan
    if against == "mean":
        return sum(positives) / len(positives)
    return min(positives) if against == "min" else max(positives)


@given(ROWS, st.sampled_from(["min", "max", "mean"]))
def test_the_positive_of_a_row(rows: list[tuple[list[float], list[float]]], against: str) -> None:
    found = reference_scores(*flat([positives for positives, _ in rows]), against)
    wanted = [reference(positives, against) for positives, _ in rows]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@given(ROWS, st.sampled_from([0.01, 0.05, 1.0]))
def test_softmax_weights_are_those_of_the_loss(
    rows: list[tuple[list[float], list[float]]], temperature: float
) -> None:
    from scipy.special import softmax

    positive = np.array([reference(positives, "min") for positives, _ in rows])
    offsets, scores = flat([negatives for _, negatives in rows])
    found = softmax_shares(offsets, scores, temperature, positive)
    alone = softmax_shares(offsets, scores, temperature)
    for row, (_, negatives) in enumerate(rows):
        own = slice(offsets[row], offsets[row + 1])
        known = [value for value in negatives if not math.isnan(value)]
        weights = softmax(np.array([positive[row], *known]) / temperature)[1:]
        there = ~np.isnan(negatives)
        np.testing.assert_allclose(found[own][there], weights, rtol=1e-6, atol=1e-12)
        assert np.isnan(found[own][~there]).all()
        if known:
            assert alone[own][there].sum() == pytest.approx(1)
            wanted = softmax(np.array(known) / temperature)
            np.testing.assert_allclose(alone[own][there], wanted, rtol=1e-6, atol=1e-12)


def test_softmax_of_extreme_scores_does_not_overflow() -> None:
    offsets = np.array([0, 2])
    shares = softmax_shares(offsets, np.array([1e38, -1e38]), 1e-3, np.array([0.0]))
    assert shares.tolist() == [1.0, 0.0]
    shares = softmax_shares(offsets, np.array([-1e38, -1e38]), 1e-3, np.array([1e38]))
    assert shares.tolist() == [0.0, 0.0]
    assert softmax_shares(offsets, np.array([-1e38, -1e38]), 1e-3).tolist() == [0.5, 0.5]


def test_relative_scores_keep_their_order_below_zero() -> None:
    reference = np.array([0.8, -0.8, -0.8, 0.0, math.nan])
    scores = np.array([0.4, -0.4, -1.2, 0.3, 0.3])
    found = relative_scores(reference, scores)
    np.testing.assert_allclose(found, [0.5, 1.5, 0.5, math.nan, math.nan])


@given(ROWS, st.sampled_from(["min", "max", "mean"]), st.integers(1, 3))
def test_figures_are_those_of_a_loop(
    rows: list[tuple[list[float], list[float]]], against: str, batch: int
) -> None:
    tally = ScoreTally(against, 0.1)
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        tally.add(*flat([own for own, _ in part]), *flat([own for _, own in part]))
    found = tally.result()
    pairs, harder_rows, compared_rows, effective, hardest = [], 0, 0, [], []
    for positives, negatives in rows:
        own = reference(positives, against)
        known = [] if math.isnan(own) else [one for one in negatives if not math.isnan(one)]
        pairs += [(own, one) for one in known]
        harder_rows += any(one > own for one in known)
        compared_rows += bool(known)
        if known:
            powers = [math.exp((one - max(known)) / 0.1) for one in known]
            shares = [power / sum(powers) for power in powers]
            effective.append(1 / sum(share**2 for share in shares))
            hardest.append(max(shares))
    every = [one for _, negatives in rows for one in negatives]
    assert found.compared == len(pairs)
    assert found.without_score == sum(math.isnan(one) for one in every)
    assert found.rows_without_reference == sum(
        math.isnan(reference(own, against)) for own, _ in rows
    )
    if not pairs:
        assert found.harder is None
        assert found.effective_negatives is None
        return
    assert found.harder == pytest.approx(np.mean([one > own for own, one in pairs]))
    assert found.equal == pytest.approx(np.mean([one == own for own, one in pairs]))
    assert found.rows_with_harder == pytest.approx(harder_rows / compared_rows)
    assert found.effective_negatives == pytest.approx(np.mean(effective), rel=1e-5)
    assert found.hardest_share == pytest.approx(np.mean(hardest), rel=1e-5)
    zero = sum(own == 0 for own, _ in pairs)
    assert found.relative.missing == zero
    assert any(f"{zero} negatives stand beside" in note for note in tally.notes()) == (zero > 0)
    assert found.negatives_a_row == pytest.approx(len(pairs) / compared_rows)


def test_alike_negatives_count_in_full_and_one_hard_one_alone() -> None:
    tally = ScoreTally()
    tally.add(np.array([0, 1]), np.array([0.9]), np.array([0, 4]), np.full(4, 0.5))
    found = tally.result()
    assert found.effective_negatives == pytest.approx(4)
    assert found.hardest_share == pytest.approx(0.25)
    tally = ScoreTally()
    tally.add(np.array([0, 1]), np.array([0.9]), np.array([0, 3]), np.array([0.95, -0.9, -0.9]))
    found = tally.result()
    assert found.effective_negatives == pytest.approx(1)
    assert found.weight_of_negatives == pytest.approx(1 / (1 + math.exp(-1)), rel=1e-5)
    assert (found.harder, found.rows_with_harder) == (pytest.approx(1 / 3), 1)
    assert tally.notes() == ()


def test_scores_that_are_no_cosines_are_said() -> None:
    tally = ScoreTally()
    tally.add(np.array([0, 1]), np.array([12.0]), np.array([0, 1]), np.array([math.inf]))
    assert "no cosines" in tally.notes()[0]
    assert tally.result().without_score == 1


@pytest.mark.parametrize("options", [{"temperature": 0}, {"against": "own"}])
def test_parameters_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(ParameterError, match="expected"):
        ScoreTally(**options)
