"""A faiss index that exists already: scores by value, ties by row, and what is refused."""

from __future__ import annotations

import gzip
import os
import pickle
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hardneg.corpus import Corpus
from hf_hardneg.encoders import CallableEncoder
from hf_hardneg.errors import FormatError, HardNegError, ModelError, ParameterError, PoolError
from hf_hardneg.hashing import exact_key
from hf_hardneg.retrievers.dense import DenseRetriever
from hf_hardneg.retrievers.faiss_index import FaissRetriever
from hf_hardneg.testing import check_retriever, make_queries

DIMENSION = 16
DOCUMENTS = {f"d{number}": f"document {number % 290}" for number in range(300)}
"""The last ten say what the first ten say."""
QUERIES = [f"query {number}" for number in range(7)]
POSITIVES = [["document 3", "document 100"], ["not in the corpus"], ["document 7", "another"],
             [], ["document 9"], ["document 289"], ["document 0"]]  # fmt: skip


def raw(texts: list[str]) -> np.ndarray:
    """Vectors of any length, decided by the text alone."""
    rows = [np.random.default_rng(exact_key(text)).normal(size=DIMENSION) for text in texts]
    return np.array(rows, dtype=np.float32).reshape(len(texts), DIMENSION)


def unit(texts: list[str]) -> np.ndarray:
    vectors = raw(texts)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def model(similarity: str = "cosine", name: str = "hash") -> CallableEncoder:
    return CallableEncoder(raw, name=name, similarity=similarity)


def inner(query: str, document: str) -> float:
    return float(unit([query])[0].astype(float) @ unit([document])[0].astype(float))


def raw_inner(query: str, document: str) -> float:
    return float(raw([query])[0].astype(float) @ raw([document])[0].astype(float))


def distance(query: str, document: str) -> float:
    return -float(np.linalg.norm(raw([query])[0].astype(float) - raw([document])[0].astype(float)))


@pytest.fixture
def corpus() -> Corpus:
    return Corpus(DOCUMENTS)


def write(
    folder: Path,
    kind: str,
    metric: int = faiss.METRIC_INNER_PRODUCT,
    *,
    vectors: np.ndarray | None = None,
    labels: list[int] | None = None,
) -> Path:
    if vectors is None:
        vectors = (unit if metric == faiss.METRIC_INNER_PRODUCT else raw)(list(DOCUMENTS.values()))
    index = faiss.index_factory(vectors.shape[1], kind, metric)
    index.train(vectors)
    if labels is None:
        index.add(vectors)
    else:
        index.add_with_ids(vectors, np.array(labels))
    path = folder / "documents.faiss"
    faiss.write_index(index, str(path))
    return path


@pytest.mark.parametrize("top_k", [1, 5, 40, 300, 310])
def test_a_flat_index_by_inner_product(corpus: Corpus, tmp_path: Path, top_k: int) -> None:
    retriever = FaissRetriever(corpus, index=write(tmp_path, "Flat"), model=model(), top_k=top_k)
    check_retriever(retriever, make_queries(corpus, QUERIES, POSITIVES), score=inner)


def test_a_flat_index_by_distance(corpus: Corpus, tmp_path: Path) -> None:
    path = write(tmp_path, "Flat", faiss.METRIC_L2)
    retriever = FaissRetriever(corpus, index=path, model=model("euclidean"), top_k=40)
    check_retriever(retriever, make_queries(corpus, QUERIES, POSITIVES), score=distance)


def test_vectors_as_the_model_gives_them(corpus: Corpus, tmp_path: Path) -> None:
    """A cosine model whose vectors were not normalised when the index was built."""
    path = write(tmp_path, "Flat", vectors=raw(list(DOCUMENTS.values())))
    queries = make_queries(corpus, QUERIES, POSITIVES)
    given_so = FaissRetriever(corpus, index=path, model=model(), top_k=20, normalize=False)
    check_retriever(given_so, queries, score=raw_inner)
    declared = FaissRetriever(corpus, index=path, model=model("dot"), top_k=20)
    check_retriever(declared, queries, score=raw_inner)
    with pytest.raises(PoolError, match=r"mean length of 3\.\d+.*normalize=False"):
        FaissRetriever(corpus, index=path, model=model()).prepare()
    with pytest.raises(PoolError, match="mean length"):
        FaissRetriever(corpus, index=path, model=model("dot"), normalize=True).prepare()


def test_a_model_that_compares_by_dot_and_is_normalised(corpus: Corpus, tmp_path: Path) -> None:
    retriever = FaissRetriever(
        corpus, index=write(tmp_path, "Flat"), model=model("dot"), normalize=True, top_k=20
    )
    check_retriever(retriever, make_queries(corpus, QUERIES, POSITIVES), score=inner)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("IVF8,Flat", {"nprobe": 8}), ("HNSW32", {"ef_search": 400}), ("IDMap,Flat", {}),
     ("OPQ8,IVF8,Flat", {"nprobe": 8}), ("Flat,RFlat", {}), ("L2norm,Flat", {})],
)  # fmt: skip
@pytest.mark.parametrize("metric", [faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2])
def test_an_index_that_searches_everything_is_exact(
    tmp_path: Path, kind: str, options: dict[str, int], metric: int
) -> None:
    corpus = Corpus({str(row): text for row, text in enumerate(DOCUMENTS.values())})
    vectors = unit(list(DOCUMENTS.values()))
    labels = list(range(300)) if "IDMap" in kind else None
    path = write(tmp_path, kind, metric, vectors=vectors, labels=labels)

    def score(query: str, document: str) -> float:
        return inner(query, document) if metric == 0 else -float(
            np.sqrt(max(2 - 2 * inner(query, document), 0))
        )  # fmt: skip

    retriever = FaissRetriever(corpus, index=path, model=model(), top_k=40, **options)
    queries = make_queries(corpus, QUERIES, POSITIVES)
    check_retriever(retriever, queries, score=score, tolerance=1e-4)


@pytest.mark.parametrize("kind", ["IVF8,Flat", "HNSW8", "IVF8,PQ4x4", "SQ8", "PQ4x4", "NSG8"])
@pytest.mark.parametrize("metric", [faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2])
def test_an_approximate_index_is_scored_by_its_own_vectors(
    corpus: Corpus, tmp_path: Path, kind: str, metric: int
) -> None:
    """The contract holds, and the first hits are those that faiss gives."""
    path = write(tmp_path, kind, metric, vectors=unit(list(DOCUMENTS.values())))
    retriever = FaissRetriever(corpus, index=path, model=model(), top_k=12)
    queries = make_queries(corpus, QUERIES, POSITIVES)
    check_retriever(retriever, queries)
    scores, rows = faiss.read_index(str(path)).search(unit(QUERIES), 28)
    found = retriever.retrieve(queries)
    wanted = scores if metric == 0 else -np.sqrt(np.maximum(scores, 0))
    for line in range(len(QUERIES)):
        kept = rows[line] >= 0
        size = min(int(kept.sum()), 12)
        np.testing.assert_allclose(
            found.scores[line, :size], wanted[line][kept][:size], rtol=1e-3, atol=1e-3
        )
        assert set(found.rows[line, :size].tolist()) <= set(rows[line].tolist())


def test_one_list_of_many_leaves_slots_empty(corpus: Corpus, tmp_path: Path) -> None:
    path = write(tmp_path, "IVF8,Flat")
    retriever = FaissRetriever(corpus, index=path, model=model(), top_k=200, nprobe=1)
    found = retriever.retrieve(make_queries(corpus, QUERIES, POSITIVES))
    filled = found.filled.sum(axis=1)
    assert (filled > 0).all()
    assert (filled < 200).all()
    wide = FaissRetriever(corpus, index=path, model=model(), top_k=200, nprobe=8)
    assert wide.retrieve(make_queries(corpus, QUERIES, POSITIVES)).filled.all()
    assert wide != retriever


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), top_k=st.integers(1, 30), size=st.integers(1, 25))
def test_any_order_of_the_vectors_gives_the_same(
    tmp_path_factory: pytest.TempPathFactory, seed: int, top_k: int, size: int
) -> None:
    """Named by a file of ids, with documents in any order and some without a vector."""
    folder = tmp_path_factory.mktemp("ids")
    rng = np.random.default_rng(seed)
    texts = [f"document {number}" for number in rng.integers(0, 12, size)]
    corpus = Corpus({f"d{row}": text for row, text in enumerate(texts)})
    order = rng.permutation(size)
    path = write(folder, "Flat", vectors=unit([texts[row] for row in order]))
    (folder / "ids.txt").write_text("".join(f"d{row}\n" for row in order))
    retriever = FaissRetriever(
        corpus, index=path, model=model(), ids=folder / "ids.txt", top_k=top_k
    )
    queries = make_queries(corpus, QUERIES, [[texts[0]], *POSITIVES[1:]])
    check_retriever(retriever, queries, score=inner)


def test_a_document_without_a_vector_is_never_found_but_scored(
    corpus: Corpus, tmp_path: Path
) -> None:
    names = list(DOCUMENTS)[50:]
    path = write(tmp_path, "Flat", vectors=unit([DOCUMENTS[name] for name in names]))
    (tmp_path / "ids.gz").write_bytes(gzip.compress("\r\n".join(names).encode()))
    retriever = FaissRetriever(
        corpus, index=path, model=model(), ids=tmp_path / "ids.gz", top_k=300
    )
    queries = make_queries(corpus, QUERIES, [["document 20"]] * len(QUERIES))
    found = retriever.retrieve(queries)
    assert found.rows[found.filled].min() == 50
    wanted = [inner(query, "document 20") for query in QUERIES]
    np.testing.assert_allclose(found.positive_scores, wanted, atol=1e-5)
    check_retriever(retriever, queries)


def test_numbers_of_the_users_own(tmp_path: Path) -> None:
    """In an IndexIDMap the numbers are ids of documents, or lines of the file of ids."""
    names = [7, 10_000_000_000, 3, 12]
    texts = [f"document {name}" for name in names]
    corpus = Corpus({str(name): text for name, text in zip(names, texts, strict=True)})
    queries = make_queries(corpus, ["query"], [["document 3"]])
    order = [2, 0, 3, 1]
    path = write(tmp_path, "IDMap2,Flat", vectors=unit([texts[row] for row in order]),
                 labels=[names[row] for row in order])  # fmt: skip
    by_label = FaissRetriever(corpus, index=path, model=model(), top_k=4)
    check_retriever(by_label, queries, score=inner)
    (tmp_path / "ids").write_text("\n".join(map(str, names)))
    with pytest.raises(PoolError, match=r"with the number 7, and .* has 4 lines"):
        FaissRetriever(corpus, index=path, model=model(), ids=tmp_path / "ids").prepare()
    path = write(tmp_path, "IDMap,Flat", vectors=unit([texts[row] for row in order]), labels=order)
    by_line = FaissRetriever(corpus, index=path, model=model(), ids=tmp_path / "ids", top_k=4)
    check_retriever(by_line, queries, score=inner)


def test_the_same_as_encoding_the_documents_here(tmp_path: Path, static_model_path: Path) -> None:
    """A small real model: the index of its vectors gives what the dense retriever gives."""
    from sentence_transformers import SentenceTransformer

    path = str(static_model_path)
    texts = [f"{one} {two}" for one in ("cats", "red cars", "rain", "old music")
             for two in ("run", "in the sea", "at night", "of Paris", "are good")]  # fmt: skip
    corpus = Corpus(texts)
    vectors = SentenceTransformer(path, device="cpu").encode(texts, normalize_embeddings=True)
    queries = make_queries(corpus, ["a boat", "jazz", "storm"], [["rain at night"], ["a"], ["b c"]])
    index = write(tmp_path, "Flat", vectors=vectors)
    one = FaissRetriever(corpus, index=index, model=path, top_k=6, device="cpu")
    two = DenseRetriever(corpus, model=path, top_k=6, device="cpu", similarity="cosine")
    check_retriever(one, queries)
    given, wanted = one.retrieve(queries), two.retrieve(queries)
    np.testing.assert_array_equal(given.rows, wanted.rows)
    np.testing.assert_allclose(given.scores, wanted.scores, atol=1e-6)
    np.testing.assert_allclose(given.positive_scores, wanted.positive_scores, atol=1e-6)


# -- queries are encoded once ----------------------------------------------------------------


def test_a_query_is_encoded_once_and_never_in_a_worker(corpus: Corpus, tmp_path: Path) -> None:
    asked: list[str] = []

    def count(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return raw(texts)

    encoder = CallableEncoder(count, name="counted")
    retriever = FaissRetriever(corpus, index=write(tmp_path, "Flat"), model=encoder, top_k=3)
    retriever.prepare()
    retriever.prepare_queries(QUERIES)
    before = list(asked)
    assert sorted(before[1:]) == QUERIES  # the first asks for the dimension
    queries = make_queries(corpus, QUERIES, [["document 3"]] * len(QUERIES))
    away = pickle.loads(pickle.dumps(retriever))
    np.testing.assert_array_equal(away.retrieve(queries).rows, retriever.retrieve(queries).rows)
    assert asked == before
    with pytest.raises(ModelError, match="cannot be sent to another process"):
        away.retrieve(make_queries(corpus, ["fresh"], [[]]))


def test_a_changed_index_is_another_recipe(corpus: Corpus, tmp_path: Path) -> None:
    path = write(tmp_path, "Flat")
    retriever = FaissRetriever(corpus, index=path, model=model(), top_k=1)
    before = pickle.dumps(retriever)
    queries = make_queries(corpus, QUERIES, POSITIVES)
    first = retriever.retrieve(queries).rows
    vectors = unit(list(DOCUMENTS.values()))
    write(tmp_path, "Flat", vectors=vectors[::-1].copy())
    os.utime(path, ns=(1, 1))
    assert pickle.dumps(retriever) != before
    retriever.prepare()
    assert (retriever.retrieve(queries).rows != first).any()


# -- refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "said"),
    [("LSH", "IndexLSH.*cannot be had back"), ("IVF8,PQ4x4fs", "cannot be had back")],
)
def test_an_index_that_keeps_no_vectors(
    corpus: Corpus, tmp_path: Path, kind: str, said: str
) -> None:
    path = write(tmp_path, kind, faiss.METRIC_L2)
    with pytest.raises(PoolError, match=said):
        FaissRetriever(corpus, index=path, model=model("euclidean")).prepare()


def test_inverted_lists_with_numbers_of_their_own(corpus: Corpus, tmp_path: Path) -> None:
    path = write(tmp_path, "IVF8,Flat", labels=[row + 10_000 for row in range(300)])
    with pytest.raises(PoolError, match="direct map supported only for sequential ids"):
        FaissRetriever(corpus, index=path, model=model()).prepare()


def test_an_index_of_other_documents(corpus: Corpus, tmp_path: Path) -> None:
    path = write(tmp_path, "Flat", vectors=unit(["one", "two"]))
    with pytest.raises(PoolError, match="has 2 vectors, and the corpus has 300 documents"):
        FaissRetriever(corpus, index=path, model=model()).prepare()
    ids = tmp_path / "ids"
    for text, said in (
        ("d1\nd2\nd3\n", "has 2 vectors, and the file .* has 3 ids"),
        ("d1\nx\n", "1 of 2 ids of .* are not in the corpus, for example 'x'"),
        ("d1\nd1\n", "1 vectors .* belong to a document that has one already, for example 'd1'"),
    ):
        ids.write_text(text)
        with pytest.raises(PoolError, match=said):
            FaissRetriever(corpus, index=path, model=model(), ids=ids).prepare()
    path = write(tmp_path, "IDMap,Flat", vectors=unit(["one", "two"]), labels=[1, 2])
    with pytest.raises(PoolError, match="2 of 2 ids of its IndexIDMap are not in the corpus"):
        FaissRetriever(corpus, index=path, model=model()).prepare()


def test_a_model_of_another_dimension(corpus: Corpus, tmp_path: Path) -> None:
    path = write(tmp_path, "Flat", vectors=np.ones((300, 5), np.float32) / np.sqrt(np.float32(5)))
    retriever = FaissRetriever(corpus, index=path, model=model())
    with pytest.raises(ModelError, match="gives vectors of 16 dimensions, and the faiss index"):
        retriever.prepare()
    with pytest.raises(ModelError, match="holds vectors of 5"):
        retriever.retrieve(make_queries(corpus, QUERIES, POSITIVES))


@pytest.mark.parametrize("kind", ["Flat", "IVF8,Flat", "HNSW8"])
@pytest.mark.parametrize("part", [0.0, 0.0005, 0.4, 0.99])
def test_a_damaged_index(corpus: Corpus, tmp_path: Path, kind: str, part: float) -> None:
    path = write(tmp_path, kind)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(PoolError, match=r"cannot be read: .*\. Expected a file written by"):
        FaissRetriever(corpus, index=path, model=model()).prepare()


def test_files_that_are_no_index(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no index at all, only words")
    binary = faiss.IndexBinaryFlat(32)
    faiss.write_index_binary(binary, str(tmp_path / "binary"))
    for name in ("text", "binary"):
        with pytest.raises(PoolError, match=r"cannot be read: .*not recognized"):
            FaissRetriever(corpus, index=tmp_path / name, model=model()).prepare()
    with pytest.raises(PoolError, match="nowhere' does not exist"):
        FaissRetriever(corpus, index=tmp_path / "nowhere", model=model())
    with pytest.raises(PoolError, match=r"file of ids .* does not exist"):
        FaissRetriever(corpus, index=tmp_path / "text", ids=tmp_path / "no", model=model())
    index = faiss.IndexFlat(DIMENSION, faiss.METRIC_L1)
    index.add(raw(list(DOCUMENTS.values())))
    faiss.write_index(index, str(tmp_path / "l1"))
    with pytest.raises(PoolError, match=r"has the metric 2; expected METRIC_INNER_PRODUCT"):
        FaissRetriever(corpus, index=tmp_path / "l1", model=model()).prepare()
    (tmp_path / "ids").write_bytes(b"d1\n\xff\xfe\n")
    with pytest.raises(FormatError, match=r"file of ids .* cannot be read"):
        FaissRetriever(
            corpus, index=write(tmp_path, "Flat"), ids=tmp_path / "ids", model=model()
        ).prepare()


def test_parameters_that_make_no_sense(corpus: Corpus, tmp_path: Path) -> None:
    path = write(tmp_path, "Flat")
    for options, said in (
        ({"nprobe": 4}, "nprobe=4 is for an index with inverted lists .*IndexFlatIP"),
        ({"ef_search": 4}, "ef_search=4 is for an index with a graph"),
    ):
        with pytest.raises(ParameterError, match=said):
            FaissRetriever(corpus, index=path, model=model(), **options).prepare()
    for options in ({"nprobe": 0}, {"ef_search": 1.5}, {"top_k": 0}, {"batch_size": 0},
                    {"normalize": "yes"}, {"query_prompt": "query: "}):  # fmt: skip
        with pytest.raises(HardNegError, match=next(iter(options))):
            FaissRetriever(corpus, index=path, model=model(), **options)
