"""An Elasticsearch index, by its client and a server that speaks its protocol: scores by value."""

from __future__ import annotations

import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from bm25_reference import ReferenceBM25
from datasets import Dataset
from elasticsearch_server import Elasticsearch, Index, Running, words
from store_cases import (
    DIMENSION,
    DOCUMENTS,
    POSITIVES,
    QUERIES,
    SECRET,
    by_brute_force,
    closed_port,
    hash_model,
    raw,
    unit,
)

from hf_hardneg import OfflineMiner
from hf_hardneg.corpus import Corpus
from hf_hardneg.encoders import CallableEncoder
from hf_hardneg.errors import CorpusError, HardNegError, MissingExtraError, ModelError, PoolError
from hf_hardneg.retrievers import elasticsearch_store, elasticsearch_store_answers
from hf_hardneg.retrievers.elasticsearch import ElasticsearchRetriever
from hf_hardneg.testing import check_retriever, make_queries

pytest.importorskip("elasticsearch")

SIMILARITY = {
    "cosine": "cosine",
    "dot_product": "cosine",
    "max_inner_product": "dot",
    "l2_norm": "euclidean",
}
TEXTS = [
    "the red fox runs", "a red car", "the fox and the hound", "a blue boat at sea",
    "red red wine", "the sea is blue and the sky is blue", "boats on the river", "hound",
    "a fox in a boat, a fox in a car", "green tea", "river and sea", "car",
]  # fmt: skip
ASKED = ["red fox", "blue sea sea", "a boat", "nothing of this kind", "", "fox fox hound"]
FOUND = [["a red car", "green tea"], ["river and sea"], ["not in the index"], ["car"], ["hound"],
         ["hound", "the red fox runs", "boats on the river"]]  # fmt: skip


Serve = Callable[..., tuple[str, Elasticsearch]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server with one index, ``things``."""
    with ExitStack() as stack:

        def start(index: Index | None = None, **options: Any) -> tuple[str, Elasticsearch]:
            engine = Elasticsearch({"things": index or lexical()}, **options)
            return stack.enter_context(Running(engine)).url, engine

        yield start


def lexical(texts: list[str] = TEXTS, shards: int = 1) -> Index:
    properties = {
        "text": {"type": "text", "fields": {"keyword": {"type": "keyword"}}},
        "name": {"type": "keyword"}, "number": {"type": "long"}, "title": {"type": "text"},
        "short": {"type": "match_only_text"},
    }  # fmt: skip
    documents = [
        (str(place + 1), {"text": text, "name": f"d{place + 1:02}", "number": 100 - place})
        for place, text in enumerate(texts)
    ]
    return Index(properties, documents, shards)


def dense(kind: str = "cosine", texts: list[str] = DOCUMENTS, **about: Any) -> Index:
    made = unit if kind == "dot_product" else raw
    field = {"type": "dense_vector", "dims": DIMENSION, "index": True, "similarity": kind, **about}
    documents = [
        (
            str(place + 1),
            {"text": text, "name": f"d{place + 1}", "vector": made([text])[0].tolist()},
        )
        for place, text in enumerate(texts)
    ]
    properties = {"text": {"type": "text"}, "name": {"type": "keyword"}, "vector": field}
    return Index(properties, documents)


def retriever(url: str, **options: Any) -> ElasticsearchRetriever:
    values = {"top_k": 20, "timeout": 5.0, **options}
    return ElasticsearchRetriever(url=url, collection="things", **values)


def by_words(texts: list[str] = TEXTS) -> tuple[Callable[..., float], Callable[..., bool]]:
    """BM25 by another implementation; what is not in the index has the score 0."""
    reference = ReferenceBM25(texts, k1=1.2, b=0.75, words=words)

    def score(query: str, document: str) -> float:
        return reference.score(query, document) if document in texts else 0.0

    return score, lambda query, document: score(query, document) > 0


# -- by words --------------------------------------------------------------------------------


@pytest.mark.parametrize("top_k", [1, 3, 20])
@pytest.mark.parametrize("shards", [1, 3])
def test_words_equal_brute_force(serve: Serve, top_k: int, shards: int) -> None:
    """Also of several shards, whose statistics are put together."""
    url, _ = serve(lexical(shards=shards))
    own = retriever(url, top_k=top_k)
    assert sorted(own.corpus.texts(range(len(TEXTS)))) == sorted(TEXTS)
    score, eligible = by_words()
    queries = make_queries(own.corpus, ASKED, FOUND)
    check_retriever(own, queries, score=score, eligible=eligible)
    assert own.models() == {}
    assert not own.encodes_queries


@pytest.mark.parametrize(("field", "ids"), [("name", ["d01", "d02"]), ("number", ["89", "90"])])
def test_a_field_with_ids(serve: Serve, field: str, ids: list[str]) -> None:
    """Documents are read in its order, numbers as numbers."""
    url, _ = serve(lexical())
    own = retriever(url, id_field=field)
    assert own.corpus.ids([0, 1]) == ids
    score, eligible = by_words()
    queries = make_queries(own.corpus, ASKED, FOUND)
    check_retriever(own, queries, score=score, eligible=eligible)
    own.prepare()


def test_ties_of_words_are_broken_by_the_lower_row(serve: Serve) -> None:
    """More equal documents than are asked for at once, and not in the order of the index."""
    texts = ["green tea"] * 60 + ["black tea"] * 5
    index = lexical(texts, shards=3)
    url, engine = serve(index)
    corpus = Corpus({name: values["text"] for name, values in reversed(index.documents)})
    own = retriever(url, corpus=corpus, top_k=3)
    queries = make_queries(corpus, ["green", "tea"], [["black tea"], ["green tea"]])
    found = own.retrieve(queries)
    assert found.rows.tolist() == [[5, 6, 7], [0, 1, 2]]
    score, eligible = by_words(texts)
    check_retriever(own, queries, score=score, eligible=eligible)
    sizes = {body["size"] for _, path, given in engine.asked if path.endswith("_msearch")
             for body in given[1::2]}  # fmt: skip
    assert {19, 38, 76} <= sizes


def test_a_corpus_that_is_there_already(serve: Serve) -> None:
    """Its order decides the rows, and a document that is not in the index has the score 0."""
    index = lexical()
    url, _ = serve(index)
    ids = {values["name"]: values["text"] for _, values in index.documents}
    corpus = Corpus({"x1": "a red fox elsewhere", **dict(reversed(ids.items()))})
    own = retriever(url, corpus=corpus, id_field="name")
    own.prepare()
    queries = make_queries(corpus, ASKED, [["a red fox elsewhere", "car"]] * len(ASKED))
    check_retriever(own, queries)
    found = own.retrieve(queries)
    score, _ = by_words()
    assert found.rows[found.filled].min() > 0
    wanted = [value for query in ASKED for value in (0.0, score(query, "car"))]
    np.testing.assert_allclose(found.positive_scores, wanted, atol=1e-5)


def test_many_positives_are_asked_for_in_parts(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hf_hardneg.retrievers.elasticsearch.DOCUMENTS_AT_ONCE", 2)
    monkeypatch.setattr("hf_hardneg.retrievers.elasticsearch.QUERIES_AT_ONCE", 3)
    url, _ = serve(lexical())
    own = retriever(url, top_k=1)
    score, eligible = by_words()
    queries = make_queries(own.corpus, ASKED, [TEXTS[:5]] * len(ASKED))
    check_retriever(own, queries, score=score, eligible=eligible)


def test_pages_of_a_larger_index(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elasticsearch_store, "PAGE", 4)
    url, engine = serve(lexical(shards=2))
    for field in (None, "name", "number"):
        own = retriever(url, id_field=field)
        assert sorted(own.corpus.texts(range(len(TEXTS)))) == sorted(TEXTS)
    assert own.corpus.texts(range(len(TEXTS))) == TEXTS[::-1]
    assert engine.views == {}


# -- by vectors ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SIMILARITY)
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("top_k", [1, 20, 70])
def test_vectors_equal_brute_force(serve: Serve, kind: str, exact: bool, top_k: int) -> None:
    url, _ = serve(dense(kind))
    similarity = SIMILARITY[kind]
    own = retriever(url, top_k=top_k, model=hash_model(similarity), exact=exact)
    own.prepare()
    assert own.corpus.texts(range(len(DOCUMENTS))) == DOCUMENTS
    queries = make_queries(own.corpus, QUERIES, POSITIVES)
    check_retriever(own, queries, score=by_brute_force(similarity))
    assert own.models()["elasticsearch"]["weights"] == hash_model(similarity).fingerprint()


@pytest.mark.parametrize("exact", [False, True])
def test_documents_without_a_vector(serve: Serve, exact: bool) -> None:
    """They are not found; as positives they are encoded."""
    index = dense()
    for place in (1, 3, 50):
        del index.documents[place][1]["vector"]
    url, _ = serve(index)
    own = retriever(url, model=hash_model(), exact=exact, top_k=60, id_field="name")
    own.prepare()
    queries = make_queries(own.corpus, QUERIES, POSITIVES)
    names = own.corpus.ids(range(len(DOCUMENTS)))
    without = {DOCUMENTS[1], DOCUMENTS[3], DOCUMENTS[50]}
    assert names == sorted(f"d{place + 1}" for place in range(len(DOCUMENTS)))
    check_retriever(
        own, queries, score=by_brute_force("cosine"),
        eligible=lambda query, document: document not in without,
    )  # fmt: skip


@pytest.mark.parametrize("exact", [False, True])
def test_ties_of_vectors_are_broken_by_the_lower_row(serve: Serve, exact: bool) -> None:
    texts = ["same"] * 60 + [f"other {number}" for number in range(5)]
    url, _ = serve(dense(texts=texts))
    own = retriever(url, top_k=3, model=hash_model(), exact=exact)
    queries = make_queries(own.corpus, ["same", "other 2"], [["other 1"], ["same"]])
    assert own.retrieve(queries).rows[0].tolist() == [0, 1, 2]
    check_retriever(own, queries, score=by_brute_force("cosine"))


def test_how_far_the_approximate_search_looks(serve: Serve) -> None:
    url, engine = serve(dense())
    for asked, top_k, wanted in ((None, 4, 100), (None, 184, 300), (700, 4, 700)):
        own = retriever(url, model=hash_model(), top_k=top_k, num_candidates=asked)
        own.search(make_queries(own.corpus, ["a"], [[]]))
        knn = engine.asked[-1][2][1]["knn"]
        assert (knn["k"], knn["num_candidates"]) == (top_k + 16, wanted)
    most = retriever(url, model=hash_model(), top_k=10_000)
    found = most.retrieve(make_queries(most.corpus, ["a"], [[]]))
    assert int(found.filled.sum()) == len(DOCUMENTS)


def test_queries_are_encoded_once(serve: Serve) -> None:
    url, _ = serve(dense())
    asked: list[str] = []

    def count(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return raw(texts)

    own = retriever(url, model=CallableEncoder(count, name="counted"))
    own.prepare()
    own.prepare_queries(QUERIES)
    before = list(asked)
    queries = make_queries(own.corpus, QUERIES, [[DOCUMENTS[3]]] * len(QUERIES))
    own.retrieve(queries)
    pickle.loads(pickle.dumps(own)).retrieve(queries)
    assert asked == before


def test_lengths_where_the_index_compares_by_inner_product(serve: Serve) -> None:
    url, _ = serve(dense("max_inner_product"))
    with pytest.raises(PoolError, match=r"have a mean length of .*normalize=False"):
        retriever(url, model=hash_model()).prepare()
    own = retriever(url, model=hash_model(), normalize=False)
    own.prepare()
    queries = make_queries(own.corpus, QUERIES, POSITIVES)
    check_retriever(own, queries, score=by_brute_force("dot"))


# -- refused ---------------------------------------------------------------------------------


def test_indexes_that_cannot_be_used(serve: Serve) -> None:
    url, engine = serve(lexical(), aliases={"other": ["things"], ".own": ["things"]})
    with pytest.raises(
        CorpusError, match=r"'gone' .* does not exist; there are: 'other', 'things'"
    ):
        ElasticsearchRetriever(url=url, collection="gone")
    for options, said in (
        ({"text_field": "body"}, r"no field 'body'; its fields are: name, .*text_field="),
        ({"text_field": "name"}, r"'name' is of type 'keyword'; expected .*model="),
        ({"text_field": "short"}, r"'short' is of type 'match_only_text'; expected"),
        ({"text_field": "title"}, r"the record '1' has no 'title'; .*text_field="),
        ({"id_field": "key"}, r"no field 'key'; .*id_field="),
        ({"id_field": "title"}, r"'title' is of type 'text'; expected .*'title.keyword'"),
        ({"model": hash_model()}, r"vector_field=None; expected .*dense_vector: none"),
    ):
        with pytest.raises(CorpusError, match=said):
            retriever(url, **options)
    engine.indexes["things"].documents[2][1]["text"] = ["two", "texts"]
    with pytest.raises(CorpusError, match=r"the record '3' has \['two', 'texts'\] as 'text'"):
        retriever(url)
    assert engine.views == {}


def test_fields_of_vectors_that_cannot_be_used(serve: Serve) -> None:
    index = dense()
    url, _ = serve(index)
    with pytest.raises(CorpusError, match=r"vector_field='other'; expected .*: 'vector'"):
        retriever(url, model=hash_model(), vector_field="other")
    small = CallableEncoder(lambda texts: np.ones((len(texts), 3)), name="small")
    with pytest.raises(ModelError, match="gives vectors of 3 dimensions, and the index 'things'"):
        retriever(url, model=small).prepare()
    for changed, said in (
        ({"element_type": "byte"}, "holds vectors of byte compared by cosine"),
        ({"index": False}, "'vector' has no index; expected"),
        ({"dims": None}, "'vector' has no vector yet; expected"),
    ):
        about = {**dense().properties["vector"], **changed}
        index.properties["vector"] = {k: v for k, v in about.items() if v is not None}
        with pytest.raises(CorpusError, match=said):
            retriever(url, model=hash_model())
    index.properties["vector"] = dense().properties["vector"]
    index.properties["second"] = index.properties["vector"]
    with pytest.raises(CorpusError, match=r"vector_field=None; .*: 'second', 'vector'"):
        retriever(url, model=hash_model())
    retriever(url, model=hash_model(), vector_field="vector").prepare()


def test_an_alias(serve: Serve) -> None:
    """Of one index; and of two that do not agree, which are refused before anything is read."""
    url, engine = serve(lexical(), aliases={"one": ["things"], "two": ["things", "more"]})
    own = ElasticsearchRetriever(url=url, collection="one", top_k=3)
    score, eligible = by_words()
    queries = make_queries(own.corpus, ASKED, FOUND)
    check_retriever(own, queries, score=score, eligible=eligible)
    engine.indexes["more"] = Index({"text": {"type": "keyword"}}, [])
    with pytest.raises(CorpusError, match="'text' is of type 'of several types'"):
        ElasticsearchRetriever(url=url, collection="two")
    engine.indexes["more"] = Index({}, [])
    with pytest.raises(CorpusError, match="no field 'text'; its fields are: none"):
        ElasticsearchRetriever(url=url, collection="two")


def test_fields_inside_of_objects_and_by_another_name() -> None:
    body = {"type": "text", "fields": {"raw": {"type": "keyword"}}}
    properties = {
        "page": {"properties": {"body": body}},
        "short": {"type": "alias", "path": "page.body"},
    }
    found = elasticsearch_store.common_fields({"a": {"mappings": {"properties": properties}}})
    kinds = {name: about["type"] for name, about in found.items()}
    assert kinds == {"page.body": "text", "page.body.raw": "keyword", "short": "text"}


def test_an_empty_index(serve: Serve) -> None:
    url, _ = serve(lexical([]))
    with pytest.raises(CorpusError, match=r"'things' of .*: the corpus holds no documents"):
        retriever(url)


def test_ids_that_do_not_fit(serve: Serve) -> None:
    index = lexical(["one fox", "two fox"])
    url, _ = serve(index)
    strange = retriever(url, corpus=Corpus({"a": "one fox", "b": "two fox"}))
    with pytest.raises(CorpusError, match="holds none of the first 2 documents"):
        strange.prepare()
    part = retriever(url, corpus=Corpus({"1": "one fox"}))
    part.prepare()
    with pytest.raises(CorpusError, match="finds the document '2', which is not in the corpus"):
        part.retrieve(make_queries(part.corpus, ["fox"], [[]]))
    index.documents[1][1]["name"] = "d01"
    with pytest.raises(CorpusError, match="1 ids stand more than once"):
        retriever(url, id_field="name")
    corpus = Corpus({"d01": "one fox", "d02": "two fox"})
    with pytest.raises(CorpusError, match="holds the document 'd01' more than once"):
        retriever(url, corpus=corpus, id_field="name").retrieve(make_queries(corpus, ["fox"], [[]]))


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0}, {"retries": -1}, {"top_k": 0}, {"top_k": 10_001}, {"url": "localhost:9200"},
        {"url": "http://localhost"}, {"url": "http://localhost:many"}, {"url": 3},
        {"collection": ""}, {"exact": "yes"}, {"exact": True}, {"num_candidates": 5},
        {"num_candidates": 0, "model": hash_model()},
        {"num_candidates": 10_001, "model": hash_model()}, {"vector_field": "vector"},
        {"query_prompt": "query: "}, {"normalize": False},
        {"url": f"http://me:{SECRET}@localhost:1"},
    ],
)  # fmt: skip
def test_parameters_out_of_range(options: dict[str, Any]) -> None:
    values = {"url": "http://127.0.0.1:1", "collection": "things", **options}
    with pytest.raises(HardNegError, match=next(iter(options))) as caught:
        ElasticsearchRetriever(**values)
    assert SECRET not in str(caught.value)


def test_the_package_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "elasticsearch", None)
    elasticsearch_store_answers.package.cache_clear()
    with pytest.raises(MissingExtraError, match=r"hf-hardneg\[elasticsearch\]"):
        retriever("http://127.0.0.1:1")


# -- servers ---------------------------------------------------------------------------------


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", SECRET)
    url = f"http://127.0.0.1:{closed_port()}"
    started = time.monotonic()
    with pytest.raises(CorpusError) as caught:
        retriever(url, timeout=1.5)
    assert time.monotonic() - started < 2.5
    said = str(caught.value)
    assert f"'things' of the Elasticsearch server at {url!r} gave no answer: asked 3 times" in said
    assert "timeout=1.5, retries=3" in said
    assert "Check the address and that the server runs" in said
    assert SECRET not in said
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_server_that_hangs(serve: Serve) -> None:
    done = threading.Event()
    url, _ = serve(instead=lambda *_: done.wait(5) and None)
    started = time.monotonic()
    with pytest.raises(CorpusError, match=r"asked 1 times in 1\.\d seconds .*timed? ?out"):
        retriever(url, timeout=1.0)
    assert time.monotonic() - started < 2
    done.set()


def error(status: int, kind: str, reason: str) -> tuple[int, object]:
    cause = {"type": kind, "reason": reason}
    return status, {"error": {"root_cause": [cause], **cause}, "status": status}


@pytest.mark.parametrize(
    ("answer", "asked", "said"),
    [
        (error(401, "security_exception", "no"), 1,
         r"access is refused \(HTTP 401\)\. .*ELASTICSEARCH_API_KEY: the one that is set"),
        (error(400, "strange_exception", f"with {SECRET}"), 1, r"HTTP 400 strange.*\*\*\*"),
        (error(503, "unavailable", "later"), 3, r"asked 3 times .*HTTP 503 unavailable: later"),
        (error(429, "too_many", "later"), 3, r"asked 3 times .*HTTP 429 too_many"),
        (error(404, "security_exception", "hidden"), 1, r"HTTP 404 security_exception: hidden"),
        (error(400, "media_type_header_exception", "Accept version must be 8"), 1,
         r"client package 'elasticsearch' is of version [89].*server's main version"),
        ((200, {"things": 3}), 1, "the answer is not one of Elasticsearch"),
        ((200, [1, 2]), 1, "the answer is not one of Elasticsearch"),
        ((500, "no JSON object"), 3, r"asked 3 times .*HTTP 500 no JSON object"),
    ],
)  # fmt: skip
def test_answers_of_a_server(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, object], asked: int, said: str
) -> None:
    """Only what may pass is asked again, and the key goes to the server and nowhere else."""
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", SECRET)
    url, engine = serve(instead=lambda *_: answer)
    with pytest.raises(CorpusError, match=said) as caught:
        retriever(url, retries=2)
    assert len(engine.asked) == asked
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("product", [None, "OpenSearch"])
def test_another_product(serve: Serve, product: str | None) -> None:
    url, _ = serve(product=product)
    with pytest.raises(CorpusError, match=r"does not say that it is Elasticsearch.*OpenSearch"):
        retriever(url)


def test_a_key(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    url, _ = serve(key=SECRET)
    with pytest.raises(CorpusError, match="ELASTICSEARCH_API_KEY: none is set"):
        retriever(url)
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", SECRET)
    own = retriever(url)
    own.prepare()
    for text in (repr(own), own.expression(), str(own.parameters()), str(pickle.dumps(own))):
        assert SECRET not in text


def test_a_certificate_that_is_not_trusted(serve: Serve) -> None:
    url, _ = serve()
    with pytest.raises(CorpusError, match=r"TLS error.*SSL_CERT_FILE"):
        retriever(url.replace("http://", "https://"))


def test_the_list_of_indexes_may_be_refused(serve: Serve) -> None:
    def refuse(method: str, path: str) -> tuple[int, object] | None:
        return error(403, "security_exception", "no") if path == "/_alias" else None

    url, _ = serve(instead=refuse)
    with pytest.raises(CorpusError, match=r"'gone' .* does not exist; there are: unknown"):
        ElasticsearchRetriever(url=url, collection="gone")


FAILURE = {"shard": 0, "reason": {"type": "breaking_exception", "reason": "Data too large"}}
SHARDS = {"total": 2, "successful": 1, "failed": 1, "failures": [FAILURE]}


@pytest.mark.parametrize(
    ("one", "said"),
    [
        ({"timed_out": False, "_shards": SHARDS, "hits": {"hits": []}, "status": 200},
         r"asked 2 times .*breaking_exception: Data too large"),
        ({"timed_out": True, "_shards": {"failed": 0}, "hits": {"hits": []}, "status": 200},
         r"asked 2 times .*timed_out"),
        (error(429, "rejected_execution", "queue")[1], r"asked 2 times .*HTTP 429 rejected_exec"),
        (error(400, "too_many_clauses", "maxClauseCount")[1], "HTTP 400 too_many_clauses: maxCl"),
    ],
)  # fmt: skip
def test_an_answer_with_a_part_missing(serve: Serve, one: dict[str, Any], said: str) -> None:
    """What some shards did not answer is never left out in silence."""
    url, engine = serve()
    own = retriever(url, retries=1)
    engine.instead = lambda method, path: (
        (200, {"took": 1, "responses": [one]}) if path.endswith("_msearch") else None
    )
    with pytest.raises(CorpusError, match=said):
        own.retrieve(make_queries(own.corpus, ["fox"], [[]]))


def test_trouble_that_passes(serve: Serve) -> None:
    """At every kind of request once."""
    failed: set[tuple[str, str]] = set()

    def first_fails(method: str, path: str) -> tuple[int, object] | None:
        if (method, path) in failed or method == "DELETE":
            return None
        failed.add((method, path))
        return error(503, "unavailable", "later")

    url, engine = serve(instead=first_fails)
    own = retriever(url, timeout=5.0)
    queries = make_queries(own.corpus, ASKED, FOUND)
    found = own.retrieve(queries)
    engine.instead = lambda *_: None
    np.testing.assert_array_equal(found.rows, own.retrieve(queries).rows)
    assert len(failed) == 4


# -- mining ----------------------------------------------------------------------------------


def test_a_strategy_string_mines_from_the_index_alone(serve: Serve) -> None:
    url, _ = serve(dense())
    rows = Dataset.from_dict({"query": QUERIES, "positive": DOCUMENTS[: len(QUERIES)]})
    options = {"url": url, "collection": "things", "model": hash_model()}
    miner = OfflineMiner("elasticsearch@20", num_negatives=2, **options)
    mined = miner.mine(rows)
    exact = OfflineMiner("dense@20", corpus=DOCUMENTS, num_negatives=2, model=hash_model())
    assert mined["hard_negatives"][:] == exact.mine(rows)["hard_negatives"][:]
    assert str(miner.strategy).startswith(f"elasticsearch@20(url={url!r}, collection='things'")
    assert miner.recipe()["models"]["elasticsearch"]["weights"] == hash_model().fingerprint()


def test_words_are_mined_in_several_processes(serve: Serve) -> None:
    url, _ = serve(lexical())
    rows = Dataset.from_dict({"query": ASKED[:3], "positive": TEXTS[:3]})
    miner = OfflineMiner("elasticsearch@20", num_negatives=2, url=url, collection="things")
    one = miner.mine(rows)
    two = miner.mine(rows, num_proc=2, resume=False)
    assert one["hard_negatives"][:] == two["hard_negatives"][:]
    assert miner.recipe()["models"] == {}
    assert str(miner.strategy) == f"elasticsearch@20(url={url!r}, collection='things')"


def test_with_another_retriever(serve: Serve) -> None:
    url, _ = serve(lexical())
    strategy = f"elasticsearch@5(url={url!r}, collection='things'),random@5"
    rows = Dataset.from_dict({"query": ASKED[:3], "positive": TEXTS[:3]})
    index = lexical()
    corpus = {name: values["text"] for name, values in index.documents}
    mined = OfflineMiner(strategy, corpus=corpus, num_negatives=2).mine(rows)
    assert len(mined) == 3
