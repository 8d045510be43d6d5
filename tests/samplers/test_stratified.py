from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampler_cases import DOCUMENTS, ROWS, assert_drawn_by, draws_over, mined_alike, miner
from stage_data import Batch, batches, make_batch

from hf_hardneg import StratifiedSampler
from hf_hardneg.errors import ParameterError, PoolError
from hf_hardneg.testing import check_sampler

UNION = ("bm25", "dense", "random", "random-2")


def union_of(batch: Batch, seed: int) -> Batch:
    """The same candidates, each found by some of four retrievers."""
    queries, candidates = batch
    rng = np.random.default_rng(seed)
    shape = (*candidates.shape, len(UNION))
    ranks = np.where(rng.random(shape) < 0.4, rng.integers(1, 99, shape), 0)
    ranks[:, :, rng.integers(len(UNION))] = 50  # no one is found by nobody
    ranks = np.where(candidates.filled[:, :, None], ranks, 0).astype(np.int32)
    best = np.where(ranks > 0, ranks, 999).argmin(axis=2)
    sources = np.where(candidates.filled, best, -1).astype(np.int8)
    found = replace(candidates, sources=sources, source_names=UNION, source_ranks=ranks)
    return queries, found


unions = st.builds(union_of, batches, st.integers(0, 999))
samplers = st.builds(
    StratifiedSampler,
    hard_until=st.sampled_from([1, 2, 3]),
    medium_until=st.sampled_from([4, 6, 100]),
)


@settings(max_examples=20)
@given(st.one_of(batches, unions), samplers)
def test_keeps_the_contract(batch: Batch, sampler: StratifiedSampler) -> None:
    check_sampler(sampler, *batch)


@given(unions, samplers)
def test_strata_of_a_union_against_plain_python(batch: Batch, sampler: StratifiedSampler) -> None:
    queries, candidates = batch
    strata = sampler.strata(queries, candidates)
    weights = sampler.log_weights(queries, candidates, 0)
    assert strata.dtype == np.int8
    for line, filled in enumerate(candidates.filled):
        random_before = 0
        for slot in np.flatnonzero(filled):
            names = {UNION[p] for p in np.flatnonzero(candidates.source_ranks[line, slot])}
            rank = candidates.ranks[line, slot] - random_before
            if names <= {"random", "random-2"}:
                random_before += 1
                wanted: int | None = 2
            elif rank <= sampler.hard_until:
                wanted = 0
            else:
                wanted = 1 if rank <= sampler.medium_until else None
            if wanted is not None:
                assert strata[line, slot] == wanted
            assert weights[line, slot] == (-np.inf if wanted is None else 0)


def test_strata_by_rank_alone() -> None:
    queries, candidates = make_batch([list(range(8))], [[1.0] * 8], [[0]])
    sampler = StratifiedSampler(hard_until=2, medium_until=5)
    assert sampler.strata(queries, candidates)[0].tolist() == [0, 0, 1, 1, 1, 2, 2, 2]
    assert (sampler.log_weights(queries, candidates, 0) == 0).all()


def test_after_random_alone_all_are_random() -> None:
    queries, candidates = make_batch([[1, 2, 3]], [[np.nan] * 3], [[np.nan]])
    found = StratifiedSampler(hard_until=1, medium_until=2).strata(
        queries, replace(candidates, source_names=("random",))
    )
    assert found[0].tolist() == [2, 2, 2]
    other = replace(candidates, source_names=("random-walk",))
    assert StratifiedSampler().strata(queries, other)[0].tolist() == [0, 0, 0]


def test_a_pool_whose_retrievers_are_not_known() -> None:
    queries, candidates = union_of(make_batch([[1, 2, 3]], [[1.0] * 3], [[1.0]]), 0)
    with pytest.raises(PoolError, match="ranks in 4 lists, and its retrievers are bm25"):
        StratifiedSampler().strata(queries, replace(candidates, source_names=("bm25",)))


def test_within_a_stratum_the_draw_is_uniform() -> None:
    assert_drawn_by(draws_over(StratifiedSampler(hard_until=2, medium_until=4), 6), [1] * 6)


@pytest.mark.parametrize(
    ("shares", "n", "wanted"),
    [
        ((0.5, 0.3, 0.2), 10, (5, 3, 2)),
        ((0.5, 0.3, 0.2), 5, (3, 1, 1)),  # 2.5, 1.5, 1: of equal remainders the harder
        ((0.5, 0.3, 0.2), 7, (4, 2, 1)),  # 3.5, 2.1, 1.4
        ((0.5, 0.3, 0.2), 1, (1, 0, 0)),
        ((0.2, 0.3, 0.5), 1, (0, 0, 1)),
        ((0.15, 0.35, 0.5), 10, (2, 3, 5)),  # 1.5 and 3.5 are equal remainders
        ((1, 0, 0), 4, (4, 0, 0)),
        ((1 / 3, 1 / 3, 1 / 3), 3, (1, 1, 1)),
        ((1 / 3, 1 / 3, 1 / 3), 5, (2, 2, 1)),
        ((0.29, 0.7, 0.01), 100, (29, 70, 1)),
    ],
)
def test_quotas_by_largest_remainders(
    shares: tuple[float, float, float], n: int, wanted: tuple[int, ...]
) -> None:
    hard, medium, random = shares
    assert StratifiedSampler(hard=hard, medium=medium, random=random).quotas(n) == wanted


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 500))
def test_quotas_add_up_and_miss_their_share_by_less_than_one(one: int, two: int, n: int) -> None:
    low, high = sorted((one, two))
    shares = (low / 1000, (high - low) / 1000, (1000 - high) / 1000)
    sampler = StratifiedSampler(hard=shares[0], medium=shares[1], random=shares[2])
    found = sampler.quotas(n)
    assert sum(found) == n
    assert all(abs(count - share * n) < 1 for count, share in zip(found, shares, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hard": 0.6}, r"is 1\.1; expected shares that add up to 1, within 0\.000001"),
        ({"random": 0}, r"is 0\.8; .*the defaults are 0\.5, 0\.3 and 0\.2"),
        ({"hard": 0.500002}, "add up to 1"),
        ({"hard": -0.1, "medium": 0.9}, r"hard=-0\.1; expected a number from 0 to 1"),
        ({"medium": float("nan")}, "medium=nan"),
        ({"random": "0.2"}, "random='0.2'"),
        ({"hard_until": 0}, "hard_until=0; expected a whole number of at least 1"),
        ({"medium_until": 30.5}, r"medium_until=30\.5"),
        ({"hard_until": 100}, r"hard_until=100 is not below medium_until=100.*30 and 100"),
    ],
)
def test_bad_parameters(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        StratifiedSampler(**options)


def test_shares_may_miss_one_by_rounding() -> None:
    StratifiedSampler(hard=0.333333, medium=0.333333, random=0.333334)
    StratifiedSampler(hard=0.1 + 0.2, medium=0.3, random=0.4)


def test_mining_by_rank() -> None:
    mined, report = mined_alike("bm25@60+stratified(hard_until=10, medium_until=30)")
    assert report.strata == {"hard": 90, "medium": 60, "random": 30}
    for names, strata in zip(
        mined["hard_negative_ids"], mined["hard_negative_strata"], strict=True
    ):
        assert strata == ["hard"] * 3 + ["medium"] * 2 + ["random"]
        assert len(set(names)) == 6


def test_mining_with_a_random_retriever() -> None:
    """The strata of a union, worked out from its list and the one of bm25 alone."""
    mined, report = mined_alike(
        "bm25@40,random@30+stratified(hard_until=10, medium_until=35)", num_negatives=10
    )
    assert report.strata == {"hard": 150, "medium": 90, "random": 60}
    fused = miner("bm25@40,random@30").retrieve(ROWS)["candidate_rows"]
    alone = miner("bm25@40").retrieve(ROWS)["candidate_rows"]
    names = {name: row for row, name in enumerate(DOCUMENTS)}
    for found, strata, union, listed in zip(
        mined["hard_negative_ids"], mined["hard_negative_strata"], fused, alone, strict=True
    ):
        own = [row for row in union if row in listed]
        assert len(own) == 40
        for name, stratum in zip(found, strata, strict=True):
            row = names[name]
            rank = own.index(row) + 1 if row in own else None
            wanted = "random" if rank is None else "hard" if rank <= 10 else "medium"
            assert stratum == wanted
            assert rank is None or rank <= 35


def test_what_a_stratum_cannot_give_the_others_do() -> None:
    rows = ROWS.select(range(4))
    # Ranks end at 8: no random ones, and at most 6 medium ones.
    sampler = "bm25@8+stratified(hard=0.2, medium=0.2, random=0.6, hard_until=5, medium_until=8)"
    mined = miner(sampler, num_negatives=5).mine(rows)
    for strata in mined["hard_negative_strata"]:
        # 1 of each first, then the hard ones that are left.
        assert strata.count("random") == 0
        assert strata.count("hard") >= strata.count("medium") >= 1
        assert len(strata) == 5
