"""A mined set is read the same whatever its columns are called."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict

from hf_hardneg import Corpus, OfflineMiner
from hf_hardneg.columns import QueryColumns
from hf_hardneg.errors import ColumnError, FormatError
from hf_hardneg.mined_set import MinedSet

DOCUMENTS = {f"d{number}": f"apple text {number}" for number in range(20)}
PAIRS = Dataset.from_dict(
    {
        "query_id": ["a", "b", "c"],
        "query": ["apple 1", "apple 2", "text 3"],
        "positive_ids": [["d1"], ["d2", "d7"], ["d3"]],
    }
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus.of(DOCUMENTS, tmp_path_factory.mktemp("cache"))


def mined(corpus: Corpus, form: str) -> Dataset:
    made: Dataset = OfflineMiner("bm25", corpus=corpus, num_negatives=3).mine(
        PAIRS, output_format=form
    )
    return made


def everything(found: MinedSet, name: str) -> list[list[str]]:
    return [row for batch in found.batches(2) for row in batch.texts(name)]


def test_our_own_columns(corpus: Corpus) -> None:
    data = mined(corpus, "columns")
    found = MinedSet.of(data, corpus=corpus)
    assert len(found) == 3
    assert found.notes == ()
    assert [name for batch in found.batches(2) for name in batch.query_ids()] == ["a", "b", "c"]
    assert everything(found, "negative_ids") == data["hard_negative_ids"][:]
    assert everything(found, "positives") == [
        [DOCUMENTS[name] for name in row["positive_ids"]] for row in PAIRS
    ]
    [batch] = found.batches()
    offsets, ranks = batch.numbers("negative_ranks")
    assert offsets.tolist() == [0, 3, 6, 9]
    assert ranks.tolist() == [rank for row in data["hard_negative_ranks"] for rank in row]


@pytest.mark.parametrize("form", ["n-tuple", "triplet"])
def test_texts_are_matched_to_the_corpus_and_it_says_so(corpus: Corpus, form: str) -> None:
    data = mined(corpus, form)
    found = MinedSet.of(data, corpus=corpus)
    assert found.notes == (
        "positives have no ids: matched to the corpus by their texts.",
        "negatives have no ids: matched to the corpus by their texts.",
    )
    for texts, ids in zip(
        everything(found, "negatives"), everything(found, "negative_ids"), strict=True
    ):
        assert texts == [DOCUMENTS[name] for name in ids]
    assert len(found) == len(data)
    assert sum(map(len, everything(found, "negatives"))) == 12  # b has two positives


def test_ids_alone_get_their_texts(corpus: Corpus) -> None:
    rows = Dataset.from_dict(
        {"query": ["apple"], "positive_ids": [["d1"]], "negative_ids": [["d2", "gone", "d3"]]}
    )
    assert not MinedSet.of(rows).has("negatives")
    found = MinedSet.of(rows, corpus=corpus)
    assert everything(found, "negatives") == [[DOCUMENTS["d2"], "", DOCUMENTS["d3"]]]


def test_missing_values_are_kept_as_what_they_are() -> None:
    rows = Dataset.from_dict(
        {
            "query": ["q", None],
            "pos": ["one", None],
            "neg": [["a", None, ""], None],
            "neg_scores": [[1.5, None, 0.0], None],
        }
    )
    [batch] = MinedSet.of(rows).batches()
    assert batch.queries() == ["q", ""]
    assert list(batch.texts("positives")) == [["one"], []]
    assert list(batch.texts("negatives")) == [["a", "", ""], []]
    offsets, scores = batch.numbers("negative_scores")
    assert offsets.tolist() == [0, 3, 3]
    assert scores[0] == 1.5
    assert math.isnan(scores[1])


def test_numbered_negatives_stay_in_their_order() -> None:
    rows = Dataset.from_dict(
        {
            "anchor": ["q1", "q2"],
            "positive": ["p1", "p2"],
            "negative_1": ["a1", "a2"],
            "negative_2": [None, "b2"],
            "negative_10": ["c1", "c2"],
        }
    )
    assert everything(MinedSet.of(rows), "negatives") == [["a1", "c1"], ["a2", "b2", "c2"]]


def test_columns_may_be_named() -> None:
    rows = Dataset.from_dict({"q": ["x"], "good": ["y"], "negatives": [["z"]]})
    with pytest.raises(ColumnError, match=r"no column of query .*found q, good, negatives"):
        MinedSet.of(rows)
    found = MinedSet.of(rows, columns=QueryColumns(query="q", positive="good"))
    assert everything(found, "positives") == [["y"]]
    with pytest.raises(ColumnError, match=r"no column 'goood'.*good"):
        MinedSet.of(rows, columns=QueryColumns(query="q", positive="goood"))


def test_what_is_no_mined_set_is_refused() -> None:
    with pytest.raises(ColumnError, match="no column of negatives"):
        MinedSet.of(Dataset.from_dict({"query": ["x"], "positive": ["y"]}))
    with pytest.raises(FormatError, match="no rows"):
        MinedSet.of(Dataset.from_dict({"query": [], "positive": [], "negative": []}))
    one = Dataset.from_dict({"query": ["x"], "positive": ["y"], "negative": ["z"]})
    with pytest.raises(FormatError, match="splits dev, train"):
        MinedSet.of(DatasetDict({"dev": one, "train": one}))
    with pytest.raises(ColumnError, match=r"'negatives' holds list<.*double>; expected texts"):
        MinedSet.of(Dataset.from_dict({"query": ["x"], "negatives": [[1.5]]}))
    with pytest.raises(ColumnError, match=r"'negative_scores' holds .*; expected float"):
        MinedSet.of(
            Dataset.from_dict({"query": ["x"], "negatives": [["z"]], "negative_scores": [["high"]]})
        )


def test_batches_of_any_size_hold_the_same_rows(corpus: Corpus, tmp_path: Path) -> None:
    found = MinedSet.of(mined(corpus, "columns"), corpus=corpus)
    whole = [row for batch in found.batches(100) for row in batch.texts("negatives")]
    assert everything(found, "negatives") == whole
    assert [batch.start for batch in found.batches(2)] == [0, 2]
