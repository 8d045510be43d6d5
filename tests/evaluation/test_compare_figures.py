"""The figures of a comparison against closed forms and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg import OfflineMiner
from hf_hardneg.errors import ParameterError
from hf_hardneg.evaluation.compare_figures import (
    ESTIMATORS,
    Case,
    check_estimators,
    diversity,
    hardness,
    paired_test,
    ranking_values,
)
from hf_hardneg.evaluation.hardness import hardness_of
from hf_hardneg.evaluation.held_out import HeldOut
from hf_hardneg.evaluation.training import Outcome
from hf_hardneg.evaluation.training_figures import measured, t_interval
from hf_hardneg.mined_set import MinedSet


def mined() -> MinedSet:
    return MinedSet.of(
        Dataset.from_dict(
            {
                "query": ["a", "b", "c", "d"],
                "hard_negative_ids": [["x", "y"], ["x"], [], ["x", "z"]],
                "hard_negatives": [["X", "Y"], ["X"], [], ["X", "Z"]],
                "hard_negative_scores": [[3.0, 1.0], [None], [], [5.0, 2.0]],
                "hard_negative_positive_scores": [[4.0, 2.0], [1.0], [1.0], [-1.0]],
                "hard_negative_ranks": [[1, 4], [2], [], [1, 7]],
            }
        )
    )


def test_hardness_is_relative_to_the_lowest_positive() -> None:
    found = hardness(mined(), hardness_of(mined()))
    # 1 - (s+ - s) / |s+|: over 2 in the first row, over -1 in the last.
    assert found.relative == pytest.approx((1.5 + 0.5 + 7 + 4) / 4)
    assert found.harder == 0.75
    assert found.n == 4
    assert found.mean_rank == 3.0


def test_diversity_counts_documents() -> None:
    found = diversity(hardness_of(mined()))
    assert (found.negatives, found.documents, found.most_reused) == (5, 3, 3)


def test_a_text_under_two_ids_is_one_document() -> None:
    """As the page of the hardness of a set counts it, and as a reader would."""
    rows = Dataset.from_dict(
        {"query": ["a", "b"], "hard_negative_ids": [["x", "y"], ["z"]],
         "hard_negatives": [["One text", "other"], [" one  TEXT"]]}
    )  # fmt: skip
    described = hardness_of(MinedSet.of(rows))
    found = diversity(described)
    assert (found.negatives, found.documents, found.most_reused) == (3, 2, 2)
    assert described.reuse.told_apart_by == "text"
    nothing = diversity(hardness_of(MinedSet.of(rows.map(
        lambda _: {"hard_negative_ids": [], "hard_negatives": []}
    ))))  # fmt: skip
    assert (nothing.negatives, nothing.documents, nothing.most_reused) == (0, 0, 0)


def test_ranking_values_are_those_of_the_formulas() -> None:
    held_out = HeldOut(
        ["q1", "q2", "q3"], ["a", "b", "c"],
        {"q1": {"d1": 1, "d2": 2}, "q2": {"d3": 1}, "q3": {"d1": 1, "d4": 0}},
    )  # fmt: skip
    twelve = [f"e{number}" for number in range(12)]
    ranking = {"q1": ["d9", "d2", "d1"], "q2": [*twelve[:9], "d3"], "q3": [*twelve[:10], "d1"]}
    found = ranking_values(ranking, held_out)
    assert found["MRR@10"] == pytest.approx([0.5, 0.1, 0.0])
    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    first = (2 / math.log2(3) + 1 / math.log2(4)) / ideal
    assert found["nDCG@10"] == pytest.approx([first, 1 / math.log2(11), 0.0])


def exact_p(differences: list[float]) -> float:
    """The share of all sign patterns with a mean difference at least as large."""
    observed = abs(sum(differences)) - 1e-9
    patterns = list(itertools.product((-1, 1), repeat=len(differences)))
    sums = [abs(sum(s * d for s, d in zip(p, differences, strict=True))) for p in patterns]
    return sum(value >= observed for value in sums) / len(patterns)


@given(st.lists(st.sampled_from([-0.5, -0.1, 0.0, 0.2, 0.7]), min_size=1, max_size=8))
def test_the_paired_test_is_near_the_exact_one(differences: list[float]) -> None:
    zeros = np.zeros(len(differences))
    found = paired_test(zeros, np.array(differences))
    assert found == pytest.approx(exact_p(differences), abs=0.025)
    assert found == paired_test(np.array(differences), zeros)


def test_t_interval_of_three_seeds() -> None:
    low, high = t_interval([0.70, 0.72, 0.77]) or (0.0, 0.0)
    mean, spread = 0.73, math.sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2)
    half = 4.302652729911275 * spread / math.sqrt(3)  # Student's t with two degrees of freedom
    assert (low, high) == (pytest.approx(mean - half), pytest.approx(mean + half))
    assert t_interval([0.7]) is None
    assert t_interval([0.7, 0.7, 0.7]) is None  # the formula has no width, as if it were certain


def test_gains_are_taken_seed_by_seed() -> None:
    def outcome(*values: float) -> Outcome:
        return Outcome({name: np.array(values) for name in ("MRR@10", "nDCG@10")}, 1, 1)

    first = [outcome(0.1, 0.3), outcome(0.5, 0.7)]
    other = [outcome(0.2, 0.4), outcome(0.6, 0.8)]
    found = measured(other, first)["MRR@10"]
    assert found.seeds == pytest.approx([0.3, 0.7])
    assert found.gain is not None
    # The seeds are far apart, the differences are equal but for rounding: they tell no interval.
    assert found.gain.mean == pytest.approx(0.1)
    assert (found.gain.low, found.gain.high) == (None, None)
    assert found.high is not None
    assert found.high - found.mean > 1
    assert found.gain.p == pytest.approx(0.5, abs=0.03)  # two queries, four patterns of signs
    assert measured(first, None)["MRR@10"].gain is None
    alone = measured([outcome(0.0, 0.0)], first)["MRR@10"]
    assert (alone.low, alone.high) == (None, None)
    assert alone.gain is not None
    assert alone.gain.mean == pytest.approx(-0.4)


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"'juged' is not known. Did you mean 'judged'"):
        check_estimators(["juged"])


def test_judgements_that_are_the_known_positives_give_no_rate() -> None:
    data = Dataset.from_dict(
        {"query_id": ["q1", "q2"], "query": ["red fox", "blue whale"],
         "positive_ids": [["d1"], ["d3"]]}
    )  # fmt: skip
    texts = {"d1": "a red fox", "d2": "red fox runs", "d3": "blue whale", "d4": "whale song blue"}
    miner = OfflineMiner("bm25@3", corpus=texts, num_negatives=1).knowing(data)
    mined = MinedSet.of(miner.mine(data))
    assert miner.corpus is not None

    def rate(q1: dict[str, int]) -> tuple[float | None, str]:
        judgements = {"q1": q1, "q2": {"d3": 1}}
        found = ESTIMATORS["judged"](Case(miner, data, mined, miner.corpus, judgements, 0))
        return found.rate, found.why

    assert rate({"d1": 1})[0] is None
    assert "no relevant document but the set's own positives" in rate({"d1": 1})[1]
    assert rate({"d1": 1, "d2": 1})[0] == 0.5
    assert rate({"d1": 1, "d2": 0})[0] == 0.0  # looked at, and not relevant
