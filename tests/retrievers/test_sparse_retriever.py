"""Sparse retrieval by value: against word weights that are known, and against SPLADE itself."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
from collections.abc import Iterator, Sequence
from math import fsum, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets.fingerprint import Hasher
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import WORDS
from torch import Tensor
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, BertModel

from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.corpus import Corpus
from hf_hardneg.distinct import as_rows
from hf_hardneg.errors import ModelError, ParameterError
from hf_hardneg.retrievers.sparse import SparseRetriever
from hf_hardneg.sparse_search import _scan, sparse_search
from hf_hardneg.sparse_store import SparseDocuments
from hf_hardneg.sparse_vectors import SparseVectors
from hf_hardneg.testing import check_retriever, make_queries

SHARED = Path(__file__).resolve().parents[3] / "shared"
VOCABULARY = {word: number for number, word in enumerate(WORDS)}
FEW = WORDS[:6]
texts = st.lists(st.sampled_from(FEW), max_size=5).map(" ".join)


class WordEncoder:
    """Behaves as a loaded ``SparseEncoder``; a word's weight is a multiple of its count."""

    def __init__(self, factor: float = 0.5, similarity: str = "dot") -> None:
        self.factor, self.similarity_fn_name = factor, similarity
        self.asked: list[str] = []

    def state_dict(self) -> dict[str, Tensor]:
        return {"factor": torch.tensor(self.factor)}

    def vector(self, text: str, role: str) -> dict[str, float]:
        words = text.split()
        factor = self.factor if role == "query" else 0.25
        return {
            word: factor * words.count(word) * (1 + VOCABULARY[word] % 3) for word in set(words)
        }

    def score(self, query: str, document: str) -> float:
        one, two = self.vector(query, "query"), self.vector(document, "document")
        total = fsum(one[word] * two.get(word, 0.0) for word in one)
        if self.similarity_fn_name == "dot" or not total:
            return total
        lengths = [sqrt(fsum(value**2 for value in part.values())) for part in (one, two)]
        return total / (lengths[0] * lengths[1])

    def _encode(self, given: Sequence[str], role: str) -> Tensor:
        self.asked += given
        dense = torch.zeros(len(given), len(VOCABULARY))
        for line, text in enumerate(given):
            for word, value in self.vector(text, role).items():
                dense[line, VOCABULARY[word]] = value
        return dense.to_sparse()

    def encode_query(self, given: list[str], **options: Any) -> Tensor:
        return self._encode(given, "query")

    def encode_document(self, given: list[str], **options: Any) -> Tensor:
        return self._encode(given, "document")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SparseDocuments, "per_shard", 4)


@pytest.fixture
def splade() -> Iterator[Path]:
    path = SHARED / "models" / "splade-tiny"
    if not path.exists():
        pytest.skip("splade-tiny is not beside this checkout")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield path
    torch.set_num_threads(threads)


def batch(corpus: Corpus, queries: list[str], positive: str = "blue boat") -> Queries:
    return make_queries(corpus, queries, [[positive, f"{query} boat"] for query in queries])


def same(one: Candidates, two: Candidates) -> bool:
    names = ("rows", "scores", "positive_scores")
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in names)


def many_documents() -> list[str]:
    """Documents with copies, copies but for case, an empty one and many that tie."""
    rng = np.random.default_rng(0)
    made = [" ".join(rng.choice(FEW, rng.integers(1, 4))) for _ in range(30)]
    return ["", *made, made[3], made[3].upper().lower(), *made[5:9], "red", "red", ""]


# -- against word weights that are known ------------------------------------------------------


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@settings(max_examples=12)
@given(
    documents=st.lists(texts, min_size=1, max_size=12),
    queries=st.lists(texts, min_size=1, max_size=4),
    positive=texts,
    top_k=st.integers(1, 14),
)
def test_equals_brute_force(
    similarity: str, documents: list[str], queries: list[str], positive: str, top_k: int
) -> None:
    corpus, model = Corpus(documents), WordEncoder(similarity=similarity)
    check_retriever(
        SparseRetriever(corpus, model=model, top_k=top_k),
        batch(corpus, queries, positive),
        score=model.score,
        eligible=lambda query, document: model.score(query, document) > 0,
    )


def test_of_many_equal_documents_the_lower_rows_win() -> None:
    documents = ["blue car"] * 3 + ["red boat"] * 300 + ["red red boat"] + ["slow green"] * 96
    corpus = Corpus(documents)
    found = SparseRetriever(corpus, model=WordEncoder(), top_k=8).retrieve(
        batch(corpus, ["red", "boat red", "green", "night", ""])
    )
    assert found.rows[:2].tolist() == [[303, *range(3, 10)], [303, *range(3, 10)]]
    assert found.rows[2].tolist() == list(range(304, 312))
    assert (found.rows[3:] == NO_ROW).all()


def test_each_distinct_text_is_encoded_once() -> None:
    documents, model = many_documents(), WordEncoder()
    corpus = Corpus(documents)
    retriever = SparseRetriever(corpus, model=model, top_k=50)
    queries = batch(corpus, ["red car", "red car", "blue"], "warm road")
    retriever.prepare()
    assert sorted(model.asked) == sorted(set(documents))
    retriever.prepare_queries(queries.texts)
    retriever.prepare_queries(queries.texts[:1])
    first = retriever.retrieve(queries)
    outside = ["warm road", "red car boat", "blue boat"]
    expected = [*set(documents), "red car", "blue"] + [t for t in outside if t not in documents]
    assert sorted(model.asked) == sorted(expected)
    idle = WordEncoder()
    assert same(first, SparseRetriever(corpus, model=idle, top_k=50).retrieve(queries))
    assert idle.asked == []


def test_models_and_settings_in_one_folder_do_not_mix() -> None:
    corpus = Corpus(many_documents())
    queries = batch(corpus, ["red car", "blue", "fast slow"])
    models = [WordEncoder(0.5), WordEncoder(2.0), WordEncoder(0.5, "cosine")]
    for _ in range(2):
        for model in models:
            check_retriever(
                SparseRetriever(corpus, model=model, top_k=9), queries, score=model.score,
                eligible=lambda query, document, own=model: own.score(query, document) > 0,
            )  # fmt: skip
    made = [SparseRetriever(corpus, model=model) for model in models]
    made.append(SparseRetriever(corpus, model=models[0], max_active_dims=2))
    assert len({retriever.fingerprint() for retriever in made}) == 4


def test_a_model_that_was_trained_on_is_asked_anew() -> None:
    corpus, model = Corpus(many_documents()), WordEncoder()
    retriever = SparseRetriever(corpus, model=model, top_k=5)
    queries = batch(corpus, ["red car", "blue"])
    before = retriever.retrieve(queries)
    model.factor = 4.0
    retriever.prepare()
    after = retriever.retrieve(queries)
    assert np.array_equal(after.rows, before.rows)
    assert np.array_equal(after.scores, before.scores * 8)
    assert np.array_equal(after.positive_scores, before.positive_scores * 8)


# -- killed, and in another process -----------------------------------------------------------


class Killed(WordEncoder):
    """Kills its process in the third shard."""

    def encode_document(self, given: list[str], **options: Any) -> Tensor:
        if len(self.asked) >= 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode_document(given)


def _prepare(documents: list[str]) -> None:
    SparseRetriever(Corpus(documents), model=Killed()).prepare()


def test_a_kill_loses_one_shard() -> None:
    documents = [f"{one} {two}" for one in FEW for two in FEW]
    child = multiprocessing.get_context("fork").Process(target=_prepare, args=(documents,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    corpus, model = Corpus(documents), WordEncoder()
    retriever = SparseRetriever(corpus, model=model, top_k=7)
    retriever.prepare()
    assert model.asked == documents[8:]
    left = [path.name for path in retriever._vectors().folder.glob(".*")]
    assert left == []
    check_retriever(
        retriever, batch(corpus, ["red car", "slow"]), score=model.score,
        eligible=lambda query, document: model.score(query, document) > 0,
    )  # fmt: skip


def test_in_another_process_it_searches_what_is_on_disk() -> None:
    corpus, model = Corpus(many_documents()), WordEncoder()
    retriever = SparseRetriever(corpus, model=model, top_k=5, max_active_dims=20)
    queries = batch(corpus, ["red car", "blue"])
    found = retriever.retrieve(queries)
    packed = pickle.dumps(retriever)
    assert len(packed) < 1000
    sent = pickle.loads(packed)
    assert sent == retriever
    assert sent.models() == retriever.models()
    assert Hasher.hash(sent) == Hasher.hash(retriever)
    assert same(found, sent.retrieve(queries))
    sent.prepare()
    assert same(found, sent.retrieve(queries))
    with pytest.raises(ModelError, match="'WordEncoder' cannot be sent to another process"):
        sent.retrieve(batch(corpus, ["never asked"]))


# -- SPLADE itself ----------------------------------------------------------------------------


class Splade:
    """SPLADE without sentence-transformers, one text at a time."""

    def __init__(self, folder: Path, most: int | None = None, max_length: int = 512) -> None:
        self.model = BertForMaskedLM.from_pretrained(folder).eval()
        self.words = AutoTokenizer.from_pretrained(folder)
        self.most, self.max_length = most, max_length
        self.known: dict[str, np.ndarray] = {}

    def vector(self, text: str) -> np.ndarray:
        if text not in self.known:
            given = self.words(
                text, return_tensors="pt", truncation=True, max_length=self.max_length
            )
            with torch.no_grad():
                weights = torch.log1p(torch.relu(self.model(**given).logits[0])).amax(dim=0)
            if self.most is not None:
                weights = torch.where(weights >= weights.topk(self.most).values[-1], weights, 0)
            self.known[text] = weights.double().numpy()
        return self.known[text]

    def score(self, query: str, document: str) -> float:
        return float(self.vector(query) @ self.vector(document))


@pytest.mark.parametrize(("most", "max_length"), [(None, None), (6, 4)])
def test_splade(splade: Path, most: int | None, max_length: int | None) -> None:
    documents = [
        "The river flows to the sea", "", "Paris is the capital of France", "a red car",
        "how to cook rice", "a red car", "A red car", "?", "rice with beans in a large pot",
    ]  # fmt: skip
    corpus, reference = Corpus(documents), Splade(splade, most, max_length or 512)
    retriever = SparseRetriever(
        corpus, model=splade, top_k=6, max_active_dims=most, max_length=max_length, device="cpu"
    )
    check_retriever(
        retriever,
        batch(corpus, ["what is the capital of France", "cooking rice", ""], documents[4]),
        score=reference.score,
        eligible=lambda query, document: reference.score(query, document) > 0,
        tolerance=1e-4,
    )


def test_splade_loaded(splade: Path) -> None:
    from sentence_transformers import SparseEncoder

    corpus = Corpus(["a red car", "the river", "the capital city of Italy"])
    queries = make_queries(corpus, ["cars"], [["red cars"]])
    model = SparseEncoder(str(splade), device="cpu")
    retriever = SparseRetriever(corpus, model=model, top_k=3)
    fingerprint = retriever.fingerprint()
    found = retriever.retrieve(queries)
    assert same(found, SparseRetriever(corpus, model=str(splade), top_k=3).retrieve(queries))
    assert SparseRetriever(corpus, model=model, top_k=3).fingerprint() == fingerprint
    assert retriever.models()["sparse"]["model"] == str(splade)
    model[1].pooling_strategy = "sum"
    assert SparseRetriever(corpus, model=model, top_k=3).fingerprint() != fingerprint
    retriever.prepare()
    summed = retriever.retrieve(queries)
    assert (summed.scores >= found.scores).all()
    assert (summed.positive_scores > found.positive_scores).all()


def test_an_encoder_without_a_transformer(splade: Path) -> None:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

    words = SparseStaticEmbedding(AutoTokenizer.from_pretrained(splade))
    model = SparseEncoder(modules=[words], device="cpu")
    corpus = Corpus(["a red car", "the river", "rice", "the red river"])
    queries = make_queries(corpus, ["red river red"], [["a red car", "red"]])
    found = SparseRetriever(corpus, model=model, top_k=4).retrieve(queries)
    assert found.rows.tolist() == [[3, 0, 1, NO_ROW]]
    assert found.scores[0, :3].tolist() == [2.0, 1.0, 1.0]
    assert found.positive_scores.tolist() == [1.0, 1.0]


def test_a_folder_that_was_written_anew(splade: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(splade, folder)
    corpus = Corpus(["a red car", "the river", "the capital city of Italy"])
    queries = make_queries(corpus, ["cars"], [["red cars"]])
    retriever = SparseRetriever(corpus, model=folder, top_k=3)
    found = retriever.retrieve(queries)
    model = BertForMaskedLM.from_pretrained(folder)
    with torch.no_grad():
        model.cls.predictions.bias += 0.5
    model.save_pretrained(folder)
    retriever.prepare()
    assert not same(found, retriever.retrieve(queries))


# -- what cannot be ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top_k": 0}, "top_k=0"),
        ({"max_length": 0}, "max_length=0"),
        ({"max_active_dims": 0}, "max_active_dims=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"memory_gb": 0}, "memory_gb=0"),
        ({"model": WordEncoder(), "max_length": 8}, "max_length=8 is given with a loaded model"),
        ({"model": WordEncoder(), "revision": "v1"}, "revision='v1' is given with a loaded"),
        ({"model": WordEncoder(), "device": "cpu"}, "device='cpu' is given with a loaded"),
    ],
)
def test_parameters_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError) as error:
        SparseRetriever(Corpus(["red car"]), **options)
    assert str(error.value).startswith("sparse: ")
    assert said in str(error.value)


class Odd(WordEncoder):
    """Gives something else."""

    def __init__(self, given: Tensor) -> None:
        super().__init__()
        self.given = given

    def encode_document(self, given: list[str], **options: Any) -> Tensor:
        return self.given


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (WordEncoder(similarity="euclidean"), "by 'euclidean'; expected one of dot, cosine"),
        (Odd(torch.ones(3, 4)), r"of shape \(3, 4\) for 2 texts"),
        (Odd(torch.ones(2)), r"of shape \(2,\) for 2 texts"),
        (Odd(torch.tensor([[0.0, 1.0], [np.nan, 1.0]])), "nan or infinity for 1 of 2 texts.*'b'"),
        (Odd(torch.ones(2, 7).to_sparse()), "queries of 29 dimensions, and the documents have 7"),
        (object(), "a model of type object"),
        ("no/such-model", "no/such-model"),
    ],
)
def test_models_that_cannot_be(model: Any, said: str) -> None:
    corpus = Corpus(["a", "b"])
    with pytest.raises(ModelError, match=said):
        SparseRetriever(corpus, model=model).retrieve(make_queries(corpus, ["red"], [["a"]]))


def test_a_model_that_is_no_sparse_encoder(splade: Path, tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=30_522, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16,
    )  # fmt: skip
    BertModel(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(splade).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="is no sparse encoder"):
        SparseRetriever(Corpus(["a", "b"]), model=tmp_path).prepare()


# -- the search by itself ---------------------------------------------------------------------


def vectors_of(dense: np.ndarray) -> SparseVectors:
    lines, dims = np.nonzero(dense)
    return SparseVectors.of(lines, dims, dense[lines, dims].astype(np.float32), dense.shape)


@pytest.mark.parametrize("threads", [1, 3])
def test_search_among_random_vectors(
    threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative weights too, scores that tie, and shards and queries without a single entry."""
    monkeypatch.setattr(SparseDocuments, "per_shard", 64)
    rng = np.random.default_rng(1)
    dense = rng.integers(-1, 4, (700, 60)) * (rng.random((700, 60)) < 0.1)
    asked = rng.integers(-1, 4, (90, 60)) * (rng.random((90, 60)) < 0.2)
    dense[128:192], asked[7] = 0, 0
    corpus = Corpus([f"text {number}" for number in range(700)])
    documents = SparseDocuments(tmp_path, corpus, "key")
    documents.build(lambda given: vectors_of(dense[[int(text.split()[1]) for text in given]]))
    numbers, scores = sparse_search(vectors_of(asked), documents, 40, threads)
    products = asked @ dense.T
    for line, values in enumerate(products):
        order = np.lexsort((np.arange(700), -values))
        best = order[values[order] > 0][:40]
        assert numbers[line, : len(best)].tolist() == best.tolist()
        assert scores[line, : len(best)].tolist() == values[best].tolist()
        assert (numbers[line, len(best) :] == NO_ROW).all()
        assert (scores[line, len(best) :] == -np.inf).all()


def test_the_compiled_scan_is_the_written_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    dense, asked = (rng.random((n, 12)) * (rng.random((n, 12)) < 0.4) for n in (4, 3))
    documents = SparseDocuments(tmp_path, Corpus(["a", "b", "c", "d"]), "key")
    documents.build(lambda given: vectors_of(dense))
    queries, shard = vectors_of(asked), documents.shard(0)
    numbers, scores = np.full((3, 2), NO_ROW), np.full((3, 2), -np.inf, np.float32)
    _scan(
        shard.starts, shard.places, shard.weights, queries.starts, queries.dims, queries.weights,
        np.zeros(4), 0, numbers, scores,
    )  # fmt: skip
    order = np.lexsort((numbers, -scores))
    found = sparse_search(queries, documents, 2, 1)
    assert np.take_along_axis(numbers, order, 1).tolist() == found[0].tolist()
    assert np.take_along_axis(scores, order, 1).tolist() == found[1].tolist()


@given(
    number=st.lists(st.integers(0, 4), min_size=1, max_size=25),
    values=st.lists(st.integers(0, 2), min_size=5, max_size=5),
    k=st.integers(1, 8),
)
def test_distinct_texts_become_documents(number: list[int], values: list[int], k: int) -> None:
    corpus = Corpus([f"text {own}" for own in number])
    documents = SparseDocuments(Path(os.environ["HF_HARDNEG_CACHE"]), corpus, "key")
    order = [int(text.split()[1]) for text in corpus.texts(documents._distinct[0])]
    scores = np.array([values[own] for own in order], np.float32)
    best = [n for n in np.lexsort((np.arange(len(order)), -scores)) if scores[n] > 0][:k]
    numbers, given_scores = np.full((2, k), NO_ROW), np.full((2, k), -np.inf, np.float32)
    numbers[0, : len(best)], given_scores[0, : len(best)] = best, scores[best]
    rows, found = as_rows(documents, numbers, given_scores)
    wanted = sorted(range(len(number)), key=lambda row: (-values[number[row]], row))
    wanted = [row for row in wanted if values[number[row]] > 0][:k]
    assert rows[0, : len(wanted)].tolist() == wanted
    assert found[0, : len(wanted)].tolist() == [values[number[row]] for row in wanted]
    assert (rows[0, len(wanted) :] == NO_ROW).all()
    assert (rows[1] == NO_ROW).all()


def test_little_memory_gives_the_same() -> None:
    corpus = Corpus(many_documents())
    queries = batch(corpus, [f"{one} {two}" for one in FEW for two in WORDS])
    found, little = (
        SparseRetriever(corpus, model=WordEncoder(), top_k=2_000, memory_gb=memory)
        for memory in (1.0, 0.01)
    )
    assert same(found.retrieve(queries), little.retrieve(queries))
