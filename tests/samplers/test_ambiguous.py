from __future__ import annotations

import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from drawing import DRAWS, SURE, assert_drawn, draws, line, order_of, repeated, softmax
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import word_documents, word_rows
from scipy.stats import chisquare
from stage_data import AllRows, Batch, batches, make_batch

from hf_hardneg import AmbiguousZoneSampler, OfflineMiner, RandomSampler
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.log_weights import drawn_positives
from hf_hardneg.selection import Rules, select, trace_names
from hf_hardneg.testing import check_sampler, take_candidates, take_queries

NAN = float("nan")
SCORES = [2.0, 1.5, 0.75, 0.0, -1.0]


@pytest.mark.parametrize(
    "sampler",
    [
        AmbiguousZoneSampler(),
        AmbiguousZoneSampler(a=2, b=-0.5, top_k=3),
        AmbiguousZoneSampler(scale="std", sigma=0.01),
        AmbiguousZoneSampler(strategy="uniform", start_rank=2, end_rank=5),
        AmbiguousZoneSampler(strategy="uniform"),
    ],
)
@settings(max_examples=15)
@given(batch=batches)
def test_keeps_the_contract(sampler: AmbiguousZoneSampler, batch: Batch) -> None:
    check_sampler(sampler, *batch)


@pytest.mark.parametrize("options", [{"a": 1e308, "b": 1e308}, {"scale": "std", "sigma": 1e-300}])
def test_no_parameter_is_too_extreme(options: dict[str, Any]) -> None:
    """Whatever may be drawn has a finite key, however small its weight; nothing warns."""
    keys = AmbiguousZoneSampler(**options).keys(*line([3e38, 1, 0, -3e38], [-3e38]), 0)
    assert np.isfinite(keys).all()


# -- the zone --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "positive"), [(None, None, 1.0), (0.5, 1.0, 0.0), (2.0, -0.5, 1.0), (0.25, 0, 9.0)]
)
def test_the_draws_follow_the_formula(a: float | None, b: float | None, positive: float) -> None:
    shares = softmax(
        [
            -(0.5 if a is None else a) * (score - positive - (0.0 if b is None else b)) ** 2
            for score in SCORES
        ]
    )
    assert_drawn(AmbiguousZoneSampler(a=a, b=b), line(SCORES, [positive]), shares)


def test_the_zone_is_that_of_one_positive_drawn_uniformly() -> None:
    """The mixture of three zones, which is not the zone of any mean of the three."""
    positives = [2.0, -1.0, -1.5]
    zones = [softmax([-4 * (score - own) ** 2 for score in SCORES]) for own in positives]
    assert_drawn(AmbiguousZoneSampler(a=4), line(SCORES, positives), np.mean(zones, axis=0))


def test_a_row_has_the_zone_of_one_positive_for_all_that_it_takes() -> None:
    """Both negatives come from the same side; two draws of the positive would mix them."""
    order = draws(AmbiguousZoneSampler(a=50), line([3.0, 2.9, -2.9, -3.0], [3.0, -3.0]))
    above = order[:, :2] < 2
    assert (above[:, 0] == above[:, 1]).all()
    assert chisquare(np.bincount(above[:, 0])).pvalue > SURE


def test_b_moves_the_zone_above_the_positive_as_in_the_paper() -> None:
    near = AmbiguousZoneSampler(a=1e6, b=1)
    assert order_of(near, line([2.0, 1.0, 0.0, -1.0], [0.0]))[0, 0] == 1
    assert order_of(AmbiguousZoneSampler(a=1e6, b=-1), line([2, 1, 0, -1], [0]))[0, 0] == 3


@given(batches)
def test_without_weight_it_is_uniform(batch: Batch) -> None:
    queries, candidates = batch
    flat = AmbiguousZoneSampler(a=0).keys(queries, candidates, 3)
    random = RandomSampler().keys(queries, candidates, 3)
    scored = ~np.isnan(candidates.positive_scores[drawn_positives(queries, 3)])
    assert np.array_equal(flat[scored], random[scored])
    assert (flat[~scored] == -np.inf).all()
    window = AmbiguousZoneSampler(strategy="uniform", start_rank=1, end_rank=101)
    assert np.array_equal(window.keys(queries, candidates, 3), random)


@given(batches, st.sampled_from([-1.0, 0.0, 0.5]), st.integers(0, 5))
def test_a_large_weight_takes_the_nearest(batch: Batch, b: float, seed: int) -> None:
    queries, candidates = batch
    order = order_of(AmbiguousZoneSampler(a=1e9, b=b), batch, seed)
    drawn = drawn_positives(queries, seed)
    for number, slots in enumerate(order):
        own = [int(slot) for slot in slots if slot >= 0]
        middle = float(candidates.positive_scores[drawn[number]]) + b
        if math.isnan(middle):
            assert own == []
            continue
        filled = np.flatnonzero(candidates.filled[number])
        away = [abs(float(candidates.scores[number, slot]) - middle) for slot in own]
        assert away == sorted(away)
        assert sorted(own) == filled.tolist()


@given(batches, st.sampled_from([-64.0, 0.25, 1000.0]))
def test_a_constant_added_to_all_scores_changes_nothing(batch: Batch, constant: float) -> None:
    queries, candidates = batch
    shift = np.float32(constant)
    moved = replace(
        candidates,
        scores=candidates.scores + shift,
        positive_scores=candidates.positive_scores + shift,
    )
    sampler = AmbiguousZoneSampler(a=0.7)
    assert np.array_equal(sampler.keys(queries, candidates, 1), sampler.keys(queries, moved, 1))


def test_no_rank_beyond_top_k_is_drawn() -> None:
    queries, candidates = line([0.0] * 24, [0.0])
    assert sorted(order_of(AmbiguousZoneSampler(top_k=6), (queries, candidates))[0])[18:] == [
        *range(6)
    ]
    deep = replace(candidates, ranks=candidates.ranks + np.int32(90))  # 91 to 114
    assert np.count_nonzero(order_of(AmbiguousZoneSampler(), (queries, deep)) >= 0) == 10


# -- which positive --------------------------------------------------------------------------


def test_every_positive_is_as_likely_and_the_seed_decides() -> None:
    queries, _ = repeated(line([0.0], [1.0, 2.0, 3.0]))
    drawn = drawn_positives(queries, 5) - queries.offsets[:-1]
    assert chisquare(np.bincount(drawn, minlength=3)).pvalue > SURE
    again = drawn_positives(queries, 6) - queries.offsets[:-1]
    pairs = np.bincount(3 * drawn + again, minlength=9)
    assert chisquare(pairs).pvalue > SURE  # another seed draws independently
    assert len(drawn) == DRAWS


def test_only_some_positives_may_be_drawn() -> None:
    queries, _ = repeated(line([0.0], [1.0, 2.0, 3.0, 4.0]))
    among = np.arange(len(queries.positive_rows)) % 4 % 3 > 0
    drawn = drawn_positives(queries, 5, among) - queries.offsets[:-1]
    assert chisquare(np.bincount(drawn, minlength=3)[1:]).pvalue > SURE
    assert set(drawn.tolist()) == {1, 2}
    assert (drawn_positives(queries, 5, ~among & among) == -1).all()
    none, _ = make_batch([[1], [2]], [[0.0], [0.0]], [[], [1.0]])
    assert drawn_positives(none, 0).tolist() == [-1, 0]
    assert drawn_positives(take_queries(none, [0]), 0).tolist() == [-1]


@given(batches, st.integers(0, 3))
def test_the_draw_does_not_depend_on_the_batch(batch: Batch, seed: int) -> None:
    queries, candidates = batch
    sampler = AmbiguousZoneSampler(a=3)
    whole = sampler.keys(queries, candidates, seed)
    for number in range(len(queries)):
        alone = take_queries(queries, [number]), take_candidates(queries, candidates, [number])
        assert np.array_equal(sampler.keys(*alone, seed)[0], whole[number])


def test_a_positive_without_a_score_draws_nothing_and_that_is_counted() -> None:
    queries, candidates = make_batch(
        [[1, 2, 3], [1, 2, 3], [4, 5, 6]],
        [[1.0, 0.5, 0.0]] * 3,
        [[NAN], [0.5], []],
        positive_rows=[[9], [9], []],
    )
    rules = Rules((), (), AmbiguousZoneSampler(), 2, 0)
    chosen = select(queries, candidates, rules, None)  # type: ignore[arg-type]
    assert (chosen.slots[[0, 2]] == -1).all()
    assert (chosen.slots[1] >= 0).all()
    names = trace_names(rules)
    assert chosen.trace[:, names.index("unused")].tolist() == [3, 1, 3]
    assert chosen.trace[:, names.index("chosen")].tolist() == [0, 2, 0]


# -- the scale -------------------------------------------------------------------------------


def test_the_scale_is_the_deviation_of_all_positives() -> None:
    sampler = AmbiguousZoneSampler(a=2, b=1, top_k=9, scale="std")
    assert sampler.needs_fit
    fitted = sampler.fitted(AllRows([0.25, 0.75, NAN, 0.25, 0.75]))
    assert fitted == AmbiguousZoneSampler(a=2, b=1, top_k=9, scale="std", sigma=0.25)
    assert not fitted.needs_fit
    assert fitted.fitted(AllRows([1.0])) is fitted
    assert pickle.loads(pickle.dumps(fitted)).sigma == 0.25
    plain = AmbiguousZoneSampler()
    assert plain.fitted(AllRows([1.0])) is plain
    assert not plain.needs_fit


@given(batches)
def test_scaled_is_raw_with_other_parameters(batch: Batch) -> None:
    scaled = AmbiguousZoneSampler(a=0.5, b=2, scale="std", sigma=0.25)
    raw = AmbiguousZoneSampler(a=8, b=0.5)
    assert np.array_equal(scaled.keys(*batch, 0), raw.keys(*batch, 0))


def test_the_deviation_cannot_be_nothing() -> None:
    sampler = AmbiguousZoneSampler(scale="std")
    for scores in ([NAN, NAN], [], [1.5, 1.5, NAN]):
        with pytest.raises(ParameterError, match="standard deviation of the positives' scores"):
            sampler.fitted(AllRows(scores))
    with pytest.raises(ParameterError, match="a single batch does not have them"):
        sampler.keys(*line(SCORES), 0)


# -- the window ------------------------------------------------------------------------------


def test_the_window_is_uniform() -> None:
    window = AmbiguousZoneSampler(strategy="uniform", start_rank=2, end_rank=5)
    assert_drawn(window, line([9.0, 5.0, 4.0, -8.0, -9.0]), [0, 1 / 3, 1 / 3, 1 / 3, 0])


@given(batches, st.integers(1, 8), st.integers(1, 8))
def test_the_window_is_of_raw_ranks(batch: Batch, start: int, width: int) -> None:
    window = AmbiguousZoneSampler(strategy="uniform", start_rank=start, end_rank=start + width)
    keys = window.keys(*batch, 0)
    ranks = batch[1].ranks
    inside = batch[1].filled & (ranks >= start) & (ranks < start + width)
    assert np.array_equal(keys > -np.inf, inside)
    assert np.array_equal(keys[inside], RandomSampler().keys(*batch, 0)[inside])


def test_the_default_window() -> None:
    queries, candidates = line([0.0] * 24, [0.0])
    for first, drawn in ((38, 12), (60, 24), (190, 10)):
        deep = replace(candidates, ranks=np.arange(first, first + 24, dtype=np.int32)[None])
        order = order_of(AmbiguousZoneSampler(strategy="uniform"), (queries, deep))
        assert np.count_nonzero(order >= 0) == drawn


# -- parameters ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strategy": "rank"}, "strategy='rank'; expected one of simans, uniform"),
        ({"scale": "cosine"}, "scale='cosine'; expected one of raw, std"),
        ({"a": -1}, r"a=-1; expected a finite number of at least 0 \(the paper's value is 0.5\)"),
        ({"a": NAN}, "a=nan"),
        ({"b": math.inf}, r"b=inf; expected a finite number \(the paper's value is 0, and 1 on"),
        ({"top_k": 0}, r"top_k=0; expected a whole number of at least 1 \(the paper's value is 10"),
        ({"top_k": 1.5}, "top_k=1.5"),
        ({"scale": "std", "sigma": 0}, "sigma=0; expected a finite number above 0"),
        ({"sigma": 1}, "sigma=1 is given without scale='std'"),
        (
            {"start_rank": 5},
            "start_rank is given with strategy='simans', and belongs to strategy='",
        ),
        ({"start_rank": 5, "end_rank": 9}, "start_rank, end_rank is given with"),
        ({"strategy": "uniform", "a": 0.5}, "a is given with strategy='uniform'"),
        ({"strategy": "uniform", "b": 0}, "b is given with strategy='uniform'"),
        ({"strategy": "uniform", "top_k": 100}, "top_k is given with strategy='uniform'"),
        ({"strategy": "uniform", "scale": "std"}, "scale is given with strategy='uniform'"),
        ({"strategy": "uniform", "start_rank": 0}, "start_rank=0; expected a whole number of at "),
        ({"strategy": "uniform", "start_rank": 200}, "start_rank=200 is not below end_rank=200"),
        ({"strategy": "uniform", "end_rank": 50}, "start_rank=50 is not below end_rank=50"),
    ],
)
def test_parameters_that_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        AmbiguousZoneSampler(**options)


# -- in strategies ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documents() -> dict[str, str]:
    return word_documents(60)


@pytest.fixture(scope="module")
def rows(documents: dict[str, str]) -> Dataset:
    return word_rows(documents, 20)


def test_by_its_other_name(documents: dict[str, str], rows: Dataset) -> None:
    miner = OfflineMiner("bm25@30+simans(a=0.1)", corpus=documents, num_negatives=3)
    assert miner.strategy == "bm25@30+ambiguous(a=0.1)"
    mined = miner.mine(rows)
    assert all(len(names) == 3 for names in mined["hard_negative_ids"])
    ambiguous = OfflineMiner("bm25@30+ambiguous", corpus=documents, num_negatives=3, a=0.1)
    assert ambiguous.mine(rows)["hard_negative_ids"] == mined["hard_negative_ids"]


def test_the_scale_is_learnt_and_stands_in_the_report(
    documents: dict[str, str], rows: Dataset
) -> None:
    def mined(strategy: str) -> tuple[OfflineMiner, Dataset]:
        miner = OfflineMiner(strategy, corpus=documents, num_negatives=3)
        return miner, miner.mine(rows)

    miner, learnt = mined("bm25@30+ambiguous(scale='std')")
    written = miner.report(learnt).strategy
    pool = miner.retrieve(rows)
    scores = np.concatenate([np.asarray(own) for own in pool["candidate_positive_scores"]])
    assert float(written.split("sigma=")[1].rstrip(")")) == np.std(scores.astype(np.float64))
    assert mined(written)[1]["hard_negative_ids"] == learnt["hard_negative_ids"]
    with pytest.raises(StrategyError, match="ambiguous has to see the candidates of all rows"):
        OfflineMiner("bm25+ambiguous(scale='std')", corpus=documents, positives=rows)(rows[:2])


def test_only_the_window_goes_without_scores(documents: dict[str, str], rows: Dataset) -> None:
    window = "random@30+ambiguous(strategy='uniform', start_rank=5, end_rank=12)"
    mined = OfflineMiner(window, corpus=documents, num_negatives=3).mine(rows)
    assert all(len(names) == 3 for names in mined["hard_negative_ids"])
    with pytest.raises(StrategyError, match="'ambiguous' needs scores"):
        OfflineMiner("random@30+ambiguous", corpus=documents)
    assert AmbiguousZoneSampler.needs == ("scores",)
    assert AmbiguousZoneSampler(strategy="uniform").needs == ()
    assert pickle.loads(pickle.dumps(AmbiguousZoneSampler(strategy="uniform"))).needs == ()
