"""Rates and their intervals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from hf_hardneg.errors import ParameterError
from hf_hardneg.rates import Rate, bootstrap_ratio, wilson


@given(st.integers(1, 500), st.data())
def test_the_interval_is_wilsons(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-9)
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1


def test_without_cases_anything_is_possible() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert bootstrap_ratio(np.zeros(0), np.zeros(0)) == (0.0, 1.0)
    assert bootstrap_ratio(np.zeros(3), np.zeros(3)) == (0.0, 1.0)


@pytest.mark.parametrize(("hits", "n"), [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(hits: int, n: int) -> None:
    with pytest.raises(ParameterError, match=f"hits={hits} of n={n}; expected 0 to n"):
        wilson(hits, n)


def test_the_bootstrap_covers_the_true_ratio() -> None:
    """Queries differ: some have false negatives only, most have none. Draws of queries see that."""
    generator = np.random.default_rng(3)
    covered = 0
    for repeat in range(200):
        false = generator.random(150) < 0.2
        cases = np.full(150, 5.0)
        low, high = bootstrap_ratio(false * 5.0, cases, seed=repeat, repeats=400)
        covered += low <= 0.2 <= high
    assert covered >= 180  # 95% of 200 are 190; fewer than 180 happen once in a thousand times


def test_the_bootstrap_is_wider_than_wilson_where_negatives_go_together() -> None:
    hits, cases = np.repeat([5.0, 0.0], [20, 80]), np.full(100, 5.0)
    low, high = bootstrap_ratio(hits, cases, seed=1)
    narrow = wilson(100, 500)
    assert high - low > 1.8 * (narrow[1] - narrow[0])


def test_the_same_seed_gives_the_same_interval() -> None:
    hits, cases = np.random.default_rng(1).random(50), np.full(50, 5.0)
    assert bootstrap_ratio(hits, cases, seed=7) == bootstrap_ratio(hits, cases, seed=7)
    assert bootstrap_ratio(hits, cases, seed=7) != bootstrap_ratio(hits, cases, seed=8)


def test_a_rate_is_a_line_and_plain_values() -> None:
    rate = Rate("judged", 0.031, 0.022, 0.045, 1431, assumed=("Judgements are complete.",))
    assert str(rate) == "3.1% (2.2% to 4.5%; judged, n = 1,431 negatives)"
    assert json.loads(json.dumps(rate.to_dict()))["assumed"] == ["Judgements are complete."]


def test_a_rate_that_cannot_be_told_says_why() -> None:
    rate = Rate("judge", None, None, None, 12, why="the judge does not tell them apart.")
    assert str(rate) == "unknown (judge, n = 12 negatives): the judge does not tell them apart."
