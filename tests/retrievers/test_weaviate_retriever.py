"""A Weaviate collection, by its protocol on loopback: scores by value, and every way to fail."""

from __future__ import annotations

import json
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
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

pytest.importorskip("weaviate")

from weaviate_server import Thing, Weaviate

from hf_hardneg import OfflineMiner
from hf_hardneg.corpus import Corpus
from hf_hardneg.encoders import CallableEncoder
from hf_hardneg.errors import (
    CorpusError,
    HardNegError,
    MissingExtraError,
    ModelError,
    ParameterError,
    PoolError,
)
from hf_hardneg.retrievers import weaviate_store, weaviate_store_protocol
from hf_hardneg.retrievers.weaviate import WeaviateRetriever
from hf_hardneg.testing import check_retriever, make_queries

SIMILARITY = {"cosine": "cosine", "dot": "dot", "l2-squared": "euclidean"}
Serve = Callable[..., Weaviate]


def uuid(number: int) -> str:
    return str(UUID(int=number * 2**64 + 5))


def thing(number: int, text: str, vector: str | None = None, **values: Any) -> Thing:
    own = {"text": text, "name": f"d{number}", "number": number, "key": uuid(number + 500),
           "size": 1.5, **values}  # fmt: skip
    return Thing(uuid(number), own, {vector: raw([text])[0].tolist()})


def schema(distance: str, vector: str | None, tokenization: str) -> dict[str, Any]:
    index = {"distance": distance, "ef": -1, "multivector": {"enabled": False}}
    kinds = {"text": "text", "name": "text", "number": "int", "key": "uuid", "size": "number"}
    properties = [
        {"name": name, "dataType": [kind], "indexFilterable": True,
         **({"tokenization": tokenization} if kind == "text" else {})}
        for name, kind in kinds.items()
    ]  # fmt: skip
    found = {"class": "Things", "properties": properties, "multiTenancyConfig": {"enabled": False}}
    if vector is None:
        return {**found, "vectorIndexType": "hnsw", "vectorIndexConfig": index}
    own = {"vectorIndexType": "hnsw", "vectorIndexConfig": index, "vectorizer": {"none": {}}}
    return {**found, "vectorConfig": {vector: own}}


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Weaviate] = []

    def start(
        distance: str = "cosine",
        things: list[Thing] | None = None,
        *,
        vector: str | None = None,
        tokenization: str = "field",
        **options: Any,
    ) -> Weaviate:
        if things is None:
            things = [thing(number + 1, text, vector) for number, text in enumerate(DOCUMENTS)]
        servers.append(Weaviate(schema(distance, vector, tokenization), things, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
    assert not [one.refused for one in servers if one.refused]


def retriever(server: Weaviate | str, **options: Any) -> WeaviateRetriever:
    values = {"model": hash_model(), "top_k": 20, "timeout": 5.0, **options}
    if isinstance(server, Weaviate):
        values = {"url": server.url, "grpc_port": server.grpc_port, **values}
    else:
        values = {"url": server, **values}
    return WeaviateRetriever(collection="things", **values)


# -- by value --------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", SIMILARITY)
@pytest.mark.parametrize("top_k", [1, 20, 70])
def test_equals_brute_force(serve: Serve, distance: str, top_k: int) -> None:
    similarity = SIMILARITY[distance]
    own = retriever(serve(distance), top_k=top_k, model=hash_model(similarity))
    assert own.corpus.texts(range(len(DOCUMENTS))) == DOCUMENTS
    assert own.corpus.ids([0, 1]) == [uuid(1), uuid(2)]
    own.prepare()
    check_retriever(
        own, make_queries(own.corpus, QUERIES, POSITIVES), score=by_brute_force(similarity)
    )


@pytest.mark.parametrize("version", ["1.27.0", "1.29.0", "1.38.1-rc.0"])
@pytest.mark.parametrize("vector", [None, "dense"])
def test_servers_of_several_versions(serve: Serve, version: str, vector: str | None) -> None:
    own = retriever(serve(vector=vector, version=version), vector_name=vector)
    queries = make_queries(own.corpus, QUERIES, POSITIVES)
    check_retriever(own, queries, score=by_brute_force("cosine"))


@pytest.mark.parametrize(("field", "first"), [("name", "d1"), ("number", "1"), ("key", uuid(501))])
@pytest.mark.parametrize("tokenization", ["field", "word"])
def test_a_property_with_ids(serve: Serve, field: str, first: str, tokenization: str) -> None:
    own = retriever(serve(tokenization=tokenization), id_field=field)
    assert own.corpus.ids([0]) == [first]
    own.prepare()
    queries = make_queries(own.corpus, QUERIES, POSITIVES)
    check_retriever(own, queries, score=by_brute_force("cosine"))


def test_ids_that_are_stored_as_words(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter finds others with the same words; they are not taken for the one asked for."""
    names = ["MED-10", "MED-10 b", "10-med"]
    things = [thing(number, f"text {name}", name=name) for number, name in enumerate(names)]
    server = serve(things=things, tokenization="word")
    store = retriever(server, id_field="name")._opened()
    [(name, vector)] = store.vectors(["MED-10", "lost"]).items()
    assert name == "MED-10"
    np.testing.assert_allclose(vector, raw(["text MED-10"])[0])
    monkeypatch.setattr(weaviate_store, "WIDEST", 2)
    with pytest.raises(CorpusError, match=r"'name' is stored as words.*tokenization 'field'"):
        store.vectors(["MED-10", "10-med"])


def test_the_only_vector_with_a_name(serve: Serve) -> None:
    server = serve(vector="dense")
    own = retriever(server)
    check_retriever(
        own, make_queries(own.corpus, QUERIES, POSITIVES), score=by_brute_force("cosine")
    )
    assert server.searches[-1].metadata.vectors in (["dense"], [])


def test_ties_are_broken_by_the_lower_row(serve: Serve) -> None:
    """More equal documents than are asked for at once."""
    texts = ["same"] * 60 + [f"other {number}" for number in range(5)]
    own = retriever(serve(things=[thing(n, text) for n, text in enumerate(texts)]), top_k=3)
    queries = make_queries(own.corpus, ["same", "other 2"], [["other 1"], ["same"]])
    found = own.retrieve(queries)
    assert found.rows[0].tolist() == [0, 1, 2]
    assert found.rows[1, 0] == 62
    check_retriever(own, queries)


def test_never_more_than_a_server_gives(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weaviate_store, "WIDEST", 30)
    server = serve(things=[thing(number, "same") for number in range(50)])
    own = retriever(server, top_k=3)
    assert own.retrieve(make_queries(own.corpus, ["same"], [[]])).rows.shape == (1, 3)
    assert max(one.limit for one in server.searches if one.HasField("near_vector")) == 30


def test_more_than_a_server_gives(serve: Serve) -> None:
    server = serve(things=[thing(1, "one")])
    own = retriever(server, top_k=10_001)
    with pytest.raises(CorpusError, match="gRPC UNKNOWN: query maximum results exceeded"):
        own.retrieve(make_queries(own.corpus, ["a"], [[]]))
    assert server.refused == ["query maximum results exceeded"]
    server.refused.clear()


def test_a_corpus_that_is_there_already(serve: Serve) -> None:
    """Its order decides the rows, and documents without an object are scored by their texts."""
    ids = {f"d{number + 1}": text for number, text in enumerate(DOCUMENTS)}
    corpus = Corpus({"x1": "not in the collection", **dict(reversed(ids.items()))})
    own = retriever(serve(), corpus=corpus, id_field="name")
    queries = make_queries(corpus, QUERIES, [["not in the collection"]] * len(QUERIES))
    check_retriever(own, queries)
    found, score = own.retrieve(queries), by_brute_force("cosine")
    assert found.rows.min() > 0
    for line, query in enumerate(QUERIES):
        wanted = [score(query, text) for text in corpus.texts(found.rows[line])]
        np.testing.assert_allclose(found.scores[line], wanted, atol=1e-5)
        wanted = score(query, "not in the collection")
        np.testing.assert_allclose(found.positive_scores[line], wanted, atol=1e-5)


@pytest.mark.parametrize("vector", [None, "dense"])
def test_an_object_without_a_vector(serve: Serve, vector: str | None) -> None:
    """It is never found; as a positive it is encoded."""
    things = [thing(number, text, vector) for number, text in enumerate(DOCUMENTS)]
    things[0].vectors.clear()
    own = retriever(serve(things=things, vector=vector), top_k=100)
    own.prepare()
    found = own.retrieve(make_queries(own.corpus, ["a"], [[DOCUMENTS[0]]]))
    assert 0 not in found.rows
    wanted = by_brute_force("cosine")("a", DOCUMENTS[0])
    np.testing.assert_allclose(found.positive_scores, wanted, atol=1e-5)


def test_pages_of_a_larger_collection(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weaviate_store, "PAGE", 7)
    server = serve()
    own = retriever(server)
    assert own.corpus.texts(range(len(own.corpus))) == DOCUMENTS
    pages = [path for path in server.asked if path.startswith("/v1/objects")]
    assert pages[0] == "/v1/objects?class=Things&limit=7"
    assert pages[1] == f"/v1/objects?class=Things&limit=7&after={uuid(7)}"
    assert len(pages) == 10


def test_a_collection_that_goes_while_it_is_read(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it is never taken for all of it."""
    monkeypatch.setattr(weaviate_store, "PAGE", 7)
    server = serve()
    server.gone_after = uuid(14)
    with pytest.raises(CorpusError, match="has gone while its documents were read"):
        retriever(server)


def test_queries_are_encoded_once(serve: Serve) -> None:
    asked: list[str] = []

    def count(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return raw(texts)

    own = retriever(serve(), model=CallableEncoder(count, name="counted"))
    own.prepare()
    own.prepare_queries(QUERIES)
    before = list(asked)
    queries = make_queries(own.corpus, QUERIES, [[DOCUMENTS[3]]] * len(QUERIES))
    own.retrieve(queries)
    pickle.loads(pickle.dumps(own)).retrieve(queries)
    assert asked == before


def test_lengths_where_the_collection_compares_by_inner_product(serve: Serve) -> None:
    server = serve("dot")
    with pytest.raises(PoolError, match=r"have a mean length of .*normalize=False"):
        retriever(server).prepare()
    own = retriever(server, normalize=False)
    own.prepare()
    queries = make_queries(own.corpus, QUERIES, POSITIVES)
    check_retriever(own, queries, score=by_brute_force("dot"))


# -- the same as Weaviate's own client asks --------------------------------------------------


def recorded(server: Weaviate, vector: str | None, field: str, ids: list[Any]) -> list[Any]:
    """The requests of Weaviate's own client for what the retriever needs."""
    import weaviate
    from weaviate.classes.query import Filter, MetadataQuery

    port = int(server.url.rpartition(":")[2])
    client = weaviate.connect_to_custom(
        "127.0.0.1", port, False, "127.0.0.1", server.grpc_port, False,
        auth_credentials=server.key or None, skip_init_checks=True,
    )  # fmt: skip
    server.asked.clear()
    assert client.collections.exists("things")
    things = client.collections.get("things")
    server.searches.clear()
    own = [] if field == "_id" else [field]
    with_vector = True if vector is None else [vector]
    near = {} if vector is None else {"target_vector": vector}
    things.query.fetch_objects(limit=100, include_vector=with_vector, return_properties=own)
    wanted = Filter.by_id() if field == "_id" else Filter.by_property(field)
    things.query.fetch_objects(
        filters=wanted.contains_any(ids), limit=len(ids), include_vector=with_vector,
        return_properties=own,
    )  # fmt: skip
    things.query.near_vector(
        raw(["query"])[0].tolist(), limit=9, return_properties=own,
        return_metadata=MetadataQuery(distance=True), **near,
    )  # fmt: skip
    client.close()
    return server.searches[:]


@pytest.mark.parametrize("version", ["1.28.9", "1.37.2"])
@pytest.mark.parametrize("vector", [None, "dense"])
@pytest.mark.parametrize(
    ("field", "ids"),
    [("_id", [uuid(3), uuid(4)]), ("name", ["d3", "d4"]), ("number", [3, 4]),
     ("key", [uuid(503), uuid(504)])],
)  # fmt: skip
def test_requests_are_those_of_the_client(
    serve: Serve, version: str, vector: str | None, field: str, ids: list[Any]
) -> None:
    server = serve(vector=vector, version=version, key=SECRET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEAVIATE_API_KEY", SECRET)
        store = retriever(
            server, vector_name=vector, id_field=None if field == "_id" else field
        )._opened()
        server.searches.clear()
        assert store.dimension == DIMENSION
        store.vectors([str(one) for one in ids])
        store.nearest(raw(["query"]), 9)
    ours = server.searches[:]
    assert "/v1/schema/Things" in server.asked
    theirs = recorded(server, vector, field, ids)
    assert server.asked == ["/v1/schema/Things"]
    assert len(ours) == len(theirs) == 3
    for own, wanted in zip(ours, theirs, strict=True):
        assert own == wanted


# -- refused ---------------------------------------------------------------------------------


def test_collections_that_cannot_be_used(serve: Serve) -> None:
    server = serve()
    with pytest.raises(CorpusError, match=r"'other' .* does not exist; there are: 'Things'"):
        WeaviateRetriever(
            url=server.url, grpc_port=server.grpc_port, collection="other", model=hash_model()
        )
    with pytest.raises(CorpusError, match=r"no vector named 'dense'; its vectors are: none\."):
        retriever(server, vector_name="dense")
    with pytest.raises(
        CorpusError, match=r"no property 'body'; its properties are: key, .*text_field="
    ):
        retriever(server, text_field="body")
    with pytest.raises(CorpusError, match="'number' is of type int; text_field needs one of text"):
        retriever(server, text_field="number")
    with pytest.raises(CorpusError, match=r"no property 'lost'; .*id_field="):
        retriever(server, id_field="lost")
    with pytest.raises(CorpusError, match="'size' is of type number; id_field needs one of"):
        retriever(server, id_field="size")
    small = CallableEncoder(lambda texts: np.ones((len(texts), 3)), name="small")
    with pytest.raises(ModelError, match="gives vectors of 3 dimensions, and the collection"):
        retriever(server, model=small).prepare()


def test_objects_that_cannot_be_used(serve: Serve) -> None:
    with pytest.raises(CorpusError, match=rf"the record '{uuid(1)}' has no 'text'; .*text_field="):
        retriever(serve(things=[Thing(uuid(1), {"name": "d1"}, {})]))
    with pytest.raises(CorpusError, match=rf"the record '{uuid(1)}' has no 'name'; .*id_field="):
        retriever(serve(things=[thing(1, "one", name=None)]), id_field="name")
    with pytest.raises(CorpusError, match=r"'things' of .*: the corpus holds no documents"):
        retriever(serve(things=[]))
    bare = retriever(serve(things=[Thing(uuid(1), {"text": "one"}, {})]))
    with pytest.raises(CorpusError, match="none of its first 100 documents has vectors"):
        bare.prepare()


def test_a_vector_must_be_chosen(serve: Serve) -> None:
    server = serve(vector="dense")
    server.schema["vectorConfig"]["other"] = server.schema["vectorConfig"]["dense"]
    with pytest.raises(
        CorpusError, match="no vector named None; its vectors are: 'dense', 'other'"
    ):
        retriever(server)
    retriever(server, vector_name="dense").prepare()
    server.schema["vectorIndexConfig"] = {"distance": "cosine"}
    with pytest.raises(CorpusError, match="none of its first 100 documents has vectors"):
        retriever(server).prepare()


@pytest.mark.parametrize("distance", ["manhattan", "hamming"])
def test_other_distances(serve: Serve, distance: str) -> None:
    with pytest.raises(CorpusError, match=f"compares by {distance}; expected .*cosine, dot"):
        retriever(serve(distance))


def test_other_kinds_of_collections(serve: Serve) -> None:
    server = serve(vector="late")
    config = server.schema["vectorConfig"]["late"]["vectorIndexConfig"]
    config["multivector"]["enabled"] = True
    with pytest.raises(CorpusError, match="compares by several vectors an object"):
        retriever(server)
    server.schema["multiTenancyConfig"]["enabled"] = True
    with pytest.raises(CorpusError, match="is divided among tenants"):
        retriever(server)
    with pytest.raises(CorpusError, match=r"the server is of version 1\.26\.4; expected 1\.27"):
        retriever(serve(version="1.26.4"))


def test_ids_that_do_not_fit(serve: Serve) -> None:
    server = serve(things=[thing(1, "one"), thing(2, "two", name="d1")])
    with pytest.raises(CorpusError, match="1 ids stand more than once"):
        retriever(server, id_field="name")
    corpus = Corpus({"d1": "one", "d2": "two"})
    with pytest.raises(CorpusError, match="holds the document 'd1' more than once"):
        retriever(server, corpus=corpus, id_field="name").retrieve(
            make_queries(corpus, ["a"], [[]])
        )
    for field in (None, "number"):
        with pytest.raises(CorpusError, match="holds none of the first 2 documents"):
            retriever(server, corpus=Corpus({"a": "one", "b": "two"}), id_field=field).prepare()
    part = retriever(server, corpus=Corpus({uuid(1): "one"}))
    part.prepare()
    with pytest.raises(CorpusError, match=rf"finds the document '{uuid(2)}', which is not in"):
        part.retrieve(make_queries(part.corpus, ["a"], [[]]))


@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"retries": -1}, {"top_k": 0}, {"url": ""}, {"url": "a/folder"},
     {"url": "ftp://x"}, {"url": 3}, {"collection": ""}, {"grpc_port": 0}, {"grpc_port": "a"},
     {"grpc_host": ""}],
)  # fmt: skip
def test_parameters_out_of_range(options: dict[str, Any]) -> None:
    values = {"url": "http://x", "collection": "things", "model": hash_model(), **options}
    with pytest.raises(ParameterError, match=next(iter(options))):
        WeaviateRetriever(**values)


@pytest.mark.parametrize(
    "url", [f"http://me:{SECRET}@localhost:1", f"http://localhost:1?api_key={SECRET}"]
)
def test_no_secret_in_the_address(url: str) -> None:
    with pytest.raises(HardNegError, match="holds a user name, a password or a query") as caught:
        WeaviateRetriever(url=url, collection="things", model=hash_model())
    assert SECRET not in str(caught.value)


def test_the_package_is_optional(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    for name in [name for name in sys.modules if name.partition(".")[0] == "weaviate"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "weaviate", None)
    weaviate_store_protocol.messages.cache_clear()
    with pytest.raises(MissingExtraError, match=r"weaviate-client.*hf-hardneg\[weaviate\]"):
        retriever(server)


# -- servers ---------------------------------------------------------------------------------


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAVIATE_API_KEY", SECRET)
    url = f"http://127.0.0.1:{closed_port()}"
    started = time.monotonic()
    with pytest.raises(CorpusError) as caught:
        retriever(url, timeout=1.5)
    assert time.monotonic() - started < 2.5
    said = str(caught.value)
    assert f"'things' of the Weaviate server at {url!r} gave no answer: asked 3 times in" in said
    assert "timeout=1.5, retries=3" in said
    assert SECRET not in said
    assert caught.value.__suppress_context__


def test_no_grpc_where_it_is_asked(serve: Serve) -> None:
    port = closed_port()
    own = retriever(serve(), grpc_port=port, timeout=1.5)
    started = time.monotonic()
    with pytest.raises(
        CorpusError,
        match=rf"\(gRPC at 127\.0\.0\.1:{port}, set by grpc_port=\.\.\.\) gave no answer: asked 3",
    ):
        own.prepare()
    assert time.monotonic() - started < 2.5


def test_a_server_that_goes_away(serve: Serve) -> None:
    server = serve()
    own = retriever(server, timeout=1.5)
    own.retrieve(make_queries(own.corpus, QUERIES, POSITIVES))
    server.stop_grpc()
    started = time.monotonic()
    with pytest.raises(CorpusError, match=r"gave no answer: asked \d times .*gRPC UNAVAILABLE"):
        own.retrieve(make_queries(own.corpus, ["fresh"], [[]]))
    assert time.monotonic() - started < 4


def test_a_server_that_hangs(serve: Serve) -> None:
    server = serve()
    own = retriever(server, timeout=1.0)
    server.pause = 1.5
    started = time.monotonic()
    with pytest.raises(CorpusError, match=r"asked 1 times in 1\.\d sec.*gRPC DEADLINE_EXCEEDED"):
        own.retrieve(make_queries(own.corpus, QUERIES, POSITIVES))
    assert time.monotonic() - started < 2


def test_only_what_may_pass_is_asked_again(serve: Serve) -> None:
    server = serve()
    own = retriever(server)
    queries = make_queries(own.corpus, QUERIES, POSITIVES)
    wanted = own.retrieve(queries)
    server.failures = ["UNAVAILABLE"]
    found = own.retrieve(queries)
    np.testing.assert_array_equal(found.scores, wanted.scores)
    server.failures = ["INVALID_ARGUMENT"]
    with pytest.raises(CorpusError, match="gRPC INVALID_ARGUMENT: as it was told"):
        own.retrieve(queries)


def test_a_key(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes to both interfaces, and into nothing else."""
    server = serve(key=SECRET)
    with pytest.raises(CorpusError, match=r"\(HTTP 401\)\. .*WEAVIATE_API_KEY: none is set"):
        retriever(server)
    monkeypatch.setenv("WEAVIATE_API_KEY", SECRET)
    own = retriever(server)
    own.prepare()
    for text in (repr(own), own.expression(), str(own.parameters()), str(pickle.dumps(own))):
        assert SECRET not in text
    server.key = "another"
    with pytest.raises(
        CorpusError, match=r"\(gRPC UNAUTHENTICATED\)\. .*WEAVIATE_API_KEY: the one that is set"
    ):
        own.retrieve(make_queries(own.corpus, QUERIES, POSITIVES))


def test_a_forked_process_is_refused(serve: Serve) -> None:
    """There gRPC would wait for ever."""
    own = retriever(serve())
    rows = Dataset.from_dict({"query": QUERIES, "positive": DOCUMENTS[: len(QUERIES)]})
    assert len(OfflineMiner(own, num_negatives=2).mine(rows)) == len(QUERIES)
    with pytest.raises(CorpusError, match=r"in a worker process that was forked.*num_proc=None"):
        OfflineMiner(own, num_negatives=3).mine(rows, num_proc=2, resume=False)


@pytest.fixture
def answering() -> Iterator[Callable[[int, str], tuple[str, list[str | None]]]]:
    """A server that gives one answer to everything, and the keys that it was asked with."""
    servers: list[HTTPServer] = []

    def start(status: int, body: str) -> tuple[str, list[str | None]]:
        keys: list[str | None] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keys.append(self.headers["Authorization"])
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", keys

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "asked", "said"),
    [
        (403, "", 1, r"access is refused \(HTTP 403\)\. .*WEAVIATE_API_KEY: the one that is set"),
        (422, f"with {SECRET}", 1, r"HTTP 422 Unprocessable \w+: with \*\*\*"),
        (503, "", 3, r"gave no answer: asked 3 times .*HTTP 503 Service Unavailable"),
        (200, "<html>", 1, "the answer is not one of Weaviate; is it another server"),
        (200, "[]", 1, "the answer is not one of Weaviate"),
        (200, json.dumps({"version": 3}), 1, "the answer is not one of Weaviate"),
        (404, "", 1, "the answer is not one of Weaviate"),
    ],
)
def test_answers_of_a_server(
    answering: Any, monkeypatch: pytest.MonkeyPatch, status: int, body: str, asked: int, said: str
) -> None:
    monkeypatch.setenv("WEAVIATE_API_KEY", SECRET)
    url, keys = answering(status, body)
    with pytest.raises(CorpusError, match=said) as caught:
        retriever(url, retries=2)
    assert keys == [f"Bearer {SECRET}"] * asked
    assert SECRET not in str(caught.value)


def test_a_schema_that_is_none(serve: Serve) -> None:
    server = serve()
    server.schema["properties"] = [{"title": "text"}]
    with pytest.raises(CorpusError, match="the answer is not one of Weaviate"):
        retriever(server)


def test_an_encrypted_address() -> None:
    address = weaviate_store_protocol.Address("https://me.weaviate.cloud/", "grpc-me", 443)
    assert (address.url, address.grpc) == ("https://me.weaviate.cloud", "grpc-me:443")
    assert address.secure
    assert weaviate_store_protocol.Address("http://[::1]:8080", None, 50051).grpc == "[::1]:50051"
    weaviate_store_protocol.Search(address, "", 1.0, {"version": "1.37.2"})


def test_a_strategy_string_mines_from_the_collection_alone(serve: Serve) -> None:
    server = serve()
    rows = Dataset.from_dict({"query": QUERIES, "positive": DOCUMENTS[: len(QUERIES)]})
    options = {"url": server.url, "collection": "things", "model": hash_model(),
               "grpc_port": server.grpc_port}  # fmt: skip
    miner = OfflineMiner("weaviate@20", num_negatives=2, **options)
    assert miner.corpus is not None
    assert len(miner.corpus) == len(DOCUMENTS)
    mined = miner.mine(rows)
    dense = OfflineMiner("dense@20", corpus=DOCUMENTS, num_negatives=2, model=hash_model())
    wanted = dense.mine(rows)
    assert mined["hard_negatives"][:] == wanted["hard_negatives"][:]
    assert str(miner.strategy).startswith(f"weaviate@20(url={server.url!r}, collection='things'")
    assert miner.recipe()["models"]["weaviate"]["weights"] == hash_model().fingerprint()
