from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg.errors import ParameterError
from hf_hardneg.risk_control import (
    betting_p_value,
    conformal_place,
    excess,
    fewest_queries,
    fixed_sequence,
    hoeffding_bentkus,
    normal_p_value,
    tail_p_value,
)

DELTA, DRAWS, QUERIES, N = 0.1, 1_000, 60, 5
NOISE = 3 * math.sqrt(DELTA * (1 - DELTA) / DRAWS)


def shares(rng: np.random.Generator, rate: float, *shape: int) -> np.ndarray:
    """Shares of five negatives that are false; those of one query are alike (beta-binomial)."""
    return rng.binomial(N, rng.beta(2 * rate, 2 * (1 - rate), shape)) / N


def test_excess_is_zero_where_nothing_is_chosen_and_at_the_target_on_average() -> None:
    z = excess(np.array([0.0, 1.0, 0.0]), np.array([0.0, 5.0, 5.0]), 0.2, 5)
    assert z.tolist() == pytest.approx([0.0, 0.0, -0.2])


def test_betting_is_the_mean_of_the_capitals_written_out() -> None:
    z = np.array([0.4, -0.1, -0.1, 0.1, -0.1])
    capitals = []
    for step in range(1, 101):
        bet = step / 100 / 0.9
        capitals.append(math.prod(1 - bet * one for one in z))
    mean = 0.5 * capitals[-1] + 0.5 * sum(capitals) / 100
    assert betting_p_value(z, 0.1) == pytest.approx(min(1, 1 / mean))
    good = np.full(80, -0.1)
    capitals = [(1 + step / 100 / 0.9 * 0.1) ** 80 for step in range(1, 101)]
    mean = 0.5 * capitals[-1] + 0.5 * sum(capitals) / 100
    assert betting_p_value(good, 0.1) == pytest.approx(1 / mean)


def test_a_query_that_is_all_false_costs_the_whole_bet_and_no_more() -> None:
    z = np.concatenate([[0.9], np.full(200, -0.1)])
    assert 0 < betting_p_value(z, 0.1) < 1e-6
    assert betting_p_value(np.array([0.9]), 0.1) == 1


@given(st.lists(st.floats(-0.2, 0.8), min_size=1, max_size=30), st.randoms())
def test_the_order_of_queries_has_no_influence(values: list[float], random: object) -> None:
    again = list(values)
    random.shuffle(again)  # type: ignore[attr-defined]
    one, other = (betting_p_value(np.array(z), 0.2) for z in (values, again))
    assert one == pytest.approx(other)
    assert 0 <= one <= 1


@pytest.mark.parametrize("test", [betting_p_value, hoeffding_bentkus])
@pytest.mark.parametrize(("target", "queries"), [(0.05, 30), (0.1, 60), (0.2, 20)])
def test_p_values_are_valid_at_the_edge_of_the_hypothesis(
    test: object, target: float, queries: int
) -> None:
    rng = np.random.default_rng(1)
    z = shares(rng, target, 2_000, queries) - target
    p = np.array([test(line, target) for line in z])  # type: ignore[operator]
    for delta in (0.05, 0.1, 0.3):
        assert (p <= delta).mean() <= delta + 3 * math.sqrt(delta / 2_000)


def test_p_values_find_what_is_there_and_betting_needs_fewer_queries() -> None:
    rng = np.random.default_rng(2)
    z = shares(rng, 0.05, 300, 120) - 0.1
    betting = np.mean([betting_p_value(line, 0.1) <= DELTA for line in z])
    bentkus = np.mean([hoeffding_bentkus(line, 0.1) <= DELTA for line in z])
    assert betting > 0.5
    assert betting > bentkus + 0.1


def test_hoeffding_bentkus_in_numbers() -> None:
    # No loss in 45 queries: Hoeffding's part is (1 - a)^45.
    assert hoeffding_bentkus(np.full(45, -0.05), 0.05) == pytest.approx(0.95**45)
    # Loss 1 in one of 100: e P(Bin(100, 0.1) <= 1), lower than exp(-100 h(0.01, 0.1)).
    z = np.where(np.arange(100) == 0, 0.9, -0.1)
    binomial = 0.9**100 + 100 * 0.1 * 0.9**99
    divergence = 0.01 * math.log(0.1) + 0.99 * math.log(0.99 / 0.9)
    expected = min(math.e * binomial, math.exp(-100 * divergence))
    assert hoeffding_bentkus(z, 0.1) == pytest.approx(expected)
    assert hoeffding_bentkus(np.empty(0), 0.1) == 1


def test_normal_p_value() -> None:
    z = np.array([-0.1, 0.1, -0.1, 0.3, -0.2])
    t = z.mean() / (z.std(ddof=1) / math.sqrt(5))
    assert normal_p_value(z) == pytest.approx(0.5 * math.erfc(-t / math.sqrt(2)))
    assert normal_p_value(np.full(9, -0.1)) == 1  # nothing varies
    assert normal_p_value(np.array([-0.1])) == 1


def test_tail_p_value_is_the_binomial() -> None:
    assert tail_p_value(0.0, 10, 0.01) == pytest.approx(0.99**10)
    binomial = 0.9**20 + 20 * 0.1 * 0.9**19
    assert tail_p_value(1 / 20, 20, 0.1) == pytest.approx(binomial)
    assert tail_p_value(1.0, 7, 0.1) == 1
    assert tail_p_value(0.0, 0, 0.1) == 1


def test_a_sample_of_few_labels_is_no_evidence() -> None:
    # Ten labels of 500 negatives, none relevant: the normal approximation is sure of 1%.
    z = excess(np.zeros(100), np.where(np.arange(100) < 10, 50.0, 0.0), 0.01, 5)
    assert normal_p_value(z) < 0.001 < 0.9 < tail_p_value(0.0, 10, 0.01)


def test_fixed_sequence_stops_at_the_first_failure() -> None:
    assert fixed_sequence(np.array([0.01, 0.1, 0.2, 0.0]), 0.1) == 2
    assert fixed_sequence(np.array([0.5, 0.0]), 0.1) == 0
    assert fixed_sequence(np.array([np.nan, 0.0]), 0.1) == 0
    assert fixed_sequence(np.array([0.0, 0.0]), 0.1) == 2


@pytest.mark.parametrize("target", [0.01, 0.05, 0.1, 0.2, 0.5])
@pytest.mark.parametrize("delta", [0.3, 0.1, 0.05])
def test_fewest_queries_is_the_least_number(target: float, delta: float) -> None:
    number = fewest_queries(target, delta)
    assert betting_p_value(np.full(number, -target), target) <= delta
    assert betting_p_value(np.full(number - 1, -target), target) > delta
    assert number >= math.log(delta) / math.log1p(-target)


@pytest.mark.parametrize(("target", "delta"), [(0.0, 0.1), (1.0, 0.1), (0.1, 0.0), (0.1, 1.0)])
def test_fewest_queries_refuses_what_is_no_rate(target: float, delta: float) -> None:
    with pytest.raises(ParameterError, match="between 0 and 1"):
        fewest_queries(target, delta)


def test_learn_then_test_keeps_its_promise() -> None:
    """The rate rises along the path, with a dip; what is chosen is above the target seldom."""
    rates = np.array([0.02, 0.04, 0.03, 0.08, 0.1, 0.12, 0.09, 0.2, 0.3])
    target, rng, broken, found = 0.1, np.random.default_rng(3), 0, 0
    for _ in range(DRAWS):
        # The same queries under every decision: the p-values are anything but independent.
        level = rng.beta(0.4, 3.6, QUERIES) * 10
        false = rng.binomial(N, np.clip(level[:, None] * rates, 0, 1)) / N
        mean = false.mean(axis=0)
        assert mean.shape == rates.shape
        passed = fixed_sequence(
            np.array([betting_p_value(false[:, at] - target, target) for at in range(9)]), DELTA
        )
        # Clipping lowers the true rates of the lax end; a violation is one by those.
        broken += passed > 0 and TRUE[passed - 1] > target
        found += passed > 0
    assert broken / DRAWS <= DELTA + NOISE
    assert found > 0.3 * DRAWS


def _true_rates() -> np.ndarray:
    rates = np.array([0.02, 0.04, 0.03, 0.08, 0.1, 0.12, 0.09, 0.2, 0.3])
    level = np.random.default_rng(4).beta(0.4, 3.6, 400_000) * 10
    return np.clip(level[:, None] * rates, 0, 1).mean(axis=0)


TRUE = _true_rates()


def test_conformal_place_in_numbers() -> None:
    losses = np.array([[0.0, 0.2, 0.0, 0.4], [0.0, 0.0, 0.0, 0.2], [0.0, 0.0, 0.2, 0.0]])
    # Upper envelopes sum to 0, 0.2, 0.4, 0.8; with 1 added and over 4.
    assert conformal_place(losses, 0.24) is None
    assert conformal_place(losses, 0.25) == 0
    assert conformal_place(losses, 0.3) == 1
    assert conformal_place(losses, 0.36) == 2
    assert conformal_place(losses, 0.45) == 3


def test_conformal_risk_control_keeps_its_promise_on_average() -> None:
    """A loss that does not fall with every step: the envelope makes up for it."""
    target, rng, lost = 0.15, np.random.default_rng(5), []
    for _ in range(DRAWS):
        level = rng.beta(0.4, 3.6, 31) * 10
        path = np.array([0.0, 0.02, 0.05, 0.03, 0.1, 0.08, 0.2, 0.3])
        losses = rng.binomial(N, np.clip(level[:, None] * path, 0, 1)) / N
        losses[:, 0] = 0
        place = conformal_place(losses[:30], target)
        lost.append(0.0 if place is None else losses[30, place])
    assert np.mean(lost) <= target + 3 * np.std(lost) / math.sqrt(DRAWS)
    assert np.mean(lost) > 0.02
