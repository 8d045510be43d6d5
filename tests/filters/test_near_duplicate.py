"""Near copies of positives: by MinHash, by vectors, dropped or promoted."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import assert_same_rows, make_collection

from hf_hardneg import BM25Retriever, CallableEncoder, Corpus, NearDuplicateVeto, OfflineMiner
from hf_hardneg.candidates import NO_ROW
from hf_hardneg.errors import MissingExtraError, ParameterError, StrategyError
from hf_hardneg.filters import Verdict
from hf_hardneg.near_texts import shingles
from hf_hardneg.testing import check_veto, make_queries

BODY = " ".join(f"word{number}" for number in range(40))
DOCUMENTS = {
    "positive": f"{BODY} first edition",
    "near": f"{BODY} second edition",
    "half": " ".join(BODY.split()[:20]) + " word1 goes elsewhere with other words from here on",
    "other": "word1 word5 something else entirely",
    "short": "word1 word7",
    "far": "nothing of the kind",
}
ROWS = Dataset.from_dict({"query": ["word1 word7"], "positive": [DOCUMENTS["positive"]]})


def mined(strategy: str, rows: Dataset = ROWS, **options: Any) -> Dataset:
    miner = OfflineMiner(strategy, **{"corpus": DOCUMENTS, "num_negatives": 5, **options})
    return miner.mine(rows)


def exact(veto: NearDuplicateVeto, text: str, positives: list[str]) -> float:
    """The largest exact resemblance with a positive."""
    own = shingles(text, veto.shingle)
    sets = [shingles(positive, veto.shingle) for positive in positives]
    return max((len(own & other) / len(own | other) for other in sets), default=0.0)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.5, 0.8, 1.0]), st.integers(1, 3))
def test_by_the_exact_resemblance(seed: int, threshold: float, shingle: int) -> None:
    """Where the exact resemblance is far from the threshold, the verdict is by it."""
    collection = make_collection(seed)
    corpus = Corpus(collection.documents)
    queries = make_queries(
        corpus,
        [row.query for row in collection.rows],
        [[text for _, text in row.positives] for row in collection.rows],
    )
    candidates = BM25Retriever(corpus, top_k=12).retrieve(queries)
    veto = NearDuplicateVeto(threshold=threshold, shingle=shingle, permutations=512)
    check_veto(veto, queries, candidates, corpus)
    lines, slots = np.nonzero(candidates.filled)
    verdicts = veto.judge(queries, candidates, lines, slots, corpus)
    texts = corpus.texts(candidates.rows[lines, slots])
    for line, text, verdict in zip(lines, texts, verdicts, strict=True):
        positives = [text for _, text in collection.rows[line].positives]
        known = queries.known_rows[queries.known_offsets[line] : queries.known_offsets[line + 1]]
        near = exact(veto, text, positives + corpus.texts(known[known != NO_ROW]))
        if near == 1 or near > threshold + 0.15:
            assert verdict == Verdict.DROP
        if near < threshold - 0.15 or (near == 0 and threshold > 0.1):
            assert verdict == Verdict.KEEP


def test_a_near_copy_is_no_negative() -> None:
    [plain] = mined("bm25")["hard_negative_ids"]
    assert "near" in plain
    [left] = mined("bm25+near-duplicate")["hard_negative_ids"]
    assert left == [name for name in plain if name != "near"]
    [strict] = mined("bm25+near-duplicate(threshold=0.3)")["hard_negative_ids"]
    assert "half" not in strict
    assert "other" in strict


def test_what_is_promoted_is_written_out_and_counted() -> None:
    miner = OfflineMiner("bm25+near-duplicate(promote=True)", corpus=DOCUMENTS, num_negatives=5)
    found = miner.mine(ROWS)
    assert found["promoted_ids"] == [["near"]]
    assert "near" not in found[0]["hard_negative_ids"]
    assert [stage.promoted for stage in miner.report(found).stages if stage.promoted] == [1]


def test_a_positive_of_another_row_counts_too() -> None:
    rows = Dataset.from_dict(
        {"query": ["word1 word7"] * 2, "positive": [DOCUMENTS["positive"], DOCUMENTS["far"]]}
    )
    for names in mined("bm25+near-duplicate", rows)["hard_negative_ids"]:
        assert "near" not in names


def test_a_positive_outside_the_corpus_counts_by_its_text() -> None:
    rows = Dataset.from_dict({"query": ["word1 word7"], "positive": [f"{BODY} third edition"]})
    [names] = mined("bm25+near-duplicate", rows)["hard_negative_ids"]
    assert not {"near", "positive"} & set(names)


def test_positives_by_id() -> None:
    rows = Dataset.from_dict({"query": ["word1 word7"], "positive_ids": [["positive"]]})
    [names] = mined("bm25+near-duplicate", rows)["hard_negative_ids"]
    assert "near" not in names
    assert "half" in names


def counts(texts: list[str]) -> np.ndarray:
    words = [f"word{number}" for number in range(40)] + ["nothing", "something"]
    return np.array([[text.split().count(word) + 0.01 for word in words] for text in texts])


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_by_the_vectors_of_the_retriever(similarity: str) -> None:
    model = CallableEncoder(counts, name=f"counts-{similarity}", similarity=similarity)
    strategy = "dense+near-duplicate(by='embedding'{})"
    [names] = mined(strategy.format(""), model=model)["hard_negative_ids"]
    assert "near" not in names
    assert "half" in names
    [strict] = mined(strategy.format(", threshold=0.6"), model=model)["hard_negative_ids"]
    assert "half" not in strict


def test_by_the_vectors_of_one_of_two_retrievers() -> None:
    model = CallableEncoder(counts, name="counts")
    strategy = "bm25,dense+near-duplicate(by='embedding')"
    [names] = mined(strategy, model=model)["hard_negative_ids"]
    assert "near" not in names
    assert "half" in names


def test_by_vectors_the_contract_holds() -> None:
    from hf_hardneg import DenseRetriever

    corpus = Corpus(DOCUMENTS)
    model = CallableEncoder(counts, name="counts")
    dense = DenseRetriever(corpus, model=model, top_k=6)
    queries = make_queries(
        corpus, ["word1 word7", "nothing"], [[DOCUMENTS["positive"], "outside"], ["far"]]
    )
    veto = NearDuplicateVeto(by="embedding", promote=True).bound(dense)
    check_veto(veto, queries, dense.retrieve(queries), corpus)


def test_vectors_have_to_be_there() -> None:
    with pytest.raises(StrategyError, match=r"'near-duplicate' needs the documents' vectors"):
        OfflineMiner("bm25+near-duplicate(by='embedding')", corpus=DOCUMENTS)
    OfflineMiner("bm25+near-duplicate", corpus=DOCUMENTS)
    with pytest.raises(StrategyError, match=r"not bound.*dense\+near-duplicate"):
        _ = NearDuplicateVeto(by="embedding").retriever


def test_the_package_is_asked_for_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasketch", None)
    miner = OfflineMiner("bm25+near-duplicate", corpus=DOCUMENTS, num_negatives=5)
    monkeypatch.setattr(BM25Retriever, "prepare", lambda self: pytest.fail("work was begun"))
    with pytest.raises(MissingExtraError, match=r"near-duplicate.*hf-hardneg\[dedup\]"):
        miner.mine(ROWS)


def test_workers_do_the_same() -> None:
    collection = make_collection(3)
    rows = collection.dataset()
    options: dict[str, Any] = {"corpus": collection.documents, "num_negatives": 3}
    strategy = "bm25+near-duplicate(threshold=0.4, shingle=1)"
    expected = OfflineMiner(strategy, **options).mine(rows)
    again = OfflineMiner(strategy, **options).mine(rows, num_proc=2, resume=False)
    assert_same_rows(again, expected)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "simhash"}, "by='simhash'; expected one of minhash, embedding"),
        ({"threshold": 0}, "threshold=0; expected a number above 0, at most 1"),
        ({"threshold": 1.1}, r"threshold=1.1; .*\(0.8 for minhash, 0.95 for embedding"),
        ({"threshold": float("nan")}, "threshold=nan"),
        ({"shingle": 0}, "shingle=0"),
        ({"permutations": 0}, "permutations=0"),
        ({"by": "embedding", "shingle": 2}, "shingle=2, .*by='embedding', which has neither"),
        ({"by": "embedding", "permutations": 64}, "permutations=64 are given"),
    ],
)
def test_parameters_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=f"near-duplicate: .*{said}"):
        NearDuplicateVeto(**options)
