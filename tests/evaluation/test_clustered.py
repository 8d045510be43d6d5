"""The interval over queries against closed forms, and how often it holds the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from hf_hardneg.evaluation.clustered import by_query, clustered_interval
from hf_hardneg.rates import wilson


def test_sums_by_query_do_not_depend_on_the_order_of_cases() -> None:
    keys = np.array([7, 3, 7, 9, 3, 7], dtype=np.uint64)
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 4, 2]):
        own, [sums] = by_query(keys[order], values[order])
        assert own.tolist() == [3, 7, 9]
        assert sums.tolist() == [18.0, 37.0, 8.0]


def test_effective_size_is_what_the_formula_gives() -> None:
    hits, cases = np.array([0.0, 5.0, 1.0, 0.0]), np.array([5.0, 5.0, 4.0, 6.0])
    found = clustered_interval(hits, cases, 20)
    rate = 6 / 20
    errors = hits - rate * cases
    variance = 4 / 3 * (errors**2).sum() / 400
    expected = rate * (1 - rate) / variance * (t.ppf(0.975, 19) / t.ppf(0.975, 3)) ** 2
    assert found.rate == pytest.approx(rate)
    assert found.effective_n == pytest.approx(expected)
    assert found.design_effect == pytest.approx(20 / expected)
    assert found.wilson == pytest.approx(wilson(rate * expected, expected))
    assert found.low == min(found.wilson[0], found.bootstrap[0])
    assert found.high == max(found.wilson[1], found.bootstrap[1])


@pytest.mark.parametrize("all_of_them", [False, True])
def test_no_hit_or_nothing_but_hits_still_has_a_width(all_of_them: bool) -> None:
    cases = np.full(50, 5.0)
    found = clustered_interval(cases * all_of_them, cases, 250)
    assert found.bootstrap == (float(all_of_them), float(all_of_them))
    assert (found.low, found.high) == wilson(50 * all_of_them, 50)
    assert found.high - found.low > 0.05


def test_one_query_is_one_case() -> None:
    found = clustered_interval(np.array([2.0]), np.array([5.0]), 5)
    assert found.effective_n == 1.0
    assert found.high - found.low > 0.7


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20).filter(
        lambda pairs: sum(max(pair) for pair in pairs) > 0
    )
)
def test_the_interval_holds_the_rate_and_never_closes(pairs: list[tuple[int, int]]) -> None:
    hits = np.array([float(min(pair)) for pair in pairs])
    cases = np.array([float(max(pair)) for pair in pairs])
    found = clustered_interval(hits, cases, cases.sum())
    assert 0 <= found.low <= found.rate <= found.high <= 1
    assert found.low < found.high
    assert 1 <= found.effective_n <= cases.sum()


@pytest.mark.parametrize(("rate", "alike"), [(0.3, 0.0), (0.3, 0.5), (0.05, 0.3)])
def test_it_covers_where_plain_wilson_does_not(rate: float, alike: float) -> None:
    """Beta-binomial queries: ``alike`` is the correlation of two negatives of a query."""
    rng = np.random.default_rng(0)
    queries, each, repeats = 40, 5, 200
    held = plain = 0
    for _ in range(repeats):
        shape = (1 - alike) / alike if alike else None
        own = rng.beta(rate * shape, (1 - rate) * shape, queries) if shape else rate
        hits = rng.binomial(each, own, queries).astype(float)
        found = clustered_interval(hits, np.full(queries, float(each)), queries * each)
        held += found.low <= rate <= found.high
        low, high = wilson(hits.sum(), queries * each)
        plain += low <= rate <= high
    assert held / repeats >= 0.92
    if alike == 0.5:
        assert plain / repeats < 0.85
