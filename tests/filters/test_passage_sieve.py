"""The mean of a row as a limit, against plain Python."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import table_of, word_documents, word_rows
from scipy.stats import chisquare
from stage_data import Batch, batches, batches_with_twins, make_batch, query_keys

from hf_hardneg import OfflineMiner, PassageSieve, RankFilter, TopSampler
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.selection import Rules, surviving
from hf_hardneg.strategy import check
from hf_hardneg.testing import check_filter

NAN = float("nan")


def kept(scores: list[float], positives: list[float], seed: int = 0) -> list[float]:
    queries, candidates = make_batch([list(range(len(scores)))], [scores], [positives])
    result = PassageSieve(seed=seed)(queries, candidates)
    return result.scores[result.filled].tolist()


@settings(max_examples=30)
@given(st.one_of(batches, batches_with_twins), st.integers(0, 3))
def test_brute_force(batch: Batch, seed: int) -> None:
    queries, candidates = batch
    rule = PassageSieve(seed=seed)
    check_filter(rule, queries, candidates)
    found = rule(queries, candidates)
    for line, full in enumerate(candidates.filled):
        own = candidates.positive_scores[queries.offsets[line] : queries.offsets[line + 1]]
        scores = candidates.scores[line].astype(float)
        if not full.any() or np.isnan(own).any():
            assert not found.filled[line].any()
            continue
        mean = math.fsum([min(own.tolist()), *scores[full]]) / (1 + full.sum())
        wanted = full & (scores < mean)
        if wanted.any():
            assert np.array_equal(found.filled[line], wanted)
        else:
            assert found.filled[line].sum() == 1
            assert full[found.filled[line]].all()


def test_the_mean_counts_the_positive() -> None:
    assert kept([4.0, 3.0, 2.0, 1.0], [2.5]) == [2.0, 1.0]  # mean 2.5
    assert kept([4.0, 3.0, 2.0, 1.0], [10.0]) == [3.0, 2.0, 1.0]  # mean 4
    assert kept([4.0, 3.0, 2.0, 1.0], [0.0]) == [1.0]  # mean 2; 2 itself is not below it
    assert kept([4.0, 3.0, 2.0, 1.0], [10.0, 0.0]) == [1.0]  # the lowest of several


def test_if_none_is_below_one_is_kept_at_random() -> None:
    for scores, positives in (([2.0, 2.0, 2.0], [2.0]), ([5.0, 5.0], [0.0]), ([7.0], [1.0])):
        assert len(kept(scores, positives)) == 1
    assert kept([2.0, 1.0], [NAN]) == []
    assert kept([], [1.0]) == []
    for value in (0.1, 3e38, -3e38, 1 / 3):  # a mean of equal scores is that score
        for number in (1, 3, 7, 100):
            queries, candidates = make_batch(
                [[place % 24 for place in range(number)]], [[value] * number], [[value]]
            )
            assert PassageSieve().mask(queries, candidates).sum() == 1


def test_every_candidate_is_as_likely_to_be_the_one() -> None:
    number = 20_000
    queries, candidates = make_batch([[0, 1, 2, 3, 4]], [[1.0] * 5], [[1.0]])
    many = {
        name: np.repeat(getattr(candidates, name), number, axis=0)
        for name in ("rows", "scores", "ranks", "sources", "document_keys")
    }
    candidates = replace(candidates, **many, positive_scores=np.ones(number, np.float32))
    queries = replace(queries, keys=query_keys(number), offsets=np.arange(number + 1))
    mask = PassageSieve(seed=5).mask(queries, candidates)
    assert (mask.sum(axis=1) == 1).all()
    assert chisquare(mask.sum(axis=0)).pvalue > 1e-4
    other = PassageSieve(seed=6).mask(queries, candidates)
    assert 0.15 < (mask & other).any(axis=1).mean() < 0.25


def test_the_mean_does_not_depend_on_the_width_of_the_batch() -> None:
    """Added up in blocks, whose number is the width's, the ones below would count or not."""
    row = [2.0**53 - 2.0**50, 2.0**50, 1.0, 1.0, 1.0, 1.0, 1.0]  # and the mean is 2 ** 50
    alone = PassageSieve().mask(*make_batch([list(range(7))], [row], [[0.0]]))
    wide = make_batch([list(range(7)), list(range(24))], [row, [1.0] * 24], [[0.0], [1.0]])
    assert alone[0].tolist() == [False, False, *[True] * 5]
    assert np.array_equal(PassageSieve().mask(*wide)[0, :7], alone[0])


@settings(max_examples=20)
@given(batches, st.integers(1, 5))
def test_it_sees_what_the_filters_before_it_left(batch: Batch, first: int) -> None:
    queries, candidates = batch
    window = RankFilter(range_min=first)
    rules = Rules((window, PassageSieve()), (), TopSampler(), 2, 0)
    before = Rules((window,), (), TopSampler(), 2, 0)
    left = candidates.keep(surviving(queries, candidates, before))
    wanted = PassageSieve().mask(queries, left) & left.filled
    assert np.array_equal(surviving(queries, candidates, rules), wanted)


def test_in_a_strategy_string() -> None:
    documents = word_documents(80)
    rows = word_rows(documents, 30)
    text = "bm25@40+passage-sieve"
    miner = OfflineMiner(text, corpus=documents, num_negatives=3, seed=4)
    assert miner.strategy == "bm25@40+passage-sieve(seed=4)"
    again = OfflineMiner(miner.strategy, corpus=documents, num_negatives=3, seed=4)
    mined = miner.mine(rows)
    assert table_of(again.mine(rows)) == table_of(mined)
    everything = OfflineMiner("bm25@40", corpus=documents, num_negatives=40).mine(rows)
    for one, full in zip(mined, everything, strict=True):
        # The positive's own list of candidates, without it: what the sieve sees.
        scores = [*full["hard_negative_scores"], *full["hard_negative_positive_scores"]]
        mean = sum(scores) / len(scores)
        wanted = [score for score in full["hard_negative_scores"] if score < mean]
        assert one["hard_negative_scores"] == wanted[:3]
    with pytest.raises(StrategyError, match="'passage-sieve' needs scores"):
        check("random@9+passage-sieve", {})
    with pytest.raises(ParameterError, match="passage-sieve: seed=-1"):
        PassageSieve(seed=-1)
