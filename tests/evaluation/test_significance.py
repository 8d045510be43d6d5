"""The randomisation test, against enumeration and against what chance gives."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from hf_hardneg.errors import ParameterError
from hf_hardneg.evaluation.significance import mean_interval, randomisation_test

VALUES = st.sampled_from([0.0, 0.1, 0.2, 1 / 3, 0.5, 1.0])


def enumerated(differences: np.ndarray) -> float:
    """Return the share of all signs whose sum is at least as far from 0."""
    observed = abs(differences.sum())
    signs = np.array(list(product((1, -1), repeat=len(differences))))
    return float(np.mean(np.abs(signs @ differences) >= observed - 1e-12))


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=10))
def test_small_samples_are_exact(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).T
    found = randomisation_test(a, b)
    assert found.exact
    assert found.p == pytest.approx(enumerated(b - a), abs=1e-12)
    assert found.difference == pytest.approx(b.mean() - a.mean())
    assert (found.better, found.worse) == ((b > a).sum(), (b < a).sum())


def test_a_sample_of_the_signs_is_near_all_of_them() -> None:
    rng = np.random.default_rng(3)
    a = rng.random(14)
    b = a + rng.normal(0.1, 0.2, 14)
    exact = enumerated(b - a)
    found = randomisation_test(a, b, repeats=9_999)
    assert not found.exact
    spread = np.sqrt(exact * (1 - exact) / 9_999)
    assert abs(found.p - exact) < 4 * spread + 1e-4
    assert round(found.p * 10_000) == pytest.approx(found.p * 10_000, abs=1e-6)  # (hits + 1) / 10^4


def test_p_is_never_zero_and_all_better_is_the_least() -> None:
    found = randomisation_test(np.zeros(50), np.ones(50), repeats=99)
    assert found.p == pytest.approx(1 / 100)
    assert (found.difference, found.low, found.high) == (1, None, None)


def test_no_difference_is_no_difference() -> None:
    values = np.linspace(0, 1, 40)
    found = randomisation_test(values, values)
    assert (found.p, found.difference, found.low, found.high) == (1, 0, None, None)


@pytest.mark.parametrize(
    ("a", "b", "note"),
    [
        ([0.2], [0.7], "there is one query"),
        ([0.3, 0.5, 0.1], [0.4, 0.6, 0.2], "all 3 queries have the same difference"),
    ],
)
def test_values_that_do_not_vary_tell_no_interval(
    a: list[float], b: list[float], note: str
) -> None:
    """The differences of the second are 0.1 but for rounding: no width beyond that."""
    found = randomisation_test(a, b)
    assert (found.low, found.high, found.note) == (None, None, note)
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (values["low"], values["high"], values["note"]) == (None, None, note)
    assert f"(no interval: {note})" in str(found)


def test_the_interval_of_few_queries_is_said_to_be_too_narrow() -> None:
    """It is: with five queries it holds the mean in far fewer cases than 95 of 100."""
    rng, ranks, held = np.random.default_rng(0), 1 / np.arange(1, 16), 0
    for seed in range(200):
        low, high = mean_interval(rng.choice(ranks, 5), seed=seed) or (0.0, 1.0)
        held += low <= ranks.mean() <= high
    assert held < 0.88 * 200
    values = rng.random(20)
    few, enough = (randomisation_test(np.zeros(n), values[:n]) for n in (19, 20))
    assert few.note == "too narrow, as there are only 19 queries"
    assert "; too narrow, as there are only 19 queries)" in str(few)
    assert enough.note == ""


def test_an_interval_is_the_bootstrap_of_scipy() -> None:
    values = np.random.default_rng(6).random(40)
    low, high = mean_interval(values) or (0.0, 0.0)
    theirs = bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    shown = str(randomisation_test(np.zeros(40), values))
    assert f"({low:+.4f} to {high:+.4f})" in shown


def test_turned_round_it_is_the_same_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 60))
    one, other = randomisation_test(a, b, seed=4), randomisation_test(b, a, seed=4)
    assert one.p == other.p
    assert one.difference == -other.difference
    assert other.low is not None
    assert other.high is not None
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_under_no_difference_p_is_below_five_in_a_hundred_as_often() -> None:
    rng = np.random.default_rng(1)
    small = 0
    for seed in range(200):
        a, b = rng.random((2, 20))
        small += randomisation_test(a, b, seed=seed, repeats=199).p <= 0.05
    # Binomial(200, 0.05) has a standard deviation of 3.1.
    assert abs(small - 10) < 4 * 3.1


def test_the_interval_covers_the_difference_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for seed in range(60):
        a = rng.random(60)
        b = a + rng.normal(0.05, 0.1, 60)
        found = randomisation_test(a, b, seed=seed, repeats=9)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.05 <= found.high
    assert 50 <= covered <= 60


def test_the_same_seed_gives_the_same() -> None:
    a, b = np.random.default_rng(5).random((2, 100))
    assert randomisation_test(a, b, seed=1) == randomisation_test(a, b, seed=1)
    assert randomisation_test(a, b, seed=1).p != randomisation_test(a, b, seed=2).p


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([1.0], [1.0, 2.0]), ([np.nan], [1.0]), ([[1.0]], [[1.0]])]
)
def test_what_cannot_be_compared_is_refused(a: list[float], b: list[float]) -> None:
    with pytest.raises(ParameterError, match="expected"):
        randomisation_test(a, b)
