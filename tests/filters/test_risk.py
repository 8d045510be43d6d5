from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from stage_data import Batch, batches_with_twins

from hf_hardneg import OfflineMiner, RiskFilter
from hf_hardneg.errors import FormatError, ParameterError, QueryError
from hf_hardneg.filters.risk import within
from hf_hardneg.risk_model import Cut, RiskModel
from hf_hardneg.testing import check_filter

MODEL = RiskModel(
    signals=("score/positive", "score", "positive-score", "log-rank"),
    centre=(0.8, 1.0, 1.5, 2.0),
    scale=(0.3, 0.5, 0.5, 1.0),
    coefficients=(1.0, 0.5, -0.5, -1.0),
    intercept=-1.0,
    penalty=1.0,
    penalty_from="given",
    labels=20,
    relevant=0.2,
    queries=10,
    origin="judgements",
    cuts=(
        Cut(0.05, 0.3, 2, "high probability", 0.1, 90, 5),
        Cut(0.01, 0.1, 2, "none", None, 90, 5),
    ),
)
DOCUMENTS = [
    *(f"apple pear plum tree number {n}" for n in range(12)),
    *(f"stone brick wall tower number {n}" for n in range(12)),
    *(f"river lake sea ocean number {n}" for n in range(12)),
]


class Scores:
    """A source that keeps no vectors."""

    gives = frozenset({"scores"})
    parts = ()


def bound(rule: RiskFilter) -> RiskFilter:
    return rule.bound(Scores())  # type: ignore[arg-type]


@given(batches_with_twins, st.floats(0, 1), st.integers(0, 4))
def test_contract(batch: Batch, most: float, least: int) -> None:
    check_filter(bound(RiskFilter(max=most, least=least, model=MODEL)), *batch)


@given(batches_with_twins, st.floats(0, 1), st.integers(0, 5), st.integers(0, 1_000))
def test_within_against_brute_force(batch: Batch, cut: float, least: int, seed: int) -> None:
    _, candidates = batch
    rng = np.random.default_rng(seed)
    p = rng.integers(0, 5, candidates.shape) / 4  # with ties
    p[rng.random(p.shape) < 0.2] = np.nan
    kept = within(p, candidates, cut, least)
    for line in range(len(p)):
        slots = [s for s in np.flatnonzero(candidates.filled[line]) if not np.isnan(p[line, s])]
        expected = {s for s in slots if p[line, s] <= cut}
        texts: set[int] = set()
        first = []
        for slot in slots:
            key = int(candidates.document_keys[line, slot])
            if key not in texts:
                texts.add(key)
                first.append(slot)
        expected |= set(sorted(first, key=lambda s: (p[line, s], s))[:least])
        assert set(np.flatnonzero(kept[line])) == expected


@given(batches_with_twins)
def test_a_laxer_cut_keeps_more(batch: Batch) -> None:
    queries, candidates = batch
    masks = [
        bound(RiskFilter(max=cut, model=MODEL)).mask(queries, candidates) & candidates.filled
        for cut in (0.0, 0.2, 0.6, 1.0)
    ]
    for one, other in pairwise(masks):
        assert (one <= other).all()
    scored = ~np.isnan(bound(RiskFilter(model=MODEL)).probabilities(queries, candidates))
    assert (masks[-1] == (scored & candidates.filled)).all()


def test_target_takes_the_certified_cut() -> None:
    rule = RiskFilter(target=0.05, model=MODEL)
    same = RiskFilter(max=0.3, least=2, model=MODEL)
    from stage_data import random_batch

    queries, candidates = random_batch(3)
    one, other = (bound(r).mask(queries, candidates) for r in (rule, same))
    np.testing.assert_array_equal(one, other)
    assert "at most 5.0% false negatives is promised" in rule.notes()[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max": 0.1, "target": 0.1}, "both given"),
        ({"max": 1.5}, "from 0 to 1"),
        ({"least": -1}, "whole number"),
        ({"target": 0.05}, "without model"),
        ({"target": 0.01, "model": MODEL}, "no certified cut"),
        ({"target": 0.2, "model": MODEL}, r"has them for 0\.05"),
        ({"target": 0.05, "least": 2, "model": MODEL}, "Leave it out"),
        ({"model": 3}, "of type int"),
        ({"model": "no-such-file.json"}, "no such file"),
    ],
)
def test_bad_parameters(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        RiskFilter(**options)


def test_no_model_in_the_text() -> None:
    with pytest.raises(FormatError, match="no risk model"):
        RiskFilter(model='{"a": 1}')


def test_the_file_is_read_once_and_its_content_is_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "risk.json"
    path.write_text(MODEL.to_json(indent=1), encoding="utf-8")
    rule = RiskFilter(max=0.2, model=path)
    path.unlink()
    assert rule == RiskFilter(max=0.2, model=MODEL) == pickle.loads(pickle.dumps(rule))
    text = f"bm25@20+{rule.expression()}"
    miner = OfflineMiner(text, corpus=DOCUMENTS, cache_dir=tmp_path)
    assert OfflineMiner(miner.strategy, corpus=DOCUMENTS, cache_dir=tmp_path).strategy == (
        miner.strategy
    )
    assert str(tmp_path) not in rule.expression()
    other = RiskFilter(max=0.2, model=replace(MODEL, intercept=-2.0))
    assert other != rule


def test_a_batch_alone_is_refused_without_a_model() -> None:
    from stage_data import random_batch

    with pytest.raises(ParameterError, match="all rows"):
        bound(RiskFilter()).mask(*random_batch(1))


def rows(positives: int) -> Dataset:
    """Queries about one of three topics; its documents are relevant, some are known."""
    topics = [("apple pear", 0), ("stone brick", 12), ("river lake", 24)]
    queries, known = [], []
    for number in range(24):
        words, start = topics[number % 3]
        queries.append(f"{words} {number}")
        known.append([DOCUMENTS[start + (number + 5 * p) % 12] for p in range(positives)])
    return Dataset.from_dict({"query": queries, "positives": known})


def test_it_is_fitted_to_hidden_positives_and_says_so(tmp_path: Path) -> None:
    miner = OfflineMiner(
        "bm25@36+risk(max=0.4, least=2)", corpus=DOCUMENTS, num_negatives=2, cache_dir=tmp_path
    )
    data = rows(4)
    mined = miner.mine(data)
    report = miner.report(mined)
    assert any("hidden positives" in note for note in report.notes)
    assert "hidden positives" in report.strategy  # the model stands in the recipe
    again = OfflineMiner(report.strategy, corpus=DOCUMENTS, num_negatives=2, cache_dir=tmp_path)
    assert list(again.mine(data)["hard_negative_ids"]) == list(mined["hard_negative_ids"])
    order = np.arange(len(data))[::-1]
    turned = miner.mine(data.select(order), resume=False)
    assert list(turned["hard_negative_ids"]) == list(mined["hard_negative_ids"])[::-1]
    assert all(len(ids) == 2 for ids in mined["hard_negative_ids"])


def test_without_a_second_positive_there_is_nothing_to_learn(tmp_path: Path) -> None:
    miner = OfflineMiner("bm25@20+risk", corpus=DOCUMENTS, cache_dir=tmp_path)
    with pytest.raises(QueryError, match="no query of the data has two known positives"):
        miner.mine(rows(1))


def test_a_model_of_another_retriever_is_refused(tmp_path: Path) -> None:
    model = replace(MODEL, signals=("score/positive", "score", "positive-score", "other"))
    rule = RiskFilter(model=model).expression()
    miner = OfflineMiner(f"bm25@20+{rule}", corpus=DOCUMENTS, cache_dir=tmp_path)
    with pytest.raises(ParameterError, match="lacks other and has log-rank beside"):
        miner.mine(rows(2))
