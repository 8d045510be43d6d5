"""Seconds for all texts from a few, against times that are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg.workload import FIRST_TEXTS, MOST_TEXTS, Workload, seconds_by_length

lengths_of_texts = st.lists(st.integers(0, 4_000), min_size=65, max_size=900).map(np.array)


class Clock:
    """Says how long some work took, by what was done; nothing here waits."""

    def __init__(self, cost: Callable[[int], float], lengths: np.ndarray) -> None:
        self.cost, self.lengths = cost, lengths
        self.now = 0.0
        self.calls: list[list[int]] = []

    def do(self, places: list[int]) -> None:
        self.calls.append(places)
        self.now += sum(self.cost(int(self.lengths[place])) for place in places)

    def timer(self, work: Callable[[], object]) -> float:
        before = self.now
        work()
        return self.now - before


def constant(_: int) -> float:
    return 0.25


@given(lengths_of_texts)
def test_texts_of_equal_cost(lengths: np.ndarray) -> None:
    clock = Clock(constant, lengths)
    seconds, number = seconds_by_length(clock.do, lengths, 1.0, clock.timer)
    assert seconds == pytest.approx(0.25 * len(lengths))
    assert number == FIRST_TEXTS  # 16 seconds by this clock, more than enough


def test_cost_that_grows_with_the_length() -> None:
    lengths = np.random.default_rng(0).integers(10, 2_000, 5_000)
    for power in (0.5, 1, 1.5, 2):
        clock = Clock(lambda length, power=power: 1e-3 * length**power, lengths)  # type: ignore[misc]
        seconds, _ = seconds_by_length(clock.do, lengths, 1.0, clock.timer)
        assert seconds == pytest.approx(1e-3 * (lengths**power).sum(), rel=0.08)


def test_a_few_long_texts_among_short_ones() -> None:
    lengths = np.concatenate([np.full(9_500, 20), np.full(500, 2_000)])
    clock = Clock(float, lengths)
    seconds, _ = seconds_by_length(clock.do, lengths, 1.0, clock.timer)
    assert 0.5 * lengths.sum() < seconds < 2 * lengths.sum()


def test_more_texts_are_timed_until_that_takes_long_enough() -> None:
    lengths = np.arange(100_000) % 700
    numbers = []
    for each in (1e-1, 1e-3, 1e-9):
        clock = Clock(lambda _, each=each: each, lengths)  # type: ignore[misc]
        seconds, number = seconds_by_length(clock.do, lengths, 1.0, clock.timer)
        assert seconds == pytest.approx(each * len(lengths))
        numbers.append(number)
    assert numbers[0] == FIRST_TEXTS < numbers[1] < numbers[2] == MOST_TEXTS


@pytest.mark.parametrize("number", [0, 1, 5, FIRST_TEXTS])
def test_few_texts_are_all_timed(number: int) -> None:
    lengths = np.arange(number)
    clock = Clock(constant, lengths)
    seconds, timed = seconds_by_length(clock.do, lengths, 1.0, clock.timer)
    assert (seconds, timed) == (pytest.approx(0.25 * number), number)
    if number:
        assert sorted(clock.calls[-1]) == list(range(number))


def test_texts_that_are_timed_together_are_of_one_length() -> None:
    lengths = np.random.default_rng(1).permutation(10_000)
    clock = Clock(constant, lengths)
    seconds_by_length(clock.do, lengths, 1.0, clock.timer)
    assert all(np.ptp(lengths[places]) < 32 for places in clock.calls)


def test_quick_work_is_done_once_with_the_longest_texts() -> None:
    lengths = np.random.default_rng(1).permutation(10_000)
    for each, longest in ((1e-9, True), (1.0, False)):
        clock = Clock(lambda _, each=each: each, lengths)  # type: ignore[misc]
        seconds_by_length(clock.do, lengths, 1.0, clock.timer)
        assert any(min(lengths[places]) == 10_000 - 64 for places in clock.calls) is longest


def test_known_positives_are_no_candidates_to_try() -> None:
    known = {"one": frozenset({3, 4}), "two": frozenset[int]()}
    work = Workload(["one", "two"], ["one", "two"], known, 2, 5)
    nearest = [("one", 3), ("one", 7), ("two", 3)]
    assert work.negatives(nearest) == [("one", 7), ("two", 3)]
