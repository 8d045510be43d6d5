"""BM25 by value, against the formulas."""

from __future__ import annotations

import numpy as np
import pytest
import Stemmer
from bm25_reference import ReferenceBM25, plain_words
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hf_hardneg import BM25Retriever, Corpus
from hf_hardneg.candidates import NO_ROW, Queries
from hf_hardneg.errors import ParameterError
from hf_hardneg.retrievers.bm25 import METHODS
from hf_hardneg.testing import check_retriever, make_queries

WORDS = ("red", "blue", "green", "fast", "slow", "car", "boat", "Red")
texts = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
asked = st.lists(st.sampled_from([*WORDS, "zebra"]), max_size=6).map(" ".join)


def batch(corpus: Corpus, queries: list[str], positives: list[str] | None = None) -> Queries:
    own = positives or ["outside the corpus"] * len(queries)
    return make_queries(corpus, queries, [[text] for text in own])


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=12)
@given(
    documents=st.lists(texts, min_size=1, max_size=12),
    queries=st.lists(asked, min_size=1, max_size=4),
    positive=texts,
    top_k=st.integers(1, 14),
    k1=st.sampled_from([0.0, 0.9, 1.5]),
    b=st.sampled_from([0.0, 0.4, 1.0]),
    delta=st.sampled_from([0.5, 1.0]),
)
def test_equals_the_formulas(
    method: str,
    documents: list[str],
    queries: list[str],
    positive: str,
    top_k: int,
    k1: float,
    b: float,
    delta: float,
) -> None:
    assume(k1 > 0 or method != "bm25+")
    corpus = Corpus(documents)
    retriever = BM25Retriever(
        corpus, top_k=top_k, method=method, k1=k1, b=b, delta=delta, stemmer=None, stopwords=None
    )
    reference = ReferenceBM25(documents, method=method, k1=k1, b=b, delta=delta)
    positives = [[documents[0], positive], *[[positive]] * (len(queries) - 1)]
    check_retriever(
        retriever,
        make_queries(corpus, queries, positives),
        score=reference.score,
        eligible=reference.eligible,
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_long_query(method: str) -> None:
    """Sums of many terms: what has no word of the query stays out, and positives agree."""
    rng = np.random.default_rng(0)
    vocabulary = [f"word{number}" for number in range(400)]
    documents = [" ".join(rng.choice(vocabulary[:300], 30)) for _ in range(40)]
    documents += [" ".join(rng.choice(vocabulary[300:], 30)) for _ in range(40)]
    corpus = Corpus(documents)
    reference = ReferenceBM25(documents, method=method)
    queries = [" ".join(rng.choice(vocabulary[:300], size)) for size in (9, 40, 200, 1000)]
    check_retriever(
        BM25Retriever(corpus, top_k=60, method=method, stopwords=None, stemmer=None),
        batch(corpus, queries, [documents[5], documents[77], "word1 word2", documents[0]]),
        score=reference.score,
        eligible=reference.eligible,
        tolerance=1e-4,
    )


@pytest.mark.parametrize("method", ["lucene", "bm25+"])
def test_of_many_equal_documents_the_lower_rows_win(method: str) -> None:
    documents = ["blue car"] * 3 + ["red boat"] * 300 + ["red red boat"] + ["slow green"] * 96
    corpus = Corpus(documents)
    retriever = BM25Retriever(corpus, top_k=8, method=method)
    found = retriever.retrieve(batch(corpus, ["red", "boat red", "green"]))
    assert found.rows[:2].tolist() == [[303, *range(3, 10)], [303, *range(3, 10)]]
    assert found.rows[2].tolist() == list(range(304, 312))


def test_stop_words_stems_and_queries_without_a_known_word() -> None:
    documents = ["The running of the bulls", "He runs", "", "of the and", "a bull and a cow"]
    stop = {"the", "of", "and", "a", "he"}
    stem = Stemmer.Stemmer("english").stemWord

    def words(text: str) -> list[str]:
        return [stem(word) for word in plain_words(text) if word not in stop]

    corpus = Corpus(documents)
    reference = ReferenceBM25(documents, words=words)
    queries = batch(
        corpus, ["", "the of", "Bulls ran run", "zebra", "?!"], [*documents[:2], "run"] + ["x"] * 2
    )
    retriever = BM25Retriever(corpus, top_k=4, stopwords=sorted(stop))
    check_retriever(retriever, queries, score=reference.score, eligible=reference.eligible)
    rows = retriever.retrieve(queries).rows
    assert (rows[[0, 1, 3, 4]] == NO_ROW).all()
    assert set(rows[2].tolist()) == {0, 1, 4, NO_ROW}


def test_more_candidates_than_documents() -> None:
    corpus = Corpus(["red car", "red boat", "blue"])
    found = BM25Retriever(corpus, top_k=50).retrieve(batch(corpus, ["red"]))
    assert found.shape == (1, 50)
    assert found.rows[0, :3].tolist() == [0, 1, NO_ROW]


def test_a_corpus_without_a_single_word() -> None:
    corpus = Corpus(["", "the", "?"])
    found = BM25Retriever(corpus, top_k=2).retrieve(batch(corpus, ["red", ""]))
    assert (found.rows == NO_ROW).all()
    assert (found.positive_scores == 0).all()


@pytest.mark.parametrize(
    ("stemmer", "stopwords", "query", "document"),
    [
        ("german", "german", "Häuser", "das Haus und die Katze"),
        ("french", "french", "chanteuses", "la chanteuse est belle"),
        ("english", "english", "relational databases", "a database"),
        (None, None, "the", "the"),
        (None, ["car"], "the car", "the boat"),
    ],
)
def test_languages(
    stemmer: str | None, stopwords: str | list[str] | None, query: str, document: str
) -> None:
    corpus = Corpus(["zzz", document, "car car"])
    retriever = BM25Retriever(corpus, top_k=3, stemmer=stemmer, stopwords=stopwords)
    assert retriever.retrieve(batch(corpus, [query])).rows.tolist() == [[1, NO_ROW, NO_ROW]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stemmer": "klingon"}, "stemmer='klingon'; expected None or one of arabic"),
        ({"stopwords": "klingon"}, "stopwords='klingon'"),
        ({"stopwords": 5}, "stopwords=5"),
        ({"stopwords": ["the", 5]}, "stopwords="),
        ({"stemmer": 5}, "stemmer=5"),
        ({"method": "bm25"}, "method='bm25'; expected one of"),
        ({"top_k": 0}, "top_k=0"),
        ({"k1": -0.1}, "k1=-0.1"),
        ({"k1": float("nan")}, "k1=nan"),
        ({"b": 1.1}, "b=1.1"),
        ({"delta": -1}, "delta=-1"),
        ({"method": "bm25l", "k1": 0, "delta": 0}, "k1=0 and delta=0 make 'bm25l' 0/0"),
    ],
)
def test_parameters_that_cannot_be(options: dict[str, object], said: str) -> None:
    corpus = Corpus(["red car"])
    with pytest.raises(ParameterError) as error:
        BM25Retriever(corpus, **options)  # type: ignore[arg-type]
    assert str(error.value).startswith("bm25: ")
    assert said in str(error.value)
