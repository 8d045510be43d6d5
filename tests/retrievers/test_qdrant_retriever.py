"""A Qdrant collection, by Qdrant's local engine: scores by value, and every way it can fail."""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

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
from hf_hardneg.retrievers import qdrant_store
from hf_hardneg.retrievers.qdrant import QdrantRetriever
from hf_hardneg.testing import check_retriever, make_queries

pytest.importorskip("qdrant_client")

from qdrant_client import QdrantClient, models

SIMILARITY = {"Cosine": "cosine", "Dot": "dot", "Euclid": "euclidean"}


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "qdrant")


def point(number: int, text: str, **payload: Any) -> models.PointStruct:
    values = {"text": text, "name": f"d{number}", "number": number, **payload}
    return models.PointStruct(id=number, vector=raw([text])[0].tolist(), payload=values)


def fill(
    folder: str,
    distance: str = "Cosine",
    points: list[models.PointStruct] | None = None,
    *,
    name: str | None = None,
    dimension: int = DIMENSION,
    **options: Any,
) -> None:
    kind = models.VectorParams(size=dimension, distance=models.Distance(distance), **options)
    client = QdrantClient(path=folder)
    client.create_collection("things", kind if name is None else {name: kind})
    if points is None:
        points = [point(number + 1, text) for number, text in enumerate(DOCUMENTS)]
    if name is not None:
        points = [models.PointStruct(id=one.id, vector={name: one.vector}, payload=one.payload)
                  for one in points]  # fmt: skip
    if points:
        client.upsert("things", points)
    client.close()


def retriever(folder: str, **options: Any) -> QdrantRetriever:
    values = {"model": hash_model(), "top_k": 20, **options}
    return QdrantRetriever(url=folder, collection="things", **values)


# -- by value --------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", SIMILARITY)
@pytest.mark.parametrize("top_k", [1, 20, 70])
def test_equals_brute_force(folder: str, distance: str, top_k: int) -> None:
    fill(folder, distance)
    similarity = SIMILARITY[distance]
    own = retriever(folder, top_k=top_k, model=hash_model(similarity))
    assert own.corpus.texts(range(len(DOCUMENTS))) == DOCUMENTS
    assert own.corpus.ids([0, 1]) == ["1", "2"]
    check_retriever(
        own, make_queries(own.corpus, QUERIES, POSITIVES), score=by_brute_force(similarity)
    )


def test_a_named_vector_and_a_field_with_ids(folder: str) -> None:
    fill(folder, name="dense")
    for field, first in (("name", "d1"), ("number", "1")):
        own = retriever(folder, vector_name="dense", id_field=field)
        assert own.corpus.ids([0]) == [first]
        queries = make_queries(own.corpus, QUERIES, POSITIVES)
        check_retriever(own, queries, score=by_brute_force("cosine"))


def test_points_with_uuids(folder: str) -> None:
    names = [str(UUID(int=number * 2**64 + 5)) for number in range(9, 0, -1)]
    texts = [f"text {number}" for number in range(9)]
    points = [
        models.PointStruct(id=name, vector=raw([text])[0].tolist(), payload={"body": text})
        for name, text in zip(names, texts, strict=True)
    ]
    fill(folder, points=points)
    own = retriever(folder, text_field="body", top_k=2)
    assert own.corpus.ids(range(9)) == sorted(names)
    queries = make_queries(own.corpus, ["a"], [texts])
    check_retriever(own, queries, score=by_brute_force("cosine"))


def test_ties_are_broken_by_the_lower_row(folder: str) -> None:
    """More equal documents than are asked for at once."""
    texts = ["same"] * 60 + [f"other {number}" for number in range(5)]
    fill(folder, points=[point(number, text) for number, text in enumerate(texts)])
    own = retriever(folder, top_k=3)
    queries = make_queries(own.corpus, ["same", "other 2"], [["other 1"], ["same"]])
    found = own.retrieve(queries)
    assert found.rows[0].tolist() == [0, 1, 2]
    assert found.rows[1, 0] == 62
    check_retriever(own, queries)


def test_a_corpus_that_is_there_already(folder: str) -> None:
    """Its order decides the rows, and documents without a point are scored by their texts."""
    fill(folder)
    more = {"x1": "not in the collection"}
    ids = {f"d{number + 1}": text for number, text in enumerate(DOCUMENTS)}
    corpus = Corpus({**more, **dict(reversed(ids.items()))})
    own = retriever(folder, corpus=corpus, id_field="name")
    queries = make_queries(corpus, QUERIES, [["not in the collection"]] * len(QUERIES))
    check_retriever(own, queries)
    found = own.retrieve(queries)
    score = by_brute_force("cosine")
    assert found.rows.min() > 0
    for line, query in enumerate(QUERIES):
        wanted = [score(query, text) for text in corpus.texts(found.rows[line])]
        np.testing.assert_allclose(found.scores[line], wanted, atol=1e-5)
        wanted = score(query, "not in the collection")
        np.testing.assert_allclose(found.positive_scores[line], wanted, atol=1e-5)


def test_pages_of_a_larger_collection(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant_store, "PAGE", 7)
    fill(folder)
    own = retriever(folder)
    assert own.corpus.texts(range(len(own.corpus))) == DOCUMENTS


def test_queries_are_encoded_once(folder: str) -> None:
    fill(folder)
    asked: list[str] = []

    def count(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return raw(texts)

    own = retriever(folder, model=CallableEncoder(count, name="counted"))
    own.prepare()
    own.prepare_queries(QUERIES)
    before = list(asked)
    queries = make_queries(own.corpus, QUERIES, [[DOCUMENTS[3]]] * len(QUERIES))
    own.retrieve(queries)
    pickle.loads(pickle.dumps(own)).retrieve(queries)
    assert asked == before


def test_lengths_where_the_collection_compares_by_inner_product(folder: str) -> None:
    fill(folder, "Dot")
    with pytest.raises(PoolError, match=r"have a mean length of .*normalize=False"):
        retriever(folder).prepare()
    own = retriever(folder, normalize=False)
    own.prepare()
    queries = make_queries(own.corpus, QUERIES, POSITIVES)
    check_retriever(own, queries, score=by_brute_force("dot"))


# -- refused ---------------------------------------------------------------------------------


def test_collections_that_cannot_be_used(folder: str) -> None:
    fill(folder)
    with pytest.raises(CorpusError, match=r"'other' .* does not exist; there are: 'things'"):
        QdrantRetriever(url=folder, collection="other", model=hash_model())
    with pytest.raises(CorpusError, match="no vector named 'dense'"):
        retriever(folder, vector_name="dense")
    with pytest.raises(
        CorpusError, match="the record 1 has no 'body'; its fields are: name, number, text"
    ):
        retriever(folder, text_field="body")
    with pytest.raises(CorpusError, match=r"the record 1 has 1 as 'number'; .*text_field="):
        retriever(folder, text_field="number")
    with pytest.raises(CorpusError, match=r"the record 1 has no 'key'; .*id_field="):
        retriever(folder, id_field="key")
    with pytest.raises(CorpusError, match="no such folder of Qdrant's local engine"):
        retriever(folder + "-elsewhere")
    small = CallableEncoder(lambda texts: np.ones((len(texts), 3)), name="small")
    with pytest.raises(ModelError, match="gives vectors of 3 dimensions, and the collection"):
        retriever(folder, model=small).prepare()


def test_a_named_vector_must_be_chosen(folder: str) -> None:
    fill(folder, name="dense")
    with pytest.raises(CorpusError, match="no vector named None; its vectors are: 'dense'"):
        retriever(folder)


def test_an_empty_collection_and_one_by_another_distance(tmp_path: Path) -> None:
    fill(str(tmp_path / "a"), points=[])
    with pytest.raises(CorpusError, match=r"'things' of .*: the corpus holds no documents"):
        retriever(str(tmp_path / "a"))
    fill(str(tmp_path / "b"), "Manhattan")
    with pytest.raises(CorpusError, match="compares by Manhattan"):
        retriever(str(tmp_path / "b"))


def test_ids_that_do_not_fit(folder: str) -> None:
    fill(folder, points=[point(1, "one"), point(2, "two", name="d1")])
    with pytest.raises(CorpusError, match="1 ids stand more than once"):
        retriever(folder, id_field="name")
    corpus = Corpus({"d1": "one", "d2": "two"})
    twice = retriever(folder, corpus=corpus, id_field="name")
    with pytest.raises(CorpusError, match="holds the document 'd1' more than once"):
        twice.retrieve(make_queries(corpus, ["a"], [[]]))
    strange = retriever(folder, corpus=Corpus({"a": "one", "b": "two"}))
    with pytest.raises(CorpusError, match="holds none of the first 2 documents"):
        strange.prepare()
    part = retriever(folder, corpus=Corpus({"1": "one"}))
    part.prepare()
    with pytest.raises(CorpusError, match="finds the document '2', which is not in the corpus"):
        part.retrieve(make_queries(part.corpus, ["a"], [[]]))


# The client leaves its lock file open when it cannot lock it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_folder_that_is_open_elsewhere(folder: str) -> None:
    fill(folder)
    other = QdrantClient(path=folder)
    with pytest.raises(CorpusError, match=r"the folder is open elsewhere.*num_proc=None"):
        retriever(folder)
    other.close()
    retriever(folder).prepare()


@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"retries": -1}, {"top_k": 0}, {"url": ""}, {"url": 3}, {"collection": ""}],
)
def test_parameters_out_of_range(options: dict[str, Any]) -> None:
    values = {"url": "x", "collection": "things", "model": hash_model(), **options}
    with pytest.raises(HardNegError, match=next(iter(options))):
        QdrantRetriever(**values)


@pytest.mark.parametrize(
    "url", [f"http://me:{SECRET}@localhost:1", f"http://localhost:1?api_key={SECRET}"]
)
def test_no_secret_in_the_address(url: str) -> None:
    with pytest.raises(HardNegError, match="holds a user name, a password or a query") as caught:
        QdrantRetriever(url=url, collection="things", model=hash_model())
    assert SECRET not in str(caught.value)


def test_the_package_is_optional(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "qdrant_client", None)
    qdrant_store._package.cache_clear()
    with pytest.raises(MissingExtraError, match=r"qdrant-client.*hf-hardneg\[qdrant\]"):
        retriever(folder)


# -- servers ---------------------------------------------------------------------------------


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", SECRET)
    url = f"https://127.0.0.1:{closed_port()}"
    started = time.monotonic()
    with pytest.raises(CorpusError) as caught:
        retriever(url, timeout=1.5)
    assert time.monotonic() - started < 2.5
    said = str(caught.value)
    assert f"'things' of the Qdrant server at {url!r} gave no answer: asked 3 times in" in said
    assert "timeout=1.5, retries=3" in said
    assert "Check the address and that the server runs" in said
    assert SECRET not in said
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """A server on a port of this machine that answers as it is told."""
    servers: list[HTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def reply(handler: BaseHTTPRequestHandler, status: int, body: object) -> None:
    content = json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
@pytest.mark.parametrize(
    ("status", "asked", "said"),
    [
        (401, 1, r"access is refused \(HTTP 401\)\. .*QDRANT_API_KEY: the one that is set"),
        (400, 1, r"HTTP 400 Bad Request: .*\*\*\*"),
        (503, 3, r"gave no answer: asked 3 times .*HTTP 503 Service Unavailable"),
        (200, 1, "the answer is not one of Qdrant"),
    ],
)
def test_answers_of_a_server(
    serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch, status: int, asked: int,
    said: str,
) -> None:  # fmt: skip
    """Only what may pass is asked again, and the key goes to the server and nowhere else."""
    monkeypatch.setenv("QDRANT_API_KEY", SECRET)
    keys: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        keys.append(handler.headers["api-key"])
        reply(handler, status, {"error": f"with {SECRET}"})

    with pytest.raises(CorpusError, match=said) as caught:
        retriever(serve(answer), retries=2)
    assert keys == [SECRET] * asked
    assert SECRET not in str(caught.value)


def test_a_server_that_hangs(serve: Callable[[Answer], str]) -> None:
    done = threading.Event()
    url = serve(lambda _: done.wait(5) and None)
    started = time.monotonic()
    with pytest.raises(CorpusError, match=r"asked 1 times in 1\.\d seconds .*ReadTimeout"):
        retriever(url, timeout=1.0)
    assert time.monotonic() - started < 2
    done.set()


def rest(client: QdrantClient) -> Answer:
    """Answer what the retriever asks a server as the local engine does, in Qdrant's JSON."""

    def result(path: str, body: Any) -> Any:
        if path.endswith("/exists"):
            return {"exists": client.collection_exists("things")}
        if path.endswith("/things"):
            return client.get_collection("things")
        if path.endswith("/scroll"):
            asked = models.ScrollRequest(**body)
            points, offset = client.scroll(
                "things", asked.filter, asked.limit, None, asked.offset, asked.with_payload,
                asked.with_vector,
            )  # fmt: skip
            return {"points": points, "next_page_offset": offset}
        if path.endswith("/query/batch"):
            return client.query_batch_points("things", models.QueryRequestBatch(**body).searches)
        assert path.endswith("/points"), path
        asked = models.PointRequest(**body)
        return client.retrieve("things", asked.ids, asked.with_payload, asked.with_vector)

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        if isinstance(value, dict):
            return {name: plain(one) for name, one in value.items()}
        return value.model_dump(mode="json") if hasattr(value, "model_dump") else value

    def answer(handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers["Content-Length"] or 0)
        body = json.loads(handler.rfile.read(length)) if length else None
        path = handler.path.partition("?")[0]
        reply(handler, 200, {"result": plain(result(path, body)), "status": "ok", "time": 0.0})

    return answer


@pytest.mark.parametrize("field", [None, "name"])
def test_the_same_by_http(folder: str, serve: Callable[[Answer], str], field: str | None) -> None:
    fill(folder)
    client = QdrantClient(path=folder, force_disable_check_same_thread=True)
    own = retriever(serve(rest(client)), id_field=field)
    queries = make_queries(own.corpus, QUERIES, POSITIVES)
    check_retriever(own, queries, score=by_brute_force("cosine"))
    found = own.retrieve(queries)
    client.close()
    again = retriever(folder, id_field=field)
    assert again.corpus.fingerprint == own.corpus.fingerprint
    np.testing.assert_array_equal(again.retrieve(queries).rows, found.rows)
    np.testing.assert_array_equal(again.retrieve(queries).scores, found.scores)


def test_no_secret_in_the_recipe(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder)
    monkeypatch.setenv("QDRANT_API_KEY", SECRET)
    own = retriever(folder)
    own.prepare()
    for text in (repr(own), own.expression(), str(own.parameters()), str(pickle.dumps(own))):
        assert SECRET not in text


def test_a_strategy_string_mines_from_the_collection_alone(folder: str) -> None:
    fill(folder)
    rows = Dataset.from_dict({"query": QUERIES, "positive": DOCUMENTS[: len(QUERIES)]})
    options = {"url": folder, "collection": "things", "model": hash_model()}
    miner = OfflineMiner("qdrant@20", num_negatives=2, **options)
    assert miner.corpus is not None
    assert len(miner.corpus) == len(DOCUMENTS)
    mined = miner.mine(rows)
    dense = OfflineMiner("dense@20", corpus=DOCUMENTS, num_negatives=2, model=hash_model())
    wanted = dense.mine(rows)
    assert mined["hard_negatives"][:] == wanted["hard_negatives"][:]
    assert str(miner.strategy).startswith(f"qdrant@20(url={folder!r}, collection='things'")
    assert miner.recipe()["models"]["qdrant"]["weights"] == hash_model().fingerprint()
