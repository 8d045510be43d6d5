"""Corpora by address: what an address says, and mining from one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from datasets import Dataset
from store_cases import DOCUMENTS, POSITIVES, QUERIES, hash_model, raw, unit

from hf_hardneg import FaissRetriever, OfflineMiner
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import CorpusError, ParameterError
from hf_hardneg.locations import SCHEMES, is_location, location_of
from hf_hardneg.registry import registered


def pairs() -> Dataset:
    judged = [(query, texts) for query, texts in zip(QUERIES, POSITIVES, strict=True) if texts]
    return Dataset.from_list([{"query": query, "positive": texts} for query, texts in judged])


@pytest.mark.parametrize(
    ("url", "retriever", "options"),
    [
        ("qdrant://localhost:6333/articles", "qdrant",
         {"url": "http://localhost:6333", "collection": "articles"}),
        ("qdrant+https://db.example/articles?text_field=body&timeout=5", "qdrant",
         {"url": "https://db.example", "collection": "articles", "text_field": "body",
          "timeout": 5}),
        ("qdrant:///data/my%20folder/articles", "qdrant",
         {"url": "/data/my folder", "collection": "articles"}),
        ("milvus://localhost:19530/a/", "milvus",
         {"url": "http://localhost:19530", "collection": "a"}),
        ("milvus:///data/store.db/a?id_field=7", "milvus",
         {"url": "/data/store.db", "collection": "a", "id_field": "7"}),
        ("weaviate://localhost:8080/Articles?grpc_port=50052", "weaviate",
         {"url": "http://localhost:8080", "collection": "Articles", "grpc_port": 50052}),
        ("elasticsearch+https://search.example:9200/articles", "elasticsearch",
         {"url": "https://search.example:9200", "collection": "articles"}),
        ("faiss:///data/a.index?corpus=docs.jsonl&nprobe=8", "faiss",
         {"index": "/data/a.index", "corpus": "docs.jsonl", "nprobe": "8"}),
    ],
)  # fmt: skip
def test_what_an_address_says(url: str, retriever: str, options: dict[str, Any]) -> None:
    found = location_of(url)
    assert (found.retriever, found.options) == (retriever, options)


def test_every_scheme_is_a_retriever() -> None:
    assert set(SCHEMES) <= set(registered().retrievers)


@pytest.mark.parametrize(
    "source", ["docs.jsonl", "http://host/x", "org/name", None, 3, ["qdrant://a/b"], "qdrant"]
)
def test_what_is_no_address(source: object) -> None:
    assert not is_location(source)


@pytest.mark.parametrize(
    ("url", "kind", "said"),
    [
        ("qdrant://localhost:6333", CorpusError, "names no collection"),
        ("qdrant:///articles", CorpusError, "names no collection"),
        ("faiss://", CorpusError, "names no index"),
        ("qdrant://me:secret@host/articles", ParameterError, "Keys come from the environment"),
        ("qdrant://host/articles?text_feild=a", ParameterError, "Did you mean 'text_field'"),
        ("qdrant://host/articles?collection=b", ParameterError, "sets 'collection'"),
    ],
)
def test_addresses_that_are_refused(url: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said) as caught:
        OfflineMiner("bm25", corpus=url)
    assert "secret" not in str(caught.value)


@pytest.fixture
def qdrant(tmp_path: Path) -> str:
    client = pytest.importorskip("qdrant_client")
    models = client.models
    store = client.QdrantClient(path=str(tmp_path / "store"))
    store.create_collection(
        "things", models.VectorParams(size=raw(["a"]).shape[1], distance=models.Distance.COSINE)
    )
    store.upsert("things", [
        models.PointStruct(id=number, vector=raw([text])[0].tolist(),
                           payload={"body": text, "name": f"d{number}"})
        for number, text in enumerate(DOCUMENTS)
    ])  # fmt: skip
    store.close()
    return f"qdrant://{tmp_path / 'store'}/things?text_field=body&id_field=name"


def test_the_documents_of_a_database_for_any_strategy(qdrant: str) -> None:
    there = OfflineMiner("bm25", corpus=qdrant, num_negatives=2)
    here = Corpus({f"d{number}": text for number, text in enumerate(DOCUMENTS)})
    assert there.corpus is not None
    assert there.corpus.fingerprint == here.fingerprint
    expected = OfflineMiner("bm25", corpus=here, num_negatives=2).mine(pairs()).to_list()
    assert there.mine(pairs()).to_list() == expected


def test_a_search_in_the_database_of_the_address(qdrant: str) -> None:
    folder = qdrant.removeprefix("qdrant://").partition("/things")[0]
    by_address = OfflineMiner("qdrant", corpus=qdrant, model=hash_model(), num_negatives=2)
    mined = by_address.mine(pairs()).to_list()
    assert f"url={folder!r}" in by_address.strategy
    del by_address
    told = OfflineMiner(
        "qdrant", model=hash_model(), url=folder, collection="things", text_field="body",
        id_field="name", num_negatives=2,
    )  # fmt: skip
    assert told.mine(pairs()).to_list() == mined


def test_words_and_vectors_of_one_database(qdrant: str) -> None:
    miner = OfflineMiner("bm25@5,qdrant@5", corpus=qdrant, model=hash_model(), num_negatives=2)
    mined = miner.mine(pairs())
    assert all(len(row) == 2 for row in mined["hard_negatives"])
    assert miner.strategy.startswith("bm25@5,qdrant@5(")


def test_what_the_strategy_says_goes_before_the_address(qdrant: str) -> None:
    with pytest.raises(CorpusError, match=r"'others' .*does not exist"):
        OfflineMiner("qdrant(collection='others')", corpus=qdrant, model=hash_model())


def test_a_faiss_index_by_address(tmp_path: Path) -> None:
    index = faiss.IndexFlatIP(raw(["a"]).shape[1])
    index.add(np.ascontiguousarray(unit(DOCUMENTS), dtype=np.float32))
    faiss.write_index(index, str(tmp_path / "a.index"))
    (tmp_path / "docs.csv").write_text(
        "id,text\n" + "".join(f'd{number},"{text}"\n' for number, text in enumerate(DOCUMENTS))
    )
    address = f"faiss://{tmp_path}/a.index"
    options: dict[str, Any] = {"model": hash_model(), "num_negatives": 2}
    mined = OfflineMiner("faiss", corpus=f"{address}?corpus={tmp_path}/docs.csv", **options)
    direct = FaissRetriever(
        Corpus(tmp_path / "docs.csv"), index=str(tmp_path / "a.index"), model=hash_model()
    )
    expected = OfflineMiner(direct, num_negatives=2).mine(pairs())
    assert mined.mine(pairs()).to_list() == expected.to_list()
    with pytest.raises(CorpusError, match=r"a\.index\?corpus=documents\.jsonl"):
        OfflineMiner("faiss", corpus=address, **options)
