from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import assert_same_rows
from sampler_cases import DOCUMENTS, ROWS, assert_drawn_by, draws_over, mined_alike, miner
from stage_data import AllRows, Batch, batches, make_batch, without_positives

from hf_hardneg import RankDistributionSampler
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.testing import check_sampler, take_candidates, take_queries

LEARNT = RankDistributionSampler(smooth=False, weights=(0.5, 0.0, 2.0, 1.0, 0.25, 0.25))


def pool(*lines: list[int], depth: int = 20) -> Batch:
    """A pool of queries, each with its relevant documents at some ranks, from 0."""
    rows = [[rank % 24 for rank in range(depth)] for _ in lines]
    scores = [[float(-rank) for rank in range(depth)] for _ in lines]
    return make_batch(rows, scores, [[0.0] * len(own) for own in lines], positive_rows=list(lines))


def distinct(batch: Batch) -> Batch:
    """The same batch in which no two documents have the same text."""
    queries, candidates = batch
    keys = np.maximum(candidates.rows, 0).astype(np.uint64) + np.uint64(1000)
    return replace(queries, known_keys=queries.known_keys * np.uint64(0)), replace(
        candidates, document_keys=keys
    )


def learnt(sampler: RankDistributionSampler, *batches: Batch) -> RankDistributionSampler:
    return sampler.fitted(AllRows(batches=batches))


def weights(sampler: RankDistributionSampler, depth: int) -> list[float]:
    queries, candidates = pool([], depth=depth)
    return np.exp(sampler.log_weights(queries, candidates, 0))[0].tolist()


def plain(counts: list[int], judged: int, *, smooth: bool) -> list[float]:
    """The method in plain Python, with another least squares."""
    gains = [(1 - n / judged) / math.log(r + 2) for r, n in enumerate(counts)]
    if not smooth:
        return [gain - min(gains) for gain in gains]
    ranks = range(4, len(gains) - 4)
    means = [sum(gains[r - 4 : r + 5]) / 9 for r in ranks]
    powers = np.vander(np.array(ranks, dtype=np.float64), 5)
    curve = powers @ np.linalg.lstsq(powers, np.array(means), rcond=None)[0]
    inside = [max(value - min(means), 0.0) for value in curve]
    return [inside[0]] * 4 + inside + [inside[-1]] * 4


@settings(max_examples=20)
@given(batches)
def test_keeps_the_contract(batch: Batch) -> None:
    check_sampler(LEARNT, *batch)


@settings(max_examples=10)
@given(batches)
def test_keeps_the_contract_when_smooth(batch: Batch) -> None:
    check_sampler(learnt(RankDistributionSampler(), pool([0], [3])), *batch)


def test_without_relevant_documents_and_without_smoothing() -> None:
    """n = 0: 1 / ln(r + 2) minus its minimum, which is at the last rank."""
    found = learnt(RankDistributionSampler(smooth=False), distinct(pool([23], [-1])))
    wanted = [1 / math.log(r + 2) - 1 / math.log(21) for r in range(20)]
    assert weights(found, 20) == pytest.approx(wanted)
    assert weights(found, 20)[-1] == 0


@pytest.mark.parametrize("smooth", [True, False])
def test_a_pool_made_by_hand(smooth: bool) -> None:
    """Five judged queries: three have their document at rank 0, one of them another at 2."""
    batch = distinct(pool([0], [0, 2], [0], [5], [-1]))
    found = learnt(RankDistributionSampler(smooth=smooth), batch)
    counts = [3, 0, 1, 0, 0, 1] + [0] * 14
    assert found.depth == 20
    assert weights(found, 20) == pytest.approx(plain(counts, 5, smooth=smooth), abs=1e-9)


@settings(max_examples=20)
@given(
    st.lists(st.lists(st.integers(0, 17), max_size=3, unique=True), min_size=1, max_size=8),
    st.booleans(),
)
def test_any_pool_against_plain_python(lines: list[list[int]], smooth: bool) -> None:
    if not any(lines):
        lines = [*lines, [3]]
    found = learnt(RankDistributionSampler(smooth=smooth), distinct(pool(*lines, depth=18)))
    counts = [sum(rank in own for own in lines) for rank in range(18)]
    judged = sum(bool(own) for own in lines)
    assert weights(found, 18) == pytest.approx(plain(counts, judged, smooth=smooth), abs=1e-9)


def test_a_relevant_text_under_another_id_counts_where_it_stands() -> None:
    """Documents 0 and 17 have the same text."""
    found = learnt(RankDistributionSampler(smooth=False), pool([0]))
    counts = [1] + [0] * 16 + [1] + [0] * 2
    assert weights(found, 20) == pytest.approx(plain(counts, 1, smooth=False))


def test_a_query_in_several_rows_counts_once() -> None:
    queries, candidates = distinct(pool([0, 4], [7]))
    lines = [0, 1, 0, 0]
    several = take_queries(queries, lines), take_candidates(queries, candidates, lines)
    for smooth in (True, False):
        once = learnt(RankDistributionSampler(smooth=smooth), (queries, candidates))
        assert learnt(RankDistributionSampler(smooth=smooth), several) == once
        parts = [
            (take_queries(queries, [line]), take_candidates(queries, candidates, [line]))
            for line in (1, 0, 0)
        ]
        assert learnt(RankDistributionSampler(smooth=smooth), *parts) == once


def test_queries_without_judgement_do_not_count() -> None:
    judged, candidates = distinct(pool([0], [2]))
    with_others = distinct(pool([0], [2], [], []))
    sampler = RankDistributionSampler(smooth=False)
    assert learnt(sampler, with_others) == learnt(sampler, (judged, candidates))


def test_a_lower_depth() -> None:
    batch = distinct(pool([0], [9], [16], [19]))
    found = learnt(RankDistributionSampler(smooth=False, depth=10), batch)
    counts = [1] + [0] * 8 + [1]
    assert weights(found, 20) == pytest.approx(plain(counts, 4, smooth=False) + [0] * 10)
    assert weights(learnt(RankDistributionSampler(depth=13), batch), 20)[13:] == [0] * 7


def test_the_draw_is_the_closed_form() -> None:
    assert_drawn_by(draws_over(LEARNT, 6), [0.5, 0, 2, 1, 0.25, 0.25])


def test_ranks_beyond_the_depth_are_never_drawn() -> None:
    order = draws_over(LEARNT, 9)
    assert (np.sort(order, axis=1)[:, :4] == -1).all()  # rank 2, and three beyond
    assert not np.isin(order, [1, 6, 7, 8]).any()


def test_it_is_its_own_recipe() -> None:
    for smooth in (True, False):
        sampler = RankDistributionSampler(smooth=smooth)
        assert sampler.needs_fit
        found = learnt(sampler, pool([0], [3]))
        assert not found.needs_fit
        assert found.fitted(AllRows()) is found
        again = RankDistributionSampler(**found.parameters())
        assert weights(again, 20) == weights(found, 20)


@pytest.mark.parametrize(
    ("sampler", "depth", "message"),
    [
        (RankDistributionSampler(), 12, "pool has 12 ranks; expected at least 13 .* smooth=False"),
        (RankDistributionSampler(depth=15), 14, "pool has 14 ranks; expected at least 15"),
        (RankDistributionSampler(smooth=False), 1, "pool has 1 ranks; expected at least 2"),
        (RankDistributionSampler(smooth=False, depth=9), 5, "5 ranks; expected at least 9"),
    ],
)
def test_too_shallow_a_pool(sampler: RankDistributionSampler, depth: int, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        learnt(sampler, pool([0], depth=depth))


def test_a_pool_without_judgements() -> None:
    queries, candidates = pool([0])
    with pytest.raises(ParameterError, match="no query of the pool has a known positive"):
        learnt(RankDistributionSampler(), (without_positives(queries), candidates))
    with pytest.raises(ParameterError, match="pool has 0 ranks"):
        RankDistributionSampler().fitted(AllRows())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smooth": 1}, r"smooth=1; expected True or False \(the paper's value: True\)"),
        ({"depth": 12}, "depth=12; expected at least 13 ranks.*the paper's, need 13"),
        ({"depth": 0}, "depth=0; expected a whole number"),
        ({"smooth": False, "depth": 1}, "depth=1; expected at least 2 ranks"),
        ({"coefficients": (1.0,) * 5}, "5 coefficients are given with depth=None"),
        ({"coefficients": (1.0,) * 4, "depth": 20}, "expected 5 numbers .*degree 4"),
        ({"coefficients": (1.0, 2.0, 3.0, 4.0, "5"), "depth": 20}, "expected several numbers"),
        ({"coefficients": (1.0, 2, 3, 4, math.nan), "depth": 20}, "finite number"),
        ({"coefficients": (-1.0, 0, 0, 0, 0), "depth": 20}, "all 20 weights are 0"),
        ({"weights": (1.0, 0.5)}, "with smooth=True"),
        ({"smooth": False, "coefficients": (1.0,) * 5, "depth": 20}, "with smooth=False"),
        ({"smooth": False, "weights": (1.0, -0.5)}, "at least 0"),
        ({"smooth": False, "weights": (1.0, 0.5), "depth": 3}, "holds 2 numbers.*depth=3"),
        ({"smooth": False, "weights": (0.0, 0.0)}, "all 2 weights are 0"),
        ({"smooth": False, "weights": 3}, "weights=3; expected several numbers"),
    ],
)
def test_bad_parameters(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        RankDistributionSampler(**options)


def test_a_single_batch_cannot_be_learnt_from() -> None:
    queries, candidates = pool([0])
    with pytest.raises(ParameterError, match="a single batch does not have them"):
        RankDistributionSampler().log_weights(queries, candidates, 0)
    with pytest.raises(StrategyError, match="rance has to see"):
        ROWS.map(miner("bm25@60+rance", positives=ROWS), batched=True)


@pytest.mark.parametrize("strategy", ["bm25@60+rance", "bm25@40+rance(smooth=False, depth=30)"])
def test_mining(strategy: str) -> None:
    mined, report = mined_alike(strategy)
    assert "rance(" in report.strategy
    # What was learnt serves single batches.
    known = miner(report.strategy, positives=ROWS)
    mapped = ROWS.map(known, batched=True, batch_size=7)
    assert mapped["hard_negative_ids"] == mined["hard_negative_ids"]


def test_what_is_learnt_when_mining() -> None:
    """The ranks of the positives, from the pool's own columns."""
    one = miner("bm25@40+rance(smooth=False)")
    names = {text: row for row, text in enumerate(DOCUMENTS.values())}
    counts = [0] * 40
    for listed, text in zip(one.retrieve(ROWS)["candidate_rows"], ROWS["positive"], strict=True):
        if names[text] in listed:
            counts[listed.index(names[text])] += 1
    assert sum(counts) > 10
    report = one.report(one.mine(ROWS))
    found = miner(report.strategy)._need_strategy().sampler
    assert isinstance(found, RankDistributionSampler)
    wanted = plain(counts, len(set(ROWS["query"])), smooth=False)
    assert weights(found, 40) == pytest.approx(wanted)


def test_further_judgements_count() -> None:
    """What ``positives`` adds is relevant too; queries that have no row are not in the pool."""
    [listed] = miner("bm25@40").retrieve(ROWS.select([0]))["candidate_rows"]
    texts = list(DOCUMENTS.values())
    more = Dataset.from_dict(
        {"query": [ROWS[0]["query"], "elsewhere"], "positive": [texts[listed[30]], texts[0]]}
    )
    plain_one = miner("bm25@40+rance(smooth=False)")
    judged = miner("bm25@40+rance(smooth=False)", positives=more)
    before, after = (
        miner(one.report(one.mine(ROWS)).strategy)._need_strategy().sampler
        for one in (plain_one, judged)
    )
    change = np.array(weights(after, 40)) - np.array(weights(before, 40))  # type: ignore[arg-type]
    assert np.flatnonzero(np.round(change - change[0], 9)).tolist() == [30]
    assert_same_rows(judged.mine(ROWS), judged.mine(ROWS, num_proc=2, resume=False))
