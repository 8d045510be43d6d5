from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_data import AllRows, Batch, batches, make_batch

from hf_hardneg import MarginFilter
from hf_hardneg.errors import ParameterError
from hf_hardneg.testing import check_filter

NAN = float("nan")


def kept(rule: MarginFilter, scores: list[float], positives: list[float]) -> list[float]:
    queries, candidates = make_batch([list(range(len(scores)))], [scores], [positives])
    result = rule(queries, candidates)
    return result.scores[result.filled].tolist()


def brute_force(rule: MarginFilter, batch: Batch) -> list[list[int]]:
    queries, candidates = batch
    lines = []
    for line, rows in enumerate(candidates.rows.tolist()):
        own = candidates.positive_scores[queries.offsets[line] : queries.offsets[line + 1]]
        scored = [float(score) for score in own]
        if not scored or any(map(math.isnan, scored)):
            lines.append([-1] * len(rows))
            continue
        lowest = min(scored)
        if rule.margin is not None:
            limit = lowest - rule.margin
        else:
            share = 0.05 if rule.relative is None else rule.relative
            limit = (1 - share) * lowest if lowest > 0 else (1 + share) * lowest
        scores = candidates.scores[line].tolist()
        lines.append(
            [row if score < limit else -1 for row, score in zip(rows, scores, strict=True)]
        )
    return lines


@settings(max_examples=25)
@given(batches, st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_the_absolute_margin(batch: Batch, margin: float) -> None:
    rule = MarginFilter(margin=margin)
    check_filter(rule, *batch)
    assert rule(*batch).rows.tolist() == brute_force(rule, batch)


@settings(max_examples=25)
@given(batches, st.sampled_from([None, 0.0, 0.25, 0.5, 1.0]))
def test_the_relative_margin(batch: Batch, relative: float | None) -> None:
    rule = MarginFilter(relative=relative)
    check_filter(rule, *batch)
    assert rule(*batch).rows.tolist() == brute_force(rule, batch)


def test_a_negative_positive_score_does_not_invert_the_test() -> None:
    """The plain product 0.5 * -2 would keep -1.5, which is above the positive."""
    rule = MarginFilter(relative=0.5)
    assert kept(rule, [2.0, -1.5, -2.0, -2.5, -3.0, -3.5], [-2.0]) == [-3.5]
    assert kept(rule, [2.0, 1.0, 0.5, 0.0, -1.0], [2.0]) == [0.5, 0.0, -1.0]
    assert kept(rule, [1.0, 0.0, -1.0], [0.0]) == [-1.0]


def test_no_candidate_at_or_above_the_positive_passes_any_margin() -> None:
    for rule in (MarginFilter(margin=0), MarginFilter(relative=0), MarginFilter()):
        assert kept(rule, [1.5, 1.0, 0.25], [1.0]) == [0.25]


def test_the_lowest_of_several_positives_sets_the_limit() -> None:
    rule = MarginFilter(margin=1)
    assert kept(rule, [4.0, 3.0, 1.5, 0.5], [5.0, 2.0, 9.0]) == [0.5]
    assert kept(rule, [4.0, 3.0, 1.5, 0.5], [5.0, NAN]) == []  # ranked below all


def test_without_a_score_of_the_positive_nothing_is_kept() -> None:
    for rule in (MarginFilter(margin=0), MarginFilter(relative=0)):
        assert kept(rule, [4.0, -4.0], [NAN]) == []
        assert kept(rule, [4.0, -4.0], [NAN, NAN]) == []


def test_the_percentile_is_a_score_that_occurs() -> None:
    scores = np.array([5, NAN, 1, 2, 4, 3, NAN], dtype=np.float32)
    for share, cut in ((0.0, 1), (0.3, 2), (0.5, 3), (0.74, 3), (0.75, 4), (1.0, 5)):
        rule = MarginFilter(percentile=share)
        assert rule.needs_fit
        fitted = rule.fitted(AllRows(scores))
        assert fitted == MarginFilter(percentile=share, cut=cut)
        assert not fitted.needs_fit
        assert kept(fitted, [6.0, cut, cut - 0.5], [NAN]) == [cut - 0.5]


@settings(max_examples=25)
@given(batches, st.lists(st.floats(-3, 3, width=32), min_size=1), st.floats(0, 1))
def test_a_fitted_percentile(batch: Batch, positives: list[float], share: float) -> None:
    scores = np.array(positives, dtype=np.float32)
    fitted = MarginFilter(percentile=share).fitted(AllRows(scores))
    check_filter(fitted, *batch)
    assert fitted.cut in scores.tolist()
    assert (
        np.mean(scores < fitted.cut)
        <= share
        <= np.mean(scores <= fitted.cut) + 1e-12 + (1 / len(scores))
    )
    queries, candidates = batch
    wanted = candidates.filled & (candidates.scores < fitted.cut)
    assert np.array_equal(fitted(queries, candidates).filled, wanted)
    assert pickle.loads(pickle.dumps(fitted)).cut == fitted.cut


def test_a_percentile_needs_all_positives_first() -> None:
    rule = MarginFilter(percentile=0.1)
    queries, candidates = make_batch([[1]], [[1.0]], [[2.0]])
    with pytest.raises(ParameterError, match="percentile needs the scores of all positives"):
        rule(queries, candidates)
    with pytest.raises(ParameterError, match="no positive has one"):
        rule.fitted(AllRows([NAN, NAN]))
    other = MarginFilter(margin=1)
    assert other.fitted(AllRows([1])) is other


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"margin": 1, "relative": 0.1}, "margin and relative are both given"),
        ({"relative": 0.1, "percentile": 0.1}, "relative and percentile are both given"),
        ({"margin": 0, "percentile": 0.1}, "margin and percentile are both given"),
        ({"margin": -1}, "margin=-1"),
        ({"relative": 1.1}, "relative=1.1"),
        ({"relative": -0.1}, "relative=-0.1"),
        ({"percentile": 95}, "percentile=95"),
        ({"margin": NAN}, "margin=nan"),
        ({"margin": 0.1, "cut": 1}, "cut"),
        ({"cut": 1}, "cut"),
    ],
)
def test_parameters_that_cannot_be(options: dict[str, float], said: str) -> None:
    with pytest.raises(ParameterError, match=f"margin: .*{said}"):
        MarginFilter(**options)
