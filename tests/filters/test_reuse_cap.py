"""The cap on reuse, against brute force and through the miner."""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, IterableDataset
from datasets.fingerprint import Hasher
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import MINING, collections, make_collection, same, table_of, word_documents, word_rows
from selection_reference import HashVeto, RankWindow
from stage_data import AllRows, Batch, query_keys, random_batch

from hf_hardneg import OfflineMiner, RandomSampler, ReuseCap, TopSampler
from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.filters import reuse_cap
from hf_hardneg.query_sources import load_queries
from hf_hardneg.samplers import Sampler
from hf_hardneg.selection import Rules, select
from hf_hardneg.testing import check_filter, take_candidates, take_queries

CORPUS: Any = None


class NearMean(Sampler):
    """Nearest to the mean of what is left; what is far from it is taken only if all is."""

    name = "near-mean"
    among_survivors = True

    def log_weights(self, queries: Queries, candidates: Candidates, seed: int) -> np.ndarray:
        filled = candidates.filled
        scores = np.where(filled, candidates.scores, 0)
        mean = scores.sum(axis=1) / np.maximum(filled.sum(axis=1), 1)
        far = abs(scores - mean[:, None])
        keys = np.where(far < 1, -far, -np.inf)
        none = ~(filled & (keys > -np.inf)).any(axis=1)
        weights: np.ndarray = np.where(none[:, None], 0.0, keys)
        return weights


def of_own_queries(seed: int, batch: int, k: int) -> Batch:
    """A random batch whose queries come twice now and then, and which knows no positives."""
    queries, candidates = random_batch(seed, batch, k)
    rng = np.random.default_rng(seed)
    keys = query_keys(batch)[rng.integers(0, batch, batch)]
    nothing = np.zeros(batch + 1, dtype=np.int64)
    return replace(
        queries,
        keys=keys,
        known_offsets=nothing,
        known_rows=np.empty(0, np.int64),
        known_keys=np.empty(0, np.uint64),
    ), candidates


many = st.builds(of_own_queries, st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 10))
samplers = st.sampled_from([TopSampler(), RandomSampler(), RankWindow(start=2, end=6), NearMean()])
caps = st.integers(1, 4)


def fitted(
    cap: int, batches: Sequence[Batch], sampler: Sampler | None = None, seed: int = 0
) -> ReuseCap:
    rows = AllRows(batches=batches, sampler=sampler, seed=seed)
    return ReuseCap(max_queries=cap).fitted(rows)


def places_of(batch: Batch, sampler: Sampler) -> dict[int, dict[int, int]]:
    """The first place at which each query has each document, in plain Python."""
    queries, candidates = batch
    keys = sampler.keys(queries, candidates, 0)
    wanted: dict[int, dict[int, int]] = defaultdict(dict)
    for line in range(len(queries)):
        left = np.flatnonzero(candidates.filled[line]).tolist()
        left.sort(key=lambda slot: (-keys[line, slot], slot))
        for place, slot in enumerate(left):
            query = int(queries.keys[line])
            own = wanted[int(candidates.document_keys[line, slot])]
            own[query] = min(own.get(query, place), place)
    return wanted


@settings(max_examples=40)
@given(many, caps, samplers)
def test_brute_force(batch: Batch, cap: int, sampler: Sampler) -> None:
    queries, candidates = batch
    rule = fitted(cap, [batch], sampler)
    check_filter(rule, queries, candidates)
    allowed: dict[int, set[int]] = defaultdict(set)
    mask = rule(queries, candidates).filled
    for line, slot in zip(*np.nonzero(mask), strict=True):
        allowed[int(candidates.document_keys[line, slot])].add(int(queries.keys[line]))
    for document, places in places_of(batch, sampler).items():
        kept = allowed[document]
        assert len(kept) == min(cap, len(places))
        latest = max(places[query] for query in kept)
        # Whoever lost it does not have it earlier than any that kept it.
        assert all(place >= latest for query, place in places.items() if query not in kept)


@settings(max_examples=40)
@given(many, caps, samplers, st.booleans(), st.integers(1, 5))
def test_the_cap_holds_in_what_is_chosen(
    batch: Batch, cap: int, sampler: Sampler, veto: bool, n: int
) -> None:
    queries, candidates = batch
    rule = fitted(cap, [batch], sampler)
    vetoes = (HashVeto(keep=0.5),) if veto else ()
    found = select(queries, candidates, Rules((rule,), vetoes, sampler, n, 0), CORPUS)
    users: dict[int, set[int]] = defaultdict(set)
    for line, slots in enumerate(found.slots):
        for slot in slots[slots >= 0]:
            key = int(candidates.document_keys[line, slot])
            users[key].add(int(queries.keys[line]))
    assert all(len(own) <= cap for own in users.values())


@settings(max_examples=40)
@given(many, caps, samplers, st.randoms(use_true_random=False), st.integers(1, 5))
def test_the_order_of_rows_and_batches_is_of_no_influence(
    batch: Batch, cap: int, sampler: Sampler, draw: Any, size: int
) -> None:
    queries, candidates = batch
    whole = fitted(cap, [batch], sampler)
    lines = list(range(len(queries)))
    draw.shuffle(lines)
    parts = [lines[start : start + size] for start in range(0, len(lines), size)]
    cut = [
        (take_queries(queries, part), take_candidates(queries, candidates, part)) for part in parts
    ]
    again = fitted(cap, cut, sampler)
    assert again == whole
    assert Hasher.hash(again) == Hasher.hash(whole)


@settings(max_examples=20)
@given(st.lists(many, min_size=1, max_size=8), caps)
def test_pruning_loses_nothing(batches: list[Batch], cap: int) -> None:
    whole = fitted(cap, batches)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reuse_cap, "RECORDS_AT_ONCE", 1)
        assert fitted(cap, batches) == whole


def test_memory_is_bounded_by_documents_and_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reuse_cap, "RECORDS_AT_ONCE", 50)
    earliest = reuse_cap._Earliest(3, 0)
    rng = np.random.default_rng(0)
    for _ in range(60):
        draw = rng.integers(0, 2**40, 30).astype(np.uint64)
        rows = rng.integers(0, 10, 30)
        earliest.add(rows, rows.astype(np.uint64), draw, draw)
        assert sum(len(part[0]) for part in earliest._parts) <= 10 * 3 + 50 + 30
    documents, _, _ = earliest.records()
    assert np.unique(documents, return_counts=True)[1].tolist() == [3] * 10


@settings(max_examples=20)
@given(many, samplers)
def test_a_large_cap_changes_nothing(batch: Batch, sampler: Sampler) -> None:
    rule = fitted(1_000_000, [batch], sampler)
    assert rule.mask(*batch)[batch[1].filled].all()


def test_equal_places_are_parted_by_the_seed_not_by_order() -> None:
    queries, candidates = random_batch(1, 40, 1)
    candidates = replace(
        candidates.keep(np.ones((40, 1), bool)),
        rows=np.zeros((40, 1), np.int64),
        document_keys=np.full((40, 1), 5, np.uint64),
    )
    queries = replace(
        queries, known_offsets=np.zeros(41, np.int64), known_rows=np.empty(0, np.int64),
        known_keys=np.empty(0, np.uint64),
    )  # fmt: skip
    winners = set()
    for seed in range(30):
        mask = fitted(1, [(queries, candidates)], seed=seed).mask(queries, candidates)
        assert mask.sum() == 1
        winners.add(int(mask[:, 0].argmax()))
    assert len(winners) > 12


def test_what_was_learnt_is_carried_and_told_apart() -> None:
    one, two = random_batch(1, 12, 9), random_batch(2, 12, 9)
    plain = ReuseCap(max_queries=1)
    first, second = fitted(1, [one]), fitted(1, [two])
    assert first != second
    assert first != plain
    assert plain == ReuseCap(max_queries=1) != ReuseCap(max_queries=2)
    assert len({Hasher.hash(stage) for stage in (plain, first, second)}) == 3
    for stage in (plain, first):
        again = pickle.loads(pickle.dumps(stage))
        assert again == stage
        assert Hasher.hash(again) == Hasher.hash(stage)
        assert again.needs_fit == stage.needs_fit
        assert stage.expression() == "reuse-cap(max_queries=1)"
    assert first.fitted(AllRows(batches=[two])) is first
    with pytest.raises(ParameterError, match="has to see the candidates of all queries first"):
        plain.mask(*one)
    empty = fitted(1, [])
    check_filter(empty, *one)
    assert empty.mask(*one).all()


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_parameters_that_cannot_be(value: Any) -> None:
    with pytest.raises(ParameterError, match=r"reuse-cap: max_queries=.*at least 1"):
        ReuseCap(max_queries=value)


# -- through the miner -----------------------------------------------------------------------


def users_of(mined: Dataset) -> dict[str, set[str]]:
    """The distinct queries that have each text as a negative."""
    users: dict[str, set[str]] = defaultdict(set)
    for row in mined:
        for text in row["hard_negatives"]:
            users[same(text)].add(same(row["query"]))
    return users


@settings(MINING, max_examples=10)
@given(
    collections, st.integers(1, 3), st.sampled_from(["", "+random", "+rank(range_min=2)+random"])
)
def test_the_cap_holds_in_a_mined_set(collection: Any, cap: int, rest: str) -> None:
    rows = collection.dataset()
    miner = OfflineMiner(
        f"bm25@50+reuse-cap(max_queries={cap}){rest}", corpus=collection.documents, num_negatives=4
    )
    mined = miner.mine(rows)
    assert all(len(own) <= cap for own in users_of(mined).values())
    order = np.random.default_rng(0).permutation(len(rows)).tolist()
    moved = miner.mine(rows.select(order))
    for place, line in enumerate(order):
        assert moved[place]["hard_negative_ids"] == mined[line]["hard_negative_ids"]
    plain = OfflineMiner(f"bm25@50{rest}", corpus=collection.documents, num_negatives=4).mine(rows)
    large = OfflineMiner(
        f"bm25@50+reuse-cap(max_queries=1000000){rest}",
        corpus=collection.documents,
        num_negatives=4,
    ).mine(rows)
    assert large["hard_negative_ids"] == plain["hard_negative_ids"]


def test_processes_pools_and_reports(tmp_path: Path) -> None:
    documents = word_documents(60)
    rows = word_rows(documents, 40)
    text = "bm25@40+reuse-cap(max_queries=1)"
    miner = OfflineMiner(text, corpus=documents, num_negatives=3, cache_dir=tmp_path / "one")
    assert miner.strategy == text
    mined = miner.mine(rows)
    users = users_of(mined)
    assert len(users) > 30
    assert {len(own) for own in users.values()} == {1}
    two = OfflineMiner(text, corpus=documents, num_negatives=3, cache_dir=tmp_path / "two")
    assert table_of(two.mine(rows, num_proc=2)) == table_of(mined)
    assert table_of(two.select(two.retrieve(rows))) == table_of(mined)
    report = miner.report(mined)
    assert {stage.stage: stage.dropped for stage in report.stages}["reuse-cap"] > 0
    assert report.strategy == text
    plain = OfflineMiner("bm25@40", corpus=documents, num_negatives=3).mine(rows)
    assert max(len(own) for own in users_of(plain).values()) > 1


def test_other_rows_are_another_fit_for_the_cache(tmp_path: Path) -> None:
    """A cap learnt from more rows is not looked up as the one learnt from fewer."""
    documents = word_documents(40)
    rows = word_rows(documents, 30)
    options: dict[str, Any] = {"corpus": documents, "num_negatives": 3, "cache_dir": tmp_path}
    miner = OfflineMiner("bm25@30+reuse-cap(max_queries=1)", **options)
    few = miner.mine(rows.select(range(10)))
    every = miner.mine(rows)
    assert few["hard_negative_ids"] != every["hard_negative_ids"][:10]
    assert table_of(miner.mine(rows.select(range(10)))) == table_of(few)


def test_vetoes_and_later_filters_keep_to_it() -> None:
    collection = make_collection(5)
    for text in ("reuse-cap(max_queries=1)+margin(margin=0)", "margin(margin=0)+reuse-cap"):
        miner = OfflineMiner(f"bm25@50+{text}", corpus=collection.documents, num_negatives=3)
        mined = miner.mine(collection.dataset())
        cap = 1 if "=1" in text else 10
        assert all(len(own) <= cap for own in users_of(mined).values())


def test_maps_and_streams_are_refused() -> None:
    documents = word_documents(20)
    rows = word_rows(documents, 10)
    miner = OfflineMiner("bm25+reuse-cap", corpus=documents, num_negatives=2, positives=rows)
    with pytest.raises(StrategyError, match="reuse-cap has to see the candidates of all rows"):
        rows.map(miner, batched=True)
    stream = IterableDataset.from_generator(lambda: iter(rows))
    with pytest.raises(StrategyError, match=r"Use miner\.mine\(dataset\)"):
        miner.mine(stream)


def test_the_yield_that_the_docstring_gives(scifact: Path) -> None:
    rows = load_queries(scifact, split="train").rows
    documented = {}
    for cap in (2, 1):
        mined = OfflineMiner(f"bm25@100+reuse-cap(max_queries={cap})", corpus=scifact).mine(rows)
        counts = [len(names) for names in mined["hard_negative_ids"]]
        documented[cap] = (sum(counts), counts.count(5))
    assert documented == {2: (4_027, 796), 1: (3_539, 577)}
