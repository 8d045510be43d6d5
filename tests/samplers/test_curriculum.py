from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampler_cases import ROWS, assert_drawn_by, draws_over, mined_alike, miner
from stage_data import Batch, batches, make_batch

from hf_hardneg import CurriculumSampler
from hf_hardneg.errors import ParameterError
from hf_hardneg.testing import check_sampler

NAN = float("nan")
unit = st.floats(0, 1)


@settings(max_examples=20)
@given(batches, unit, st.sampled_from([0.001, 0.1, 1e9, 1e300]))
def test_keeps_the_contract(batch: Batch, difficulty: float, width: float) -> None:
    check_sampler(CurriculumSampler(difficulty=difficulty, width=width), *batch)


@given(batches, unit, st.sampled_from([0.05, 0.1, 1.0]))
def test_the_weights_against_plain_python(batch: Batch, difficulty: float, width: float) -> None:
    _, candidates = batch
    found = CurriculumSampler(difficulty=difficulty, width=width).log_weights(*batch, 0)
    for line, filled in enumerate(candidates.filled):
        slots = np.flatnonzero(filled).tolist()
        slots.sort(key=lambda slot: (-candidates.scores[line, slot], candidates.ranks[line, slot]))
        for place, slot in enumerate(slots):
            h = 1.0 if len(slots) == 1 else 1 - place / (len(slots) - 1)
            wanted = -((h - difficulty) ** 2) / (2 * width**2)
            assert found[line, slot] == pytest.approx(wanted)


@pytest.mark.parametrize(("difficulty", "width"), [(1.0, 0.3), (0.5, 0.2), (0.0, 1.0)])
def test_the_draw_is_the_closed_form(difficulty: float, width: float) -> None:
    hardness = np.linspace(1, 0, 6)
    weights = np.exp(-((hardness - difficulty) ** 2) / (2 * width**2))
    sampler = CurriculumSampler(difficulty=difficulty, width=width)
    assert_drawn_by(draws_over(sampler, 6, [9.0, 3.0, 2.5, 2.0, 0.1, -4.0]), weights.tolist())


def test_a_wide_curve_is_the_uniform_draw_and_a_narrow_one_the_nearest() -> None:
    assert_drawn_by(draws_over(CurriculumSampler(width=1e9), 5), [1] * 5)
    order = draws_over(CurriculumSampler(difficulty=0.5, width=0.001), 5, [5.0, 4.0, 3.0, 2.0, 1.0])
    assert (order[:, 0] == 2).all()


def test_places_by_score_with_ties_and_missing_scores() -> None:
    """Ties by rank, what has no score last; an empty slot has no place."""
    queries, candidates = make_batch([[1, 2, 3, 4, 5, 6]], [[9.0, 2.0, NAN, 7.0, 2.0, NAN]], [[0]])
    left = candidates.keep(np.array([[False, True, True, True, True, True]]))
    found = CurriculumSampler(difficulty=1, width=1).log_weights(queries, left, 0)[0]
    assert np.sqrt(-2 * found[1:]) == pytest.approx([0.25, 0.75, 0.0, 0.5, 1.0])


def test_schedules() -> None:
    def difficulties(parts: int, **options: Any) -> list[float]:
        sampler = CurriculumSampler(**options)
        return [sampler.at(place / parts).difficulty for place in range(parts + 1)]

    assert difficulties(4) == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert difficulties(2, start=0.2, end=0.6) == pytest.approx([0.2, 0.4, 0.6])
    # Competence: sqrt(t (1 - c0^2) + c0^2).
    for start in (0.0, 0.01, 0.3):
        competence = [math.sqrt(t / 4 * (1 - start**2) + start**2) for t in range(5)]
        assert difficulties(4, schedule="root", start=start) == pytest.approx(competence)
    assert difficulties(1, schedule="root", start=0.2, end=0.6) == pytest.approx([0.2, 0.6])
    assert difficulties(6, schedule="step") == pytest.approx([0, 0, 0.5, 0.5, 1, 1, 1])
    found = difficulties(4, schedule="step", steps=2, start=0.5)
    assert found == pytest.approx([0.5, 0.5, 1, 1, 1])


@given(st.sampled_from(["linear", "root", "step"]), unit, unit, unit, unit, st.integers(2, 9))
def test_a_schedule_rises_from_start_to_end(
    schedule: str, one: float, two: float, early: float, late: float, steps: int
) -> None:
    start, end = sorted((one, two))
    sampler = CurriculumSampler(schedule=schedule, start=start, end=end, steps=steps)
    early, late = sorted((early, late))
    assert start <= sampler.at(early).difficulty <= sampler.at(late).difficulty <= end
    assert sampler.at(0).difficulty == pytest.approx(start)
    assert sampler.at(1).difficulty == pytest.approx(end)


def test_at_returns_a_copy() -> None:
    sampler = CurriculumSampler(difficulty=0.7, width=0.2, schedule="step", steps=4, end=0.9)
    later = sampler.at(0.3)
    assert sampler.difficulty == 0.7
    assert later == CurriculumSampler(
        difficulty=later.difficulty, width=0.2, schedule="step", steps=4, end=0.9
    )
    assert later.difficulty == pytest.approx(0.3)
    assert later.at(0.3) == later


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"difficulty": 1.1}, r"difficulty=1\.1; expected a number from 0 to 1"),
        ({"difficulty": -0.1}, r"difficulty=-0\.1"),
        ({"difficulty": NAN}, "difficulty=nan"),
        ({"width": 0}, r"width=0; expected a finite number of at least 0\.001"),
        ({"width": float("inf")}, "width=inf"),
        ({"schedule": "rot"}, "schedule='rot'; expected one of linear, root, step.*root"),
        ({"start": 2}, "start=2"),
        ({"end": "1"}, "end='1'"),
        ({"start": 0.8, "end": 0.5}, r"start=0\.8 is above end=0\.5.*the paper's end is 1"),
        ({"steps": 1}, "steps=1; expected a whole number of at least 2"),
    ],
)
def test_bad_parameters(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        CurriculumSampler(**options)


@pytest.mark.parametrize("progress", [-0.1, 1.1, NAN, "0"])
def test_bad_progress(progress: Any) -> None:
    with pytest.raises(ParameterError, match=r"progress=.*; expected a"):
        CurriculumSampler().at(progress)


def test_mining() -> None:
    mined_alike("bm25@60+curriculum(difficulty=0.5)")


def test_a_lower_difficulty_mines_easier_negatives() -> None:
    """On places among the survivors, so the mean score falls with the difficulty."""
    sampler = CurriculumSampler(width=0.05)
    means = []
    for progress in (0.0, 0.5, 1.0):
        strategy = f"bm25@60+{sampler.at(progress).expression()}"
        mined = miner(strategy).mine(ROWS.select(range(10)))
        means.append(np.mean(mined["hard_negative_scores"]))
    assert means[0] < means[1] < means[2]
