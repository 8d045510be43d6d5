"""A Milvus collection, by Milvus Lite: scores by value, and every way it can fail."""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
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
)

from hf_hardneg import OfflineMiner
from hf_hardneg.corpus import Corpus
from hf_hardneg.encoders import CallableEncoder
from hf_hardneg.errors import CorpusError, HardNegError, MissingExtraError, ModelError, PoolError
from hf_hardneg.retrievers import milvus_store
from hf_hardneg.retrievers.milvus import MilvusRetriever
from hf_hardneg.testing import check_retriever, make_queries

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")

from milvus_lite.server_manager import server_manager_instance
from pymilvus import DataType, MilvusClient

SIMILARITY = {"COSINE": "cosine", "IP": "dot", "L2": "euclidean"}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "milvus.db")
    yield path
    server_manager_instance.release_server(path)


def record(number: int, text: str, **values: Any) -> dict[str, Any]:
    return {"key": number, "text": text, "name": f"d{number}", "vector": raw([text])[0].tolist(),
            "free": f"f{number}", "number": number, **values}  # fmt: skip


def fill(
    file: str,
    metric: str = "COSINE",
    records: list[dict[str, Any]] | None = None,
    *,
    index: str = "FLAT",
    key: DataType = DataType.INT64,
) -> None:
    client = MilvusClient(file)
    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    length = {"max_length": 50} if key == DataType.VARCHAR else {}
    schema.add_field("key", key, is_primary=True, **length)
    schema.add_field("text", DataType.VARCHAR, max_length=200)
    schema.add_field("name", DataType.VARCHAR, max_length=50)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSION)
    params = client.prepare_index_params()
    params.add_index("vector", index_type=index, metric_type=metric)
    client.create_collection("things", schema=schema, index_params=params)
    if records is None:
        records = [record(number + 1, text) for number, text in enumerate(DOCUMENTS)]
    if records:
        client.insert("things", records)
    client.close()


def retriever(file: str, **options: Any) -> MilvusRetriever:
    values = {"model": hash_model(), "top_k": 20, **options}
    return MilvusRetriever(url=file, collection="things", **values)


# -- by value --------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", SIMILARITY)
@pytest.mark.parametrize("top_k", [1, 20, 70])
def test_equals_brute_force(file: str, metric: str, top_k: int) -> None:
    fill(file, metric)
    similarity = SIMILARITY[metric]
    own = retriever(file, top_k=top_k, model=hash_model(similarity))
    assert own.corpus.texts(range(len(DOCUMENTS))) == DOCUMENTS
    assert own.corpus.ids([0, 1]) == ["1", "2"]
    check_retriever(
        own, make_queries(own.corpus, QUERIES, POSITIVES), score=by_brute_force(similarity)
    )


@pytest.mark.parametrize(("field", "first"), [("name", "d1"), ("free", "f1"), ("number", "1")])
def test_a_field_with_ids(file: str, field: str, first: str) -> None:
    """Of the schema, or one that records have beyond it."""
    fill(file)
    own = retriever(file, id_field=field, vector_name="vector")
    assert own.corpus.ids([0]) == [first]
    queries = make_queries(own.corpus, QUERIES, POSITIVES)
    check_retriever(own, queries, score=by_brute_force("cosine"))


def test_keys_that_are_texts(file: str) -> None:
    keys = ['a "quoted" one', "back\\slash", "größer", "7"]
    records = [record(0, f"text {key}", key=key) for key in keys]
    fill(file, records=records, key=DataType.VARCHAR)
    own = retriever(file, top_k=2)
    assert sorted(own.corpus.ids(range(4))) == sorted(keys)
    queries = make_queries(own.corpus, ["a"], [[f"text {key}" for key in keys]])
    check_retriever(own, queries, score=by_brute_force("cosine"))


def test_ties_are_broken_by_the_lower_row(file: str) -> None:
    """More equal documents than are asked for at once."""
    texts = ["same"] * 60 + [f"other {number}" for number in range(5)]
    fill(file, records=[record(number, text) for number, text in enumerate(texts)])
    own = retriever(file, top_k=3)
    queries = make_queries(own.corpus, ["same", "other 2"], [["other 1"], ["same"]])
    assert own.retrieve(queries).rows[0].tolist() == [0, 1, 2]
    check_retriever(own, queries, score=by_brute_force("cosine"))


def test_a_corpus_that_is_there_already(file: str) -> None:
    """Its order decides the rows, and documents without a record are scored by their texts."""
    fill(file)
    ids = {f"d{number + 1}": text for number, text in enumerate(DOCUMENTS)}
    corpus = Corpus({"x1": "not in the collection", **dict(reversed(ids.items()))})
    own = retriever(file, corpus=corpus, id_field="name")
    queries = make_queries(corpus, QUERIES, [["not in the collection"]] * len(QUERIES))
    check_retriever(own, queries)
    found, score = own.retrieve(queries), by_brute_force("cosine")
    assert found.rows.min() > 0
    for line, query in enumerate(QUERIES):
        wanted = [score(query, text) for text in corpus.texts(found.rows[line])]
        np.testing.assert_allclose(found.scores[line], wanted, atol=1e-5)
        wanted = score(query, "not in the collection")
        np.testing.assert_allclose(found.positive_scores[line], wanted, atol=1e-5)


@pytest.mark.parametrize("index", ["IVF_FLAT", "HNSW"])
def test_an_approximate_index(file: str, index: str) -> None:
    fill(file, index=index)
    own = retriever(file)
    check_retriever(own, make_queries(own.corpus, QUERIES, POSITIVES))


def test_pages_of_a_larger_collection(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus_store, "PAGE", 7)
    fill(file)
    own = retriever(file)
    assert own.corpus.texts(range(len(own.corpus))) == DOCUMENTS


def test_queries_are_encoded_once(file: str) -> None:
    fill(file)
    asked: list[str] = []

    def count(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return raw(texts)

    own = retriever(file, model=CallableEncoder(count, name="counted"))
    own.prepare()
    own.prepare_queries(QUERIES)
    before = list(asked)
    queries = make_queries(own.corpus, QUERIES, [[DOCUMENTS[3]]] * len(QUERIES))
    own.retrieve(queries)
    pickle.loads(pickle.dumps(own)).retrieve(queries)
    assert asked == before


def test_lengths_where_the_collection_compares_by_inner_product(file: str) -> None:
    fill(file, "IP")
    with pytest.raises(PoolError, match=r"have a mean length of .*normalize=False"):
        retriever(file).prepare()
    own = retriever(file, normalize=False)
    own.prepare()
    queries = make_queries(own.corpus, QUERIES, POSITIVES)
    check_retriever(own, queries, score=by_brute_force("dot"))


# -- refused ---------------------------------------------------------------------------------


def test_collections_that_cannot_be_used(file: str, caplog: pytest.LogCaptureFixture) -> None:
    fill(file)
    with pytest.raises(CorpusError, match=r"'other' .* does not exist; there are: 'things'"):
        MilvusRetriever(url=file, collection="other", model=hash_model())
    with pytest.raises(CorpusError, match=r"vector_name='dense'; expected one of .*: 'vector'"):
        retriever(file, vector_name="dense")
    with pytest.raises(CorpusError, match=r"the record 1 has no 'body'; .*text_field="):
        retriever(file, text_field="body")
    with pytest.raises(CorpusError, match=r"the record 1 has 1 as 'number'; .*text_field="):
        retriever(file, text_field="number")
    with pytest.raises(CorpusError, match=r"the record 1 has no 'lost'; .*id_field="):
        retriever(file, id_field="lost")
    with pytest.raises(CorpusError, match=r"there is no such file; expected .*'.db'"):
        retriever(file + "x")
    small = CallableEncoder(lambda texts: np.ones((len(texts), 3)), name="small")
    with pytest.raises(ModelError, match="gives vectors of 3 dimensions, and the collection"):
        retriever(file, model=small).prepare()
    assert "Traceback" not in caplog.text


def test_a_field_that_the_schema_has_not(file: str) -> None:
    client = MilvusClient(file)
    client.create_collection(
        "things", DIMENSION, primary_field_name="key", enable_dynamic_field=False
    )
    with pytest.raises(CorpusError, match="no field 'text'; its fields are: key, vector"):
        retriever(file)


def test_an_empty_collection(file: str) -> None:
    fill(file, records=[])
    with pytest.raises(CorpusError, match=r"'things' of .*: the corpus holds no documents"):
        retriever(file)


def test_ids_that_do_not_fit(file: str) -> None:
    fill(file, records=[record(1, "one"), record(2, "two", name="d1")])
    with pytest.raises(CorpusError, match="1 ids stand more than once"):
        retriever(file, id_field="name")
    corpus = Corpus({"d1": "one", "d2": "two"})
    with pytest.raises(CorpusError, match="holds the document 'd1' more than once"):
        retriever(file, corpus=corpus, id_field="name").retrieve(make_queries(corpus, ["a"], [[]]))
    with pytest.raises(CorpusError, match="holds none of the first 2 documents"):
        retriever(file, corpus=Corpus({"a": "one", "b": "two"})).prepare()
    part = retriever(file, corpus=Corpus({"1": "one"}))
    part.prepare()
    with pytest.raises(CorpusError, match="finds the document '2', which is not in the corpus"):
        part.retrieve(make_queries(part.corpus, ["a"], [[]]))


@pytest.mark.parametrize("options", [{"timeout": 0}, {"retries": -1}, {"url": ""}])
def test_parameters_out_of_range(options: dict[str, Any]) -> None:
    values = {"url": "x", "collection": "things", "model": hash_model(), **options}
    with pytest.raises(HardNegError, match=next(iter(options))):
        MilvusRetriever(**values)


@pytest.mark.parametrize("name", ["pymilvus", "milvus_lite"])
def test_the_packages_are_optional(file: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    fill(file)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"hf-hardneg\[milvus\]"):
        retriever(file)


# -- servers ---------------------------------------------------------------------------------


def test_a_server_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MILVUS_TOKEN", SECRET)
    url = f"http://127.0.0.1:{closed_port()}"
    started = time.monotonic()
    with pytest.raises(CorpusError) as caught:
        retriever(url, timeout=1.5)
    assert time.monotonic() - started < 2.5
    said = str(caught.value)
    assert f"'things' of the Milvus server at {url!r} gave no answer: asked 3 times in" in said
    assert "timeout=1.5, retries=3" in said
    assert SECRET not in said + caplog.text
    assert "Traceback" not in caplog.text
    assert caught.value.__suppress_context__


def test_a_server_that_goes_away(file: str, caplog: pytest.LogCaptureFixture) -> None:
    fill(file)
    url = server_manager_instance.start_and_get_uri(file)
    own = retriever(url, timeout=1.5)
    queries = make_queries(own.corpus, QUERIES, POSITIVES)
    before = own.retrieve(queries)
    server_manager_instance.release_server(file)
    started = time.monotonic()
    with pytest.raises(CorpusError, match=r"gave no answer: asked \d times in .* seconds"):
        own.retrieve(make_queries(own.corpus, ["fresh"], [[]]))
    assert time.monotonic() - started < 4
    assert "Traceback" not in caplog.text
    again = retriever(file, corpus=own.corpus)
    np.testing.assert_array_equal(again.retrieve(queries).rows, before.rows)


def test_a_forked_process_is_refused(file: str) -> None:
    """There gRPC would wait for ever."""
    fill(file)
    own = retriever(file)
    rows = Dataset.from_dict({"query": QUERIES, "positive": DOCUMENTS[: len(QUERIES)]})
    miner = OfflineMiner(own, num_negatives=2)
    assert len(miner.mine(rows)) == len(QUERIES)
    with pytest.raises(CorpusError, match=r"does not work in a worker process.*num_proc=None"):
        OfflineMiner(own, num_negatives=3).mine(rows, num_proc=2, resume=False)


def test_no_secret_in_the_recipe(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(file)
    monkeypatch.setenv("MILVUS_TOKEN", SECRET)
    own = retriever(file)
    own.prepare()
    for text in (repr(own), own.expression(), str(own.parameters()), str(pickle.dumps(own))):
        assert SECRET not in text
