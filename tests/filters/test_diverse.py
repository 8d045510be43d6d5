"""Negatives of a row that are no near copies of each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import assert_same_rows, make_collection

from hf_hardneg import CallableEncoder, Corpus, DenseRetriever, DiverseNegatives, OfflineMiner
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.near_texts import Signatures, resemblance
from hf_hardneg.testing import check_diversity

BODY = " ".join(f"word{number}" for number in range(40))
DOCUMENTS = {
    "a1": f"query {BODY} first",
    "a2": f"query {BODY} second",
    "a3": f"query {BODY} third one",
    "b": "query of another kind altogether with words",
    "c": "a query that has nothing in common",
    "positive": "the answer to it",
}
ROWS = Dataset.from_dict({"query": ["query"], "positive": ["the answer to it"]})


def mined(strategy: str, **options: Any) -> list[str]:
    miner = OfflineMiner(strategy, corpus=DOCUMENTS, num_negatives=5, **options)
    [names] = miner.mine(ROWS)["hard_negative_ids"]
    return list(names)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([0.2, 0.5, 0.8, 1.0]), st.integers(1, 3))
def test_the_contract_and_the_resemblance(seed: int, threshold: float, shingle: int) -> None:
    corpus = Corpus(make_collection(seed).documents)
    rule = DiverseNegatives(threshold=threshold, shingle=shingle)
    rows = np.arange(min(len(corpus), 8))
    check_diversity(rule, corpus, rows.tolist())
    one, other = np.repeat(rows, len(rows)), np.tile(rows, len(rows))
    found = Signatures(shingle, 128, "test").of_rows(rows, corpus)
    expected = resemblance(found, one, found, other) >= threshold
    assert np.array_equal(rule.alike(one, other, corpus), expected)


def test_the_first_of_near_copies_stays() -> None:
    plain = mined("bm25")
    copies = [name for name in plain if name.startswith("a")]
    assert len(copies) == 3
    assert mined("bm25+diverse") == [name for name in plain if name not in copies[1:]]
    assert mined("bm25+diverse(threshold=1.0)") == plain


def test_what_was_passed_over_is_counted() -> None:
    miner = OfflineMiner("bm25+diverse", corpus=DOCUMENTS, num_negatives=5)
    found = miner.mine(ROWS)
    [trace] = found["hard_negative_trace"]
    assert {pair["stage"]: pair["slots"] for pair in trace}["drop:diverse"] == 2


def counts(texts: list[str]) -> np.ndarray:
    words = [f"word{number}" for number in range(40)] + ["query", "of", "a", "the"]
    return np.array([[text.split().count(word) + 0.01 for word in words] for text in texts])


def test_by_vectors() -> None:
    model = CallableEncoder(counts, name="counts")
    names = mined("dense+diverse(by='embedding')", model=model)
    assert sum(name.startswith("a") for name in names) == 1
    corpus = Corpus(DOCUMENTS)
    rule = DiverseNegatives(by="embedding", threshold=0.9).bound(
        DenseRetriever(corpus, model=model)
    )
    check_diversity(rule, corpus, [0, 1, 2, 3, 4, 5])
    with pytest.raises(StrategyError, match="'diverse' needs the documents' vectors"):
        mined("bm25+diverse(by='embedding')")


def test_workers_do_the_same() -> None:
    collection = make_collection(5)
    options: dict[str, Any] = {"corpus": collection.documents, "num_negatives": 3}
    strategy = "bm25+diverse(threshold=0.3, shingle=1)+random"
    expected = OfflineMiner(strategy, **options).mine(collection.dataset())
    again = OfflineMiner(strategy, **options)
    assert_same_rows(again.mine(collection.dataset(), num_proc=2, resume=False), expected)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"by": "x"}, "by='x'"), ({"threshold": -1}, "threshold=-1"), ({"shingle": 1.5}, "shingle")],
)
def test_parameters_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=f"diverse: .*{said}"):
        DiverseNegatives(**options)
