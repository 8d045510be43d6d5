"""The checks pass what is right and catch, by name, what is deliberately broken."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from hf_hardneg import Corpus, RandomRetriever, RankFilter
from hf_hardneg.candidates import NO_ROW, Queries, order_by_score
from hf_hardneg.errors import HardNegError
from hf_hardneg.retrievers import Retriever
from hf_hardneg.retrievers.base import Hits
from hf_hardneg.testing import (
    ContractError,
    check_filter,
    check_retriever,
    make_queries,
    take_candidates,
    take_queries,
)

DOCUMENTS = ["red car", "red car", "blue boat", "red boat", "green train car", "red car"]
QUERIES = ["red", "red boat", "car green", "nothing"]
POSITIVES = [["red boat"], ["blue boat", "a red thing"], ["green train car"], ["x"]]


def overlap(query: str, document: str) -> float:
    return float(len(set(query.split()) & set(document.split())))


class Overlap(Retriever):
    """A right retriever: documents by the number of words they share with the query."""

    name = "overlap"

    def __init__(self, corpus: Corpus, *, top_k: int = 3) -> None:
        self.corpus, self.top_k = corpus, top_k

    def search(self, queries: Queries) -> Hits:
        documents = list(self.corpus.iter_texts())
        scores = np.array(
            [[overlap(query, text) for text in documents] for query in queries.texts], np.float32
        )
        rows = np.where(scores > 0, np.arange(len(documents)), NO_ROW)
        rows, scores = order_by_score(rows, scores)
        return rows[:, : self.top_k], scores[:, : self.top_k]

    def positive_scores(self, queries: Queries, hits: Hits) -> np.ndarray:
        owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
        pairs = zip(owner, queries.positive_texts, strict=True)
        return np.array([overlap(queries.texts[line], text) for line, text in pairs], np.float32)


class HighRows(Overlap):
    def search(self, queries: Queries) -> Hits:
        rows, scores = super().search(queries)
        return np.where(rows == 0, 5, np.where(rows == 5, 0, rows)), scores


class Wide(Overlap):
    def search(self, queries: Queries) -> Hits:
        rows, scores = super().search(queries)
        return rows, scores.astype(np.float64)  # type: ignore[return-value]


class Twice(Overlap):
    def search(self, queries: Queries) -> Hits:
        rows, scores = super().search(queries)
        rows[:, 1] = rows[:, 0]
        return rows, scores


class Gap(Overlap):
    def search(self, queries: Queries) -> Hits:
        rows, scores = super().search(queries)
        rows[:, 0], scores[:, 0] = NO_ROW, -np.inf
        return rows, scores


class OfTheBatch(Overlap):
    def search(self, queries: Queries) -> Hits:
        rows, scores = super().search(queries)
        return rows, scores + np.float32(len(queries))

    def positive_scores(self, queries: Queries, hits: Hits) -> np.ndarray:
        return super().positive_scores(queries, hits) + np.float32(len(queries))


class OtherScorer(Overlap):
    def positive_scores(self, queries: Queries, hits: Hits) -> np.ndarray:
        return super().positive_scores(queries, hits) * np.float32(2)


class OffOutside(Overlap):
    def positive_scores(self, queries: Queries, hits: Hits) -> np.ndarray:
        scores: np.ndarray = super().positive_scores(queries, hits)
        return np.where(queries.positive_rows == NO_ROW, np.float32(7), scores)


class Forgetful(Overlap):
    def search(self, queries: Queries) -> Hits:
        rows, scores = super().search(queries)
        return order_by_score(np.where(scores > 1, NO_ROW, rows), scores)


class Halved(Overlap):
    def search(self, queries: Queries) -> Hits:
        rows, scores = super().search(queries)
        return rows, scores / np.float32(2)

    def positive_scores(self, queries: Queries, hits: Hits) -> np.ndarray:
        return super().positive_scores(queries, hits) / np.float32(2)


class Counting(Overlap):
    calls: ClassVar[int] = 0

    def search(self, queries: Queries) -> Hits:
        Counting.calls += 1
        rows, scores = super().search(queries)
        return rows, scores + np.float32(Counting.calls)

    def positive_scores(self, queries: Queries, hits: Hits) -> np.ndarray:
        return super().positive_scores(queries, hits) + np.float32(Counting.calls)


class Growing(Overlap):
    def search(self, queries: Queries) -> Hits:
        found = super().search(queries)
        self.top_k += 1
        return found


class Lossy(Overlap):
    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "top_k": 2})


class Unscored(Overlap):
    scored = False


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (HighRows, "not best first with ties by row"),
        (Wide, "scores has shape and type"),
        (Twice, "repeat"),
        (Gap, "an empty slot stands before a full one"),
        (OfTheBatch, "results depend on the batch; lines"),
        (OtherScorer, "as a candidate, 2.0 as a positive"),
        (OffOutside, "the positive 'a red thing' has the score 1.0, given 7.0"),
        (Forgetful, "the best scores are"),
        (Halved, "have the scores"),
        (Counting, "a second call gives something else"),
        (Growing, "rows has shape and type"),
        (Lossy, "pickled and back it is Lossy"),
        (Unscored, "it has no scores and gives"),
    ],
)
def test_broken_retrievers(kind: type[Overlap], said: str) -> None:
    corpus = Corpus(DOCUMENTS)
    queries = make_queries(corpus, QUERIES, POSITIVES)

    def check(retriever: Retriever) -> None:
        check_retriever(retriever, queries, score=overlap, eligible=lambda q, d: overlap(q, d) > 0)

    check(Overlap(corpus))
    with pytest.raises(ContractError) as error:
        check(kind(corpus, top_k=3))
    assert said in str(error.value)
    assert kind.__name__ in str(error.value)


class SkipsFirst(Overlap):
    def search(self, queries: Queries) -> Hits:
        rows, scores = super().search(queries)
        return np.where(rows == 0, 4, rows), scores


def test_a_missing_equal_document_is_noticed() -> None:
    corpus = Corpus(["red car", "blue", "x", "y", "red car", "z"])
    queries = make_queries(corpus, ["red"], [["outside"]])
    check_retriever(Overlap(corpus, top_k=1), queries, score=overlap)
    with pytest.raises(ContractError, match="row 4, and not its equal 0"):
        check_retriever(SkipsFirst(corpus, top_k=1), queries, score=overlap)


def test_the_error_is_ours_and_an_assertion() -> None:
    assert issubclass(ContractError, HardNegError)
    assert issubclass(ContractError, AssertionError)


def test_lines_are_taken_with_all_that_belongs_to_them() -> None:
    corpus = Corpus(DOCUMENTS)
    queries = make_queries(corpus, QUERIES, POSITIVES, ids=["a", "b", "c", "d"])
    found = RandomRetriever(corpus, top_k=2).retrieve(queries)
    part = take_queries(queries, [3, 1])
    assert (part.texts, part.ids) == (["nothing", "red boat"], ["d", "b"])
    assert part.offsets.tolist() == [0, 1, 3]
    assert part.positive_texts == ["x", "blue boat", "a red thing"]
    assert part.positive_rows.tolist() == [-1, 2, -1]
    assert take_candidates(queries, found, [3, 1]).rows.tolist() == found.rows[[3, 1]].tolist()
    check_filter(RankFilter(range_min=2), part, take_candidates(queries, found, [3, 1]))
