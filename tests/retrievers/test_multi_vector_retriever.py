"""Late interaction by value: against sentence-transformers, one pair at a time."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from datasets.fingerprint import Hasher
from tiny_models import WORDS, save_bi_encoder, save_multi_vector

from hf_hardneg import (
    CallableEncoder,
    Corpus,
    DenseRetriever,
    HybridRetriever,
    MultiVectorRetriever,
    OfflineMiner,
    RandomRetriever,
    RunRetriever,
)
from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.errors import ModelError, OutputError, ParameterError
from hf_hardneg.multi_vector_encoder import MultiVectorModel
from hf_hardneg.retrievers import Retriever
from hf_hardneg.testing import check_retriever, make_queries
from hf_hardneg.token_store import TokenTexts

FEW = WORDS[:6]
PROMPTS = {"query": "query ", "document": "document "}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TokenTexts, "per_part", 4)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with all that such models have: prompts, expansion, a mask, a length."""
    return save_multi_vector(
        tmp_path_factory.mktemp("late"), prompts=PROMPTS, skipped=["the", "of"], expanded=8,
        document_length=20,
    )  # fmt: skip


def many_documents() -> list[str]:
    """Documents with copies, copies but for case, an empty one and a long one."""
    rng = np.random.default_rng(0)
    made = [" ".join(rng.choice(FEW, rng.integers(1, 9))) for _ in range(12)]
    return ["", *made, made[3], made[4].upper(), "the of the", "red " * 50, *made[5:7], "red"]


def letters(asked: list[str]) -> Any:
    return np.array([[text.count(letter) for letter in "abcdefghij"] for text in asked])


ENCODER = CallableEncoder(letters, name="letters", similarity="dot")


def all_of(corpus: Corpus, top_k: int = 30) -> Retriever:
    """A retriever that lists every document."""
    return DenseRetriever(corpus, model=ENCODER, top_k=top_k)


def batch(corpus: Corpus, queries: list[str]) -> Queries:
    own = ["blue boat", "red car", "a text outside"]
    return make_queries(
        corpus, queries, [[*own[: number % 4], "red"] for number in range(len(queries))]
    )


QUERIES = ["red car", "blue the slow", "", "green", "fast of boat train red"]


class Library:
    """sentence-transformers alone, one text at a time."""

    def __init__(self, folder: Path, **options: Any) -> None:
        from sentence_transformers import MultiVectorEncoder

        self.model = MultiVectorEncoder(str(folder), device="cpu")
        self.options = options
        self.vectors = cache(self._vectors)

    def _vectors(self, text: str, role: str) -> Any:
        encode = self.model.encode_query if role == "query" else self.model.encode_document
        return encode([text], **self.options.get(role, {}))[0]

    def similarity(self, query: str, document: str) -> float:
        pair = [[self.vectors(query, "query")], [self.vectors(document, "document")]]
        return float(self.model.similarity(*pair)[0, 0])

    def score(self, query: str, document: str) -> float:
        """By hand, which takes a tenth of the time."""
        one, two = self.vectors(query, "query").numpy(), self.vectors(document, "document").numpy()
        total = float((one.astype(float) @ two.T).max(axis=1).sum())
        return total / len(one) if self.model.similarity_fn_name == "meanmaxsim" else total


def same(one: Candidates, two: Candidates) -> bool:
    names = ("rows", "scores", "positive_scores", "source_ranks")
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in names)


# -- values -----------------------------------------------------------------------------------


def test_equals_the_library_and_brute_force(path: Path) -> None:
    corpus, library = Corpus(many_documents()), Library(path)
    for document in corpus.iter_texts():
        for query in QUERIES:
            theirs = library.similarity(query, document)
            assert library.score(query, document) == pytest.approx(theirs, rel=1e-5)
    for top_k in (None, 3):
        retriever = MultiVectorRetriever(all_of(corpus), model=path, top_k=top_k)
        check_retriever(retriever, batch(corpus, QUERIES), score=library.score)


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        ({"similarity": "meanmaxsim"}, {}),
        ({"prompts": PROMPTS}, {"query_prompt": "the ", "document_prompt": ""}),
        ({"document_length": 20}, {"max_length": 5}),
        ({"seed": 1}, {"batch_size": 3}),
    ],
)
def test_models_and_settings(tmp_path: Path, made: dict[str, Any], asked: dict[str, Any]) -> None:
    folder, corpus = save_multi_vector(tmp_path, **made), Corpus(many_documents())
    document: dict[str, Any] = {}
    if "max_length" in asked:
        document["processing_kwargs"] = {"text": {"max_length": 5}}
    if "document_prompt" in asked:
        document["prompt"] = ""
    query = {"prompt": "the "} if "query_prompt" in asked else {}
    library = Library(folder, query=query, document=document)
    assert library.score("red car", "blue") == pytest.approx(library.similarity("red car", "blue"))
    check_retriever(
        MultiVectorRetriever(all_of(corpus), model=folder, **asked),
        batch(corpus, QUERIES[:2]),
        score=library.score,
    )


def test_half_the_space(path: Path, cache: Path) -> None:
    corpus = Corpus(many_documents())
    queries = batch(corpus, QUERIES[:2])
    found = []
    for storage in ("float16", "float32"):
        retriever = MultiVectorRetriever(all_of(corpus), model=path, storage=storage)
        check_retriever(retriever, queries)
        found.append(retriever.retrieve(queries))
    np.testing.assert_allclose(found[0].positive_scores, found[1].positive_scores, rtol=2e-3)
    assert not np.array_equal(found[0].positive_scores, found[1].positive_scores)
    sizes = sorted(
        sum(file.stat().st_size for file in folder.rglob("vectors.bin"))
        for folder in (cache / "multi-vector").glob("*/document")
    )
    assert sizes[0] * 2 == sizes[1]


def test_what_the_first_retriever_lists_and_where(path: Path) -> None:
    corpus, library = Corpus(many_documents()), Library(path)
    queries = batch(corpus, QUERIES[:3])
    first = DenseRetriever(corpus, model=ENCODER, top_k=6)
    parts = [first, RandomRetriever(corpus, top_k=4)]
    for retriever, names in (
        (MultiVectorRetriever(first, model=path, top_k=5), ("dense",)),
        (MultiVectorRetriever(HybridRetriever(parts), model=path), ("dense", "random")),
        (MultiVectorRetriever(parts[1], model=path), ("random",)),
    ):
        check_retriever(retriever, queries)
        found, before = retriever.retrieve(queries), retriever.first.retrieve(queries)
        assert found.source_names == names
        ranks = before.ranks[:, :, None] if before.source_ranks is None else before.source_ranks
        assert found.source_ranks is not None
        for line, query in enumerate(queries.texts):
            listed = before.rows[line][before.filled[line]].tolist()
            scores = {row: library.score(query, corpus.texts([row])[0]) for row in listed}
            best = sorted(listed, key=lambda row: (-round(scores[row], 4), row))
            given = found.rows[line][found.filled[line]].tolist()
            assert given == best[: retriever.top_k]
            for slot, row in enumerate(given):
                place = listed.index(row)
                assert found.source_ranks[line, slot].tolist() == ranks[line, place].tolist()
                assert found.sources[line, slot] == before.sources[line, place]
        assert (found.source_ranks[~found.filled] == 0).all()
        assert (found.sources[~found.filled] == -1).all()


def test_one_after_the_other(path: Path, tmp_path: Path) -> None:
    """A second model scores what the first has kept."""
    other, corpus = save_multi_vector(tmp_path, seed=5), Corpus(many_documents())
    inner = MultiVectorRetriever(all_of(corpus), model=path, top_k=6)
    outer = MultiVectorRetriever(inner, model=other, top_k=4)
    queries, library = batch(corpus, QUERIES[:2]), Library(other)
    check_retriever(outer, queries)
    found, before = outer.retrieve(queries), inner.retrieve(queries)
    for line, query in enumerate(queries.texts):
        assert set(found.rows[line]) <= set(before.rows[line])
        scores = [library.score(query, text) for text in corpus.texts(found.rows[line])]
        np.testing.assert_allclose(found.scores[line], scores, rtol=1e-5)
    assert set(outer.models()) == {"dense", "multi-vector", "multi-vector-2"}


def test_blocks_change_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Corpus(many_documents())
    queries = batch(corpus, QUERIES)
    retriever = MultiVectorRetriever(all_of(corpus), model=path)
    found = retriever.retrieve(queries)
    monkeypatch.setattr("hf_hardneg.retrievers.multi_vector_scores.TOKENS_AT_ONCE", 7)
    monkeypatch.setattr("hf_hardneg.token_store.OPEN_PARTS", 1)
    assert same(found, MultiVectorRetriever(all_of(corpus), model=path).retrieve(queries))


def test_splade_s_words_as_a_late_interaction_model(tmp_path: Path) -> None:
    """A trained transformer on real text."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    words = Path(__file__).resolve().parents[3] / "shared" / "models" / "splade-tiny"
    if not words.exists():
        pytest.skip("splade-tiny is not beside this checkout")
    modules = [
        Transformer(str(words)), MultiVectorMask(skiplist_words=["the", "?"]),
        Normalize(module_input_name="token_embeddings"),
    ]  # fmt: skip
    MultiVectorEncoder(modules=modules, device="cpu").save(str(tmp_path / "late"))
    documents = [
        "The river flows to the sea", "", "Paris is the capital of France", "a red car", "?",
        "how to cook rice", "a red car", "A red car", "rice with beans in a large pot " * 30,
    ]  # fmt: skip
    corpus, library = Corpus(documents), Library(tmp_path / "late")
    queries = make_queries(
        corpus, ["what is the capital of France", "cars"], [["Paris"], ["a red car"]]
    )
    retriever = MultiVectorRetriever(all_of(corpus), model=tmp_path / "late", batch_size=4)
    check_retriever(retriever, queries, score=library.score, tolerance=1e-4)
    assert corpus.texts(retriever.retrieve(queries).rows[:, :1].ravel())[0] == documents[2]


# -- vectors on disk --------------------------------------------------------------------------


class Counted:
    """Counts what a model encodes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        encode = MultiVectorModel.encode

        def counting(model: MultiVectorModel, texts: list[str], role: str) -> Any:
            self.asked += [f"{role}: {text}" for text in texts]
            return encode(model, texts, role)

        monkeypatch.setattr(MultiVectorModel, "encode", counting)


def test_only_what_is_needed_is_encoded_and_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, documents = Counted(monkeypatch), many_documents()
    corpus = Corpus(documents)
    first = DenseRetriever(corpus, model=ENCODER, top_k=3)
    queries = make_queries(corpus, ["red car", "red car", "slow"], [["outside"], ["red"], []])
    listed = first.retrieve(queries).rows
    needed = {*corpus.texts(np.unique(listed[listed != NO_ROW])), "outside", "red"}
    expected = sorted([f"document: {text}" for text in needed] + ["query: red car", "query: slow"])
    retriever = MultiVectorRetriever(first, model=path)
    retriever.prepare()
    retriever.prepare_queries(queries.texts)
    retriever.prepare_candidates([queries])
    assert sorted(counted.asked) == expected
    found = retriever.retrieve(queries)
    again = MultiVectorRetriever(first, model=path, top_k=2)
    again.prepare_candidates([queries])
    assert np.array_equal(again.retrieve(queries).rows, found.rows[:, :2])
    assert sorted(counted.asked) == expected
    wider = DenseRetriever(corpus, model=ENCODER, top_k=5)
    MultiVectorRetriever(wider, model=path).retrieve(queries)
    assert len(counted.asked) == len(set(counted.asked)) > len(expected)


def test_models_and_settings_in_one_folder_do_not_mix(path: Path, tmp_path: Path) -> None:
    corpus = Corpus(many_documents()[:6])
    queries, other = batch(corpus, QUERIES[:2]), save_multi_vector(tmp_path, seed=9)
    for folder in (path, other, path):
        retriever = MultiVectorRetriever(all_of(corpus), model=folder)
        check_retriever(retriever, queries, score=Library(folder).score)
    options: list[dict[str, Any]] = [
        {"model": path}, {"model": other}, {"model": path, "query_prompt": "a"},
        {"model": path, "document_prompt": "a"}, {"model": path, "max_length": 4},
        {"model": path, "dtype": "bfloat16"},
    ]  # fmt: skip
    made = {MultiVectorRetriever(all_of(corpus), **own).fingerprint() for own in options}
    assert len(made) == len(options)


def test_a_loaded_model(path: Path) -> None:
    from sentence_transformers import MultiVectorEncoder

    corpus, model = Corpus(many_documents()), MultiVectorEncoder(str(path), device="cpu")
    queries = batch(corpus, QUERIES)
    retriever = MultiVectorRetriever(all_of(corpus), model=model, top_k=4)
    fingerprint = retriever.fingerprint()
    found = retriever.retrieve(queries)
    assert same(found, MultiVectorRetriever(all_of(corpus), model=path, top_k=4).retrieve(queries))
    packed = pickle.dumps(retriever)
    assert len(packed) < 2000
    sent = pickle.loads(packed)
    assert sent == retriever
    assert sent.models() == retriever.models()
    assert Hasher.hash(sent) == Hasher.hash(retriever)
    assert same(found, sent.retrieve(queries))
    with pytest.raises(ModelError, match="cannot be sent to another process"):
        sent.retrieve(batch(corpus, ["never asked"]))
    assert MultiVectorRetriever(all_of(corpus), model=model).fingerprint() == fingerprint
    model[0].query_expansion = None
    assert MultiVectorRetriever(all_of(corpus), model=model).fingerprint() != fingerprint
    model[0].query_expansion = {"strategy": "fixed", "length": 8}
    with torch.no_grad():
        model[1].linear.weight[0] += 1
    retriever.prepare()
    assert not same(found, retriever.retrieve(queries))


def test_a_folder_that_was_written_anew(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(path, folder)
    corpus = Corpus(many_documents()[:6])
    queries = batch(corpus, QUERIES[:2])
    retriever = MultiVectorRetriever(all_of(corpus), model=folder)
    found = retriever.retrieve(queries)
    shutil.rmtree(folder)
    shutil.copytree(save_multi_vector(tmp_path / "other", seed=4), folder)
    retriever.prepare()
    assert not same(found, retriever.retrieve(queries))
    check_retriever(retriever, queries, score=Library(folder).score)


def _killed_in_the_third_part(documents: list[str], path: Path) -> None:
    encode, calls = MultiVectorModel.encode, []

    def fatal(model: MultiVectorModel, texts: list[str], role: str) -> Any:
        calls.append(role)
        if len(calls) == 4:  # the query's, and three of documents
            os.kill(os.getpid(), signal.SIGKILL)
        return encode(model, texts, role)

    MultiVectorModel.encode = fatal  # type: ignore[method-assign]
    corpus = Corpus(documents)
    retriever = MultiVectorRetriever(all_of(corpus), model=path)
    retriever.prepare_queries(["red car"])
    retriever.prepare_candidates([make_queries(corpus, ["red car"], [["red"]])])


def stored(cache: Path) -> dict[str, bytes]:
    root = cache / "multi-vector"
    files = [file for file in root.rglob("*") if file.is_file() and file.suffix != ".lock"]
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


def test_a_kill_loses_one_part(
    path: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [f"{one} {two}" for one in FEW for two in FEW]
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_killed_in_the_third_part, args=(documents, path))
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    counted, corpus = Counted(monkeypatch), Corpus(documents)
    queries = make_queries(corpus, ["red car"], [["red"]])
    retriever = MultiVectorRetriever(all_of(corpus), model=path)
    retriever.prepare_queries(["red car"])
    retriever.prepare_candidates([queries])
    assert len(counted.asked) == 30 + 1 - 8  # listed and a positive, without two parts
    found, left = retriever.retrieve(queries), stored(cache)
    assert not [name for name in left if Path(name).parent.name.startswith(".")]
    monkeypatch.setenv("HF_HARDNEG_CACHE", str(tmp_path / "undisturbed"))
    whole = MultiVectorRetriever(all_of(corpus), model=path)
    whole.prepare_queries(["red car"])
    whole.prepare_candidates([queries])
    assert same(found, whole.retrieve(queries))
    assert stored(tmp_path / "undisturbed") == left


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("vectors.bin", b"short", "has 5 bytes and should have"),
        ("vectors.bin", None, "has -1 bytes"),
        ("starts.npy", b"no array", "starts.npy cannot be read"),
        ("keys.npy", b"", "keys.npy cannot be read"),
        ("about.json", b"{}", "about.json cannot be read"),
        ("about.json", b"{", "about.json cannot be read"),
        ("about.json",
         b'{"layout": 9, "storage": "float32", "dimension": 8, "similarity": "maxsim",'
         b' "too_long": 0}',
         "about.json says {'layout': 9"),
        ("about.json",
         b'{"layout": 1, "storage": "float32", "dimension": 4, "similarity": "maxsim",'
         b' "too_long": 0}',
         "of several kinds"),
    ],
)  # fmt: skip
def test_a_store_that_is_not_whole_is_refused(
    path: Path, cache: Path, file: str, content: bytes | None, said: str
) -> None:
    corpus = Corpus(many_documents())
    queries = batch(corpus, QUERIES)
    MultiVectorRetriever(all_of(corpus), model=path).retrieve(queries)
    target = sorted((cache / "multi-vector").glob(f"*/document/*/{file}"))[0]
    if content is None:
        target.unlink()
    else:
        target.write_bytes(content)
    with pytest.raises(OutputError) as error:
        MultiVectorRetriever(all_of(corpus), model=path).retrieve(queries)
    assert said in str(error.value)
    assert "Delete it and run again" in str(error.value)


# -- in a job ---------------------------------------------------------------------------------

ROWS = Dataset.from_dict(
    {"query": [f"{one} {two}" for one in FEW for two in FEW[:3]],
     "positive": [f"{two} {one} river" for one in FEW for two in FEW[:3]]}
)  # fmt: skip
DOCUMENTS = [*ROWS["positive"], *(f"{one} {two} {one}" for one in WORDS for two in FEW)]


def test_a_job(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = "bm25@20,random@5+fusion(top_k=15)+multi-vector(top_k=9)"
    miner = OfflineMiner(strategy, model=str(path), corpus=DOCUMENTS, num_negatives=3)
    assert miner.strategy == (
        f"bm25@20,random@5(seed=0)+fusion(top_k=15)+multi-vector(model={str(path)!r}, top_k=9)"
    )
    pool = miner.retrieve(ROWS)
    retriever = miner._need_strategy().retriever
    queries = make_queries(
        retriever.corpus, ROWS["query"][:], [[text] for text in ROWS["positive"]]
    )
    found = retriever.retrieve(queries)
    assert found.source_ranks is not None
    for line, row in enumerate(pool):
        own = found.filled[line]
        assert row["candidate_rows"] == found.rows[line][own].tolist()
        assert row["candidate_source_ranks"] == found.source_ranks[line][own].tolist()
        assert row["candidate_sources"] == found.sources[line][own].tolist()
    mined = miner.mine(ROWS)
    assert miner.select(pool).to_dict() == mined.to_dict()
    assert "multi-vector" in miner.recipe()["models"]
    counted = Counted(monkeypatch)
    monkeypatch.setattr(MultiVectorRetriever, "_listed", None)  # nobody searches again
    assert miner.mine(ROWS).to_dict() == mined.to_dict()
    assert counted.asked == []


def test_the_rank_of_a_single_retriever_stands_in_the_pool(path: Path) -> None:
    miner = OfflineMiner("bm25@9+multi-vector", model=str(path), corpus=DOCUMENTS)
    pool = miner.retrieve(ROWS)
    plain = OfflineMiner("bm25@9", corpus=DOCUMENTS).retrieve(ROWS)
    assert "candidate_source_ranks" not in plain.column_names
    for row, before in zip(pool, plain, strict=True):
        ranks = dict(zip(before["candidate_rows"], before["candidate_ranks"], strict=True))
        assert row["candidate_source_ranks"] == [[ranks[at]] for at in row["candidate_rows"]]
        assert row["candidate_scores"] == sorted(row["candidate_scores"], reverse=True)


def test_workers_need_no_model_and_batches_do_not_matter(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(str(path), device="cpu")
    miner = OfflineMiner("bm25@9+multi-vector", model=model, corpus=DOCUMENTS, num_negatives=3)
    alone = miner.mine(ROWS).to_dict()
    assert miner.mine(ROWS, num_proc=2).to_dict() == alone
    monkeypatch.setenv("HF_HARDNEG_CACHE", os.environ["HF_HARDNEG_CACHE"] + "-other")
    monkeypatch.setattr("hf_hardneg.retrievers.multi_vector.MOST_ROWS", 4)
    again = OfflineMiner("bm25@9+multi-vector", model=model, corpus=DOCUMENTS, num_negatives=3)
    assert again.mine(ROWS, num_proc=2).to_dict() == alone


def test_what_the_model_does_not_read_is_said(path: Path) -> None:
    corpus = [*DOCUMENTS, "red " * 30, "blue car " * 30]
    miner = OfflineMiner("bm25@9+multi-vector", model=str(path), corpus=corpus)
    notes = miner.report(miner.mine(ROWS)).to_dict()["notes"]
    said = [note for note in notes if "are longer than the model reads" in note]
    assert len(said) == 1
    assert said[0].startswith("multi-vector: 2 of ")


# -- what cannot be ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top_k": 0}, "top_k=0"),
        ({"top_k": 31}, "top_k=31, and 'dense' lists only 30 for each query"),
        ({"max_length": 0}, "max_length=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"storage": "int8"}, "storage='int8'; expected one of float32, float16"),
        ({"dtype": "float"}, "dtype='float'; expected one of float32, bfloat16"),
        ({"model": object(), "revision": "v1"}, "revision='v1' is given with a loaded"),
        ({"model": object(), "device": "cpu"}, "device='cpu' is given with a loaded"),
        ({"model": object(), "dtype": "auto"}, "dtype='auto' is given with a loaded"),
    ],
)
def test_parameters_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError) as error:
        MultiVectorRetriever(all_of(Corpus(["red car"])), **options)
    assert str(error.value).startswith("multi-vector: ")
    assert said in str(error.value)


@pytest.mark.parametrize("first", ["bm25", None, ["red car"]])
def test_no_retriever_before_it(first: Any) -> None:
    with pytest.raises(ParameterError, match="expected a retriever, such as BM25Retriever"):
        MultiVectorRetriever(first)


def test_models_of_another_kind(path: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    corpus = Corpus(["red car", "blue boat"])
    queries = batch(corpus, ["red"])
    dense = save_bi_encoder(tmp_path)
    (tmp_path / "empty").mkdir()
    for model, said in (
        (str(dense), "is no multi-vector model: its configuration says 'SentenceTransformer'"),
        (str(path.parent / "bert"), "its configuration says 'BertModel'"),
        (SentenceTransformer(str(dense), device="cpu"), "compares its vectors by 'cosine'"),
        (str(tmp_path / "empty"), "holds no model"),
        (str(tmp_path / "nowhere"), "neither a folder here nor to be had from the Hub"),
        (object(), "a model of type object"),
    ):
        with pytest.raises(ModelError) as error:
            MultiVectorRetriever(all_of(corpus), model=model).retrieve(queries)
        assert said in str(error.value)
    with pytest.raises(ModelError, match=r"max_length=65, and the model .* at most 64 tokens"):
        MultiVectorRetriever(all_of(corpus), model=path, max_length=65).retrieve(queries)


class Odd:
    """Behaves as a loaded model and gives something else."""

    similarity_fn_name = "maxsim"
    device, max_seq_length, tokenizer = "cpu", None, None

    def __init__(self, query: Any, document: Any) -> None:
        self.given = {"query": query, "document": document}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def __getitem__(self, place: int) -> None:
        return None

    def encode_query(self, texts: list[str], **options: Any) -> list[Any]:
        return [self.given["query"]] * len(texts)

    def encode_document(self, texts: list[str], **options: Any) -> list[Any]:
        return [self.given["document"]] * len(texts)


@pytest.mark.parametrize(
    ("query", "document", "options", "said"),
    [
        (np.ones((2, 3)), np.full((2, 3), np.nan), {}, "gave nan or infinity for 2 of 2 texts"),
        (np.full((1, 3), np.inf), np.ones((2, 3)), {}, "gave nan or infinity for 1 of 1 texts"),
        (np.ones((2, 3)), np.ones(3), {}, "gave arrays of the shapes (3,)"),
        (np.ones((2, 3)), np.ones((2, 0)), {}, "gave arrays of the shapes (2, 0)"),
        (np.ones((2, 4)), np.ones((2, 3)), {}, "queries of 4 dimensions and documents of 3"),
        (np.ones((2, 3)), np.full((2, 3), 1e6), {"storage": "float16"}, "beyond float16, up to"),
    ],
)
def test_vectors_that_cannot_be(
    query: Any, document: Any, options: dict[str, Any], said: str
) -> None:
    corpus = Corpus(["red car", "blue boat"])
    retriever = MultiVectorRetriever(all_of(corpus), model=Odd(query, document), **options)
    with pytest.raises(ModelError) as error:
        retriever.retrieve(make_queries(corpus, ["red"], [["red car"]]))
    assert said in str(error.value)


def test_texts_without_a_token_that_counts() -> None:
    """A document is below all others then; a query likes all of them equally, by 0."""
    corpus = Corpus(["red car", "blue boat"])
    queries = make_queries(corpus, ["red"], [["red car", "outside"]])
    for query, document, score in (
        (np.ones((2, 3)), np.ones((0, 3)), -1e9),
        (np.ones((0, 3)), np.ones((2, 3)), 0.0),
    ):
        found = MultiVectorRetriever(all_of(corpus), model=Odd(query, document)).retrieve(queries)
        shutil.rmtree(Path(os.environ["HF_HARDNEG_CACHE"]) / "multi-vector")
        assert found.rows[0, :2].tolist() == [0, 1]
        assert found.scores[0, :2].tolist() == [score, score]
        assert found.positive_scores.tolist() == [score, score]


def test_no_queries_and_no_candidates(path: Path, tmp_path: Path) -> None:
    corpus = Corpus(["red car", "blue boat"])
    run = tmp_path / "run"
    run.write_text("q1 Q0 1 1 1.5 t\n")
    retriever = MultiVectorRetriever(RunRetriever(corpus, run=run, top_k=4), model=path, top_k=3)
    nobody = MultiVectorRetriever(all_of(corpus), model=path, top_k=3)
    assert nobody.retrieve(make_queries(corpus, [], [])).shape == (0, 3)
    found = retriever.retrieve(make_queries(corpus, ["nowhere"], [[]], ids=["q2"]))
    assert (found.rows == NO_ROW).all()
    assert len(found.positive_scores) == 0
    queries = make_queries(corpus, ["red", "blue"], [["red car"], ["none"]], ids=["q2", "q1"])
    check_retriever(retriever, queries)
    assert retriever.retrieve(queries).rows.tolist() == [[NO_ROW] * 3, [1, NO_ROW, NO_ROW]]
