"""Judges: the arithmetic where errors are known, and what is said where it cannot hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hf_hardneg import Corpus, OfflineMiner
from hf_hardneg.errors import ColumnError, FormatError, ModelError, ParameterError
from hf_hardneg.evaluation.false_negatives import judge_rate
from hf_hardneg.evaluation.judge_correction import JudgedSample, corrected, rogan_gladen
from hf_hardneg.evaluation.judge_labels import standardised
from hf_hardneg.evaluation.judge_sample import known_positives, sample_negatives
from hf_hardneg.evaluation.judge_scores import best_threshold
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.evaluation.strata import in_proportion
from hf_hardneg.filters.cross_encoder import CrossEncoderDenoiser
from hf_hardneg.hashing import mix, text_keys, uniform_noise
from hf_hardneg.mined_set import MinedSet

QUERIES, EACH, DOCUMENTS = 60, 5, 2_000
TRUE = 0.3


def corpus() -> Corpus:
    return Corpus({str(n): f"document {n}" for n in range(DOCUMENTS)})


def rows(**changes: Any) -> Dataset:
    """Return a mined set: document q is relevant to query q, and so are some of its negatives."""
    columns: dict[str, Any] = {
        "query": [f"query {q}" for q in range(QUERIES)],
        "positive_ids": [[str(q)] for q in range(QUERIES)],
        "hard_negative_ids": [
            [str(100 + q * EACH + n) for n in range(EACH)] for q in range(QUERIES)
        ],
    }
    return Dataset.from_dict(columns | changes)


def chance(seed: int, queries: Sequence[str], documents: Sequence[str]) -> NDArray[np.float64]:
    keys = text_keys(documents)[:, None]
    return np.array(
        [
            uniform_noise(seed, q[None], d[None])[0, 0]
            for q, d in zip(text_keys(queries), keys, strict=True)
        ]
    )


def is_relevant(query: str, document: str) -> bool:
    q, d = int(query.split()[1]), int(document.split()[1])
    return d == q or (q * EACH <= d - 100 < (q + 1) * EACH and mix(5, d)[0] % 1000 < TRUE * 1000)


def truth() -> float:
    return float(
        np.mean(
            [
                is_relevant(f"query {q}", f"document {100 + q * EACH + n}")
                for q in range(QUERIES)
                for n in range(EACH)
            ]
        )
    )


def erring(se: float, sp: float, seed: int = 0) -> Callable[..., NDArray[np.float64]]:
    """Return a judge whose errors are drawn by hash."""

    def judge(queries: Sequence[str], documents: Sequence[str]) -> NDArray[np.float64]:
        draw = chance(seed, queries, documents)
        relevant = np.array([is_relevant(q, d) for q, d in zip(queries, documents, strict=True)])
        return np.where(relevant, draw < se, draw < 1 - sp).astype(float)

    return judge


# -- the arithmetic ------------------------------------------------------------------------------


@given(st.floats(0, 1), st.floats(0.6, 1), st.floats(0.6, 1))
def test_the_correction_undoes_the_errors(rate: float, se: float, sp: float) -> None:
    apparent = rate * se + (1 - rate) * (1 - sp)
    assert float(rogan_gladen(apparent, se, 1 - sp)) == pytest.approx(rate, abs=1e-9)


def test_no_separation_has_no_correction() -> None:
    assert np.isnan(rogan_gladen(0.5, 0.4, 0.4))
    assert np.isnan(rogan_gladen(0.5, 0.3, 0.4))


def drawn(rng: np.random.Generator, share: NDArray[np.float64], each: int) -> JudgedSample:
    queries = np.repeat(np.arange(len(share), dtype=np.uint64), each)
    called = rng.random(len(queries)) < np.repeat(share, each)
    return JudgedSample(queries, called, np.ones(len(queries)))


@pytest.mark.parametrize(
    ("rate", "se", "sp"), [(0.2, 0.8, 0.9), (0.05, 0.9, 0.95), (0.4, 0.7, 0.8)]
)
def test_the_corrected_interval_covers_where_its_assumptions_hold(
    rate: float, se: float, sp: float
) -> None:
    rng = np.random.default_rng(1)
    held = 0
    for repeat in range(200):
        own = rng.beta(rate * 4, (1 - rate) * 4, 80)  # negatives of a query are alike
        negatives = drawn(rng, own * se + (1 - own) * (1 - sp), 5)
        positives = drawn(rng, np.full(80, se), 1)
        others = drawn(rng, np.full(80, 1 - sp), 5)
        found = corrected(negatives, positives, others, seed=repeat, repeats=400)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= rate <= found.high
    assert 0.91 <= held / 200 <= 0.995


def test_shares_of_nothing_and_all_leave_room() -> None:
    queries = np.arange(40, dtype=np.uint64)
    none, every = np.zeros(40, np.bool_), np.ones(40, np.bool_)
    one = np.ones(40)
    samples = [JudgedSample(queries, called, one) for called in (none, every, none)]
    found = corrected(*samples)
    assert (found.rate, found.low) == (0, 0)
    assert found.high is not None
    assert found.high > 0.08
    assert found.separation[1] < 0.95


@pytest.mark.parametrize(("se", "alarms"), [(0.8, 0.1), (0.6, 0.55)])
def test_with_labels_the_interval_covers_whatever_the_judge(se: float, alarms: float) -> None:
    rng = np.random.default_rng(2)
    rate, held = 0.25, 0
    for repeat in range(150):
        own = rng.beta(rate * 3, (1 - rate) * 3, 100)
        queries = np.repeat(np.arange(100, dtype=np.uint64), 5)
        relevant = rng.random(500) < np.repeat(own, 5)
        called = rng.random(500) < np.where(relevant, se, alarms)
        some = rng.permutation(500)[:120]
        found = standardised(
            JudgedSample(queries, called, np.ones(500)),
            JudgedSample(queries[some], called[some], np.ones(120)),
            relevant[some].astype(float),
            seed=repeat,
        )
        assert found.low is not None
        assert found.high is not None
        held += found.low <= rate <= found.high
    assert held / 150 >= 0.9


def test_a_judge_that_is_right_needs_the_labels_for_nothing() -> None:
    queries = np.arange(100, dtype=np.uint64)
    relevant = np.arange(100) % 4 == 0
    sample = JudgedSample(queries, relevant, np.ones(100))
    some = JudgedSample(queries[:8], relevant[:8], np.ones(8))
    found = standardised(sample, some, relevant[:8].astype(float))
    assert found.rate == 0.25
    missing = standardised(
        sample, JudgedSample(queries[1:4], relevant[1:4], np.ones(3)), np.zeros(3)
    )
    assert missing.rate is None


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=12),
    st.lists(st.integers(0, 6), min_size=1, max_size=12),
)
def test_the_threshold_is_the_best_one(positives: list[int], others: list[int]) -> None:
    p, o = np.array(positives, float), np.array(others, float)
    limits = [*np.arange(-0.5, 7, 0.25), np.inf]
    best = max((p >= limit).mean() - (o >= limit).mean() for limit in limits)
    chosen = best_threshold(p, o)
    assert (p >= chosen).mean() - (o >= chosen).mean() == pytest.approx(max(best, 0))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=10), st.integers(10, 100))
def test_the_allocation(sizes: list[int], size: int) -> None:
    counts = np.array(sizes)
    shares = in_proportion(counts, size)
    assert (shares <= counts).all()
    assert ((shares > 0) == (counts > 0)).all()
    if counts.sum() <= size:
        assert (shares == counts).all()
    else:
        assert size <= shares.sum() <= size + len(sizes)
        assert (np.abs(shares - counts * size / counts.sum()) <= 1).all()


# -- the sample ----------------------------------------------------------------------------------


def test_the_sample_does_not_depend_on_the_order_of_rows() -> None:
    data = rows()
    first, said = sample_negatives(MinedSet.of(data).joined(corpus()), 40, 3)
    back, _ = sample_negatives(
        MinedSet.of(data.select(range(QUERIES)[::-1])).joined(corpus()), 40, 3
    )
    other, _ = sample_negatives(MinedSet.of(data).joined(corpus()), 40, 4)
    pairs = [set(zip(p.queries, p.documents, strict=True)) for p in (first, back, other)]
    assert pairs[0] == pairs[1] != pairs[2]
    assert len(first) == said["sampled"] == 40
    assert first.weights.sum() == pytest.approx(QUERIES * EACH)
    assert said["allocation"]["1"] == {"of": 60, "sampled": 8}
    for query, document in pairs[0]:
        q, d = int(query.split()[1]), int(document.split()[1])
        assert q * EACH <= d - 100 < (q + 1) * EACH


def test_positives_count_once() -> None:
    data = rows(positive_ids=[[str(q), str(q)] for q in range(QUERIES)])
    pairs, _ = known_positives(MinedSet.of(data).joined(corpus()), 1_000, 0)
    assert sorted(pairs.documents) == sorted(f"document {q}" for q in range(QUERIES))


# -- the whole -----------------------------------------------------------------------------------


def test_without_labels_it_is_a_limit() -> None:
    mined = MinedSet.of(rows())
    found = judge_rate(mined, erring(0.85, 0.9), corpus=corpus())
    assert found.rate is None
    assert found.low == 0.0
    assert found.high == found.details["corrected"]["high"]
    assert found.why.startswith("an upper limit alone, at most ")
    value = found.details["corrected"]
    assert value["low"] <= truth() <= value["high"]  # its errors are the same everywhere here
    assert found.n == QUERIES * EACH
    assert any("All 300 negatives" in said for said in found.assumed)
    json.dumps(found.to_dict(), allow_nan=False)
    assert judge_rate(mined, erring(0.85, 0.9), corpus=corpus()).to_dict() == found.to_dict()


def test_a_judge_that_cannot_tell_says_so() -> None:
    mined = MinedSet.of(rows())
    weak = judge_rate(mined, erring(0.55, 0.5), corpus=corpus())
    assert (weak.rate, weak.high) == (None, None)
    assert "does not separate" in weak.why
    constant = judge_rate(mined, lambda q, d: np.ones(len(q)), corpus=corpus())
    assert (constant.rate, constant.high) == (None, None)
    assert "the same score" in constant.why


def test_a_contradiction_is_said() -> None:
    def frightened(queries: Sequence[str], documents: Sequence[str]) -> NDArray[np.float64]:
        """Call all chosen negatives relevant, and most positives."""
        number = np.array([int(document.split()[1]) for document in documents])
        return np.where((number >= 100) & (number < 400), 1.0, (number % 5 > 0) & (number < 100))

    found = judge_rate(MinedSet.of(rows()), frightened, corpus=corpus())
    assert (found.rate, found.high) == (None, None)
    assert "no measure of these" in found.why

    def partial(queries: Sequence[str], documents: Sequence[str]) -> NDArray[np.float64]:
        """Call no chosen negative relevant, as a judge that chose them would."""
        number = np.array([int(document.split()[1]) for document in documents])
        return np.where(number < 100, 1.0, (number >= 400) & (number % 3 == 0)).astype(float)

    found = judge_rate(MinedSet.of(rows()), partial, corpus=corpus(), threshold=0.5)
    assert (found.rate, found.high) == (None, None)
    assert "false alarms alone would make" in found.why


def labelled(number: int) -> Labels:
    pairs = [(q, 100 + q * EACH + n) for q in range(QUERIES) for n in range(EACH)]
    order = np.random.default_rng(0).permutation(len(pairs))[:number]
    return Labels(
        [
            Label(
                query=f"query {pairs[place][0]}",
                document_id=str(pairs[place][1]),
                label="false_negative"
                if is_relevant(f"query {pairs[place][0]}", f"document {pairs[place][1]}")
                else "true_negative",
            )
            for place in order
        ]
    )


def test_with_labels_it_is_a_rate() -> None:
    mined = MinedSet.of(rows())
    found = judge_rate(mined, erring(0.9, 0.9), corpus=corpus(), labels=labelled(100))
    assert found.rate is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= truth() <= found.high
    assert found.details["calibrate_on"] == "labels"
    own = labelled(100)
    bad = Labels([*own, Label(query=own[0].query, document_id="100", label="bad_query")])
    without = judge_rate(mined, erring(0.9, 0.9), corpus=corpus(), labels=bad)
    lost = sum(row.query == own[0].query for row in own)
    assert without.details["labelled"] == 100 - lost
    assert any("The 1 queries that an annotator calls bad" in text for text in without.assumed)
    few = judge_rate(mined, erring(0.9, 0.9), corpus=corpus(), labels=labelled(19))
    assert few.rate is None
    assert "19 negatives have a label" in few.why
    bare = Labels([Label(query_id="1", document_id="100", label="false_negative")] * 1)
    with pytest.raises(FormatError, match="has not the texts"):
        judge_rate(mined, erring(0.9, 0.9), corpus=corpus(), labels=bare)


def test_the_pool_gives_neither_rate_nor_limit() -> None:
    miner = OfflineMiner("bm25@40", corpus=corpus(), num_negatives=3)
    names = [f"query {q} document" for q in range(QUERIES)]
    data = rows(query=names).remove_columns("hard_negative_ids")
    pool = miner.retrieve(data)
    found = judge_rate(
        MinedSet.of(miner.select(pool)), erring(0.9, 0.9), corpus=corpus(), pool=pool,
        calibrate_on="pool",
    )  # fmt: skip
    assert (found.rate, found.low, found.high) == (None, None, None)
    assert found.details["corrected"]["rate"] is not None
    assert found.details["irrelevant"] >= 20
    assert "neither a rate nor a limit" in found.why


def test_what_cannot_be_used_is_refused() -> None:
    mined, documents = MinedSet.of(rows()), corpus()
    with pytest.raises(ParameterError, match="sample=0"):
        judge_rate(mined, erring(1, 1), corpus=documents, sample=0)
    with pytest.raises(ParameterError, match="needs pool="):
        judge_rate(mined, erring(1, 1), corpus=documents, calibrate_on="pool")
    with pytest.raises(ParameterError, match="needs labels="):
        judge_rate(mined, erring(1, 1), corpus=documents, calibrate_on="labels")
    with pytest.raises(ParameterError, match=r"calibrate_on='rnd'.*Did you mean 'random'"):
        judge_rate(mined, erring(1, 1), corpus=documents, calibrate_on="rnd")
    with pytest.raises(ModelError, match="expected one number a pair"):
        judge_rate(mined, lambda q, d: np.full(len(q), np.nan), corpus=documents)
    bare = MinedSet.of(rows().remove_columns("positive_ids"))
    with pytest.raises(ColumnError, match="has no positives"):
        judge_rate(bare, erring(1, 1), corpus=documents)
    few = judge_rate(MinedSet.of(rows().select(range(19))), erring(1, 1), corpus=documents)
    assert few.rate is None
    assert "19 known positives; at least 20" in few.why


def test_a_mined_set_of_texts() -> None:
    data = rows()
    texts = Dataset.from_dict(
        {
            "query": data["query"],
            "positive": [f"document {ids[0]}" for ids in data["positive_ids"]],
            **{
                f"negative_{n + 1}": [f"document {ids[n]}" for ids in data["hard_negative_ids"]]
                for n in range(EACH)
            },
        }
    )
    first = judge_rate(MinedSet.of(data), erring(0.9, 0.9), corpus=corpus())
    second = judge_rate(MinedSet.of(texts), erring(0.9, 0.9), corpus=corpus())
    assert second.details["corrected"] == first.details["corrected"]
    assert any("by their texts" in said for said in second.assumed)


def test_a_cross_encoder_by_its_path(cross_encoder_path: Path) -> None:
    mined = MinedSet.of(rows())
    encoder = CrossEncoderDenoiser(str(cross_encoder_path))

    def ask(queries: Sequence[str], documents: Sequence[str]) -> NDArray[np.float32]:
        return encoder.score(list(queries), list(documents))

    by_path = judge_rate(mined, cross_encoder_path, corpus=corpus(), sample=60)
    by_call = judge_rate(mined, ask, corpus=corpus(), sample=60)
    assert by_path.to_dict() == by_call.to_dict()
    assert by_path.n == 60
