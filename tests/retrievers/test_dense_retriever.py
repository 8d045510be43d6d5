"""Dense retrieval by value, and its vectors: kept, resumed, never mixed."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from tiny_models import WORDS, save_bi_encoder

from hf_hardneg import CallableEncoder, Corpus, DenseRetriever, OfflineMiner, vectors
from hf_hardneg.candidates import Queries
from hf_hardneg.errors import ModelError, ParameterError
from hf_hardneg.testing import check_retriever, make_queries

texts = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)


def counts(asked: list[str]) -> Any:
    """Whole numbers, so that many scores tie."""
    return np.array([[text.split().count(word) for word in WORDS[:6]] for text in asked], float)


def letters(similarity: str = "cosine") -> CallableEncoder:
    return CallableEncoder(counts, name="words", similarity=similarity)


def score_of(similarity: str) -> Any:
    def score(query: str, document: str) -> float:
        one, two = counts([query, document])
        if similarity == "euclidean":
            return -float(np.linalg.norm(one - two))
        lengths = np.linalg.norm(one) * np.linalg.norm(two) if similarity == "cosine" else 1.0
        return float(one @ two / lengths) if lengths else 0.0

    return score


def batch(corpus: Corpus, queries: list[str], positives: list[str] | None = None) -> Queries:
    own = positives or ["outside the corpus"] * len(queries)
    return make_queries(corpus, queries, [[text] for text in own])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_bi_encoder(tmp_path_factory.mktemp("model")))


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@settings(max_examples=15)
@given(
    documents=st.lists(texts, min_size=1, max_size=25),
    queries=st.lists(texts, min_size=1, max_size=4),
    positive=texts,
    top_k=st.integers(1, 14),
)
def test_equals_brute_force(
    similarity: str, documents: list[str], queries: list[str], positive: str, top_k: int
) -> None:
    """With equal texts under several ids, ties, and zero vectors."""
    corpus = Corpus(documents)
    positives = [[documents[0], positive], *[[positive]] * (len(queries) - 1)]
    check_retriever(
        DenseRetriever(corpus, model=letters(similarity), top_k=top_k),
        make_queries(corpus, queries, positives),
        score=score_of(similarity),
    )


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_a_model(model: str, similarity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "SHARD", 7)
    rng = np.random.default_rng(0)
    documents = [" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(40)]
    corpus = Corpus([*documents, documents[3]])
    plain = SentenceTransformer(model, device="cpu", similarity_fn_name=similarity)  # type: ignore[arg-type]

    def score(query: str, document: str) -> float:
        one, two = plain.encode_query([query]), plain.encode_document([document])
        return float(plain.similarity(one, two))

    check_retriever(
        DenseRetriever(corpus, model=model, similarity=similarity, top_k=11),
        batch(corpus, ["red car", "night boat", "of the"], [documents[0], "red", documents[9]]),
        score=score,
    )


def test_memory_has_no_influence(model: str) -> None:
    rng = np.random.default_rng(0)
    corpus = Corpus([" ".join(rng.choice(WORDS, 6)) for _ in range(300)])
    queries = batch(corpus, ["red car", "night boat", "of the"])
    whole = DenseRetriever(corpus, model=model, top_k=20).retrieve(queries)
    for size in (1e-9, 16e-7, 64e-6):
        small = DenseRetriever(corpus, model=model, top_k=20)
        small.memory_gb = size  # below what may be asked for: blocks of 1, 12 and 500 vectors
        found = small.retrieve(queries)
        assert found.rows.tolist() == whole.rows.tolist()
        assert found.scores.tobytes() == whole.scores.tobytes()


def test_two_checkpoints_in_one_folder_never_mix(tmp_path: Path) -> None:
    """Of the same name too: what counts is the weights."""
    corpus = Corpus([" ".join(WORDS[start : start + 4]) for start in range(20)])
    queries = batch(corpus, ["red car", "night boat"])
    scores = []
    for seed in (0, 1):
        path = save_bi_encoder(tmp_path, seed=seed)
        retriever = DenseRetriever(corpus, model=str(path), top_k=5)
        scores.append(retriever.retrieve(queries).scores)
        fresh = DenseRetriever(corpus, model=str(path), top_k=5, cache_dir=tmp_path / f"c{seed}")
        assert fresh.retrieve(queries).scores.tobytes() == scores[-1].tobytes()
    assert not np.allclose(scores[0], scores[1], atol=1e-3)


def test_a_checkpoint_that_is_written_anew_is_noticed(tmp_path: Path) -> None:
    corpus = Corpus([" ".join(WORDS[start : start + 4]) for start in range(20)])
    queries = batch(corpus, ["red car"])
    retriever = DenseRetriever(corpus, model=str(save_bi_encoder(tmp_path)), top_k=5)
    before = retriever.retrieve(queries).scores
    save_bi_encoder(tmp_path, seed=1)
    retriever.prepare()
    assert not np.allclose(retriever.retrieve(queries).scores, before, atol=1e-3)


def test_nothing_is_encoded_twice() -> None:
    asked: list[str] = []

    def watched(more: list[str]) -> Any:
        asked.extend(more)
        return counts(more)

    documents = [" ".join(WORDS[start : start + 3]) for start in range(15)]
    rows = Dataset.from_dict({"query": ["red", "blue", "red"], "positive": [*documents[:2], "new"]})

    def miner(strategy: str = "top") -> OfflineMiner:
        encoder = CallableEncoder(watched, name="watched")
        return OfflineMiner(f"dense@8+{strategy}", model=encoder, corpus=documents, num_negatives=2)

    miner().mine(rows)
    assert sorted(asked) == sorted([*documents, "red", "blue", "new"])
    miner("random").mine(rows)
    miner("margin").mine(rows.select([2, 0]))
    assert len(asked) == 18


def test_a_loaded_model_and_num_proc(model: str) -> None:
    """Everything is encoded before workers start, so they need no model."""
    loaded = SentenceTransformer(model, device="cpu")
    documents = [" ".join(WORDS[start : start + 4]) for start in range(25)]
    rows = Dataset.from_dict({"query": WORDS[:20], "positive": documents[:20]})

    def mined(chosen: Any, **options: Any) -> Dataset:
        miner = OfflineMiner("dense@10", model=chosen, corpus=documents, num_negatives=3)
        return miner.mine(rows, **options)

    want = mined(model)
    for got in (mined(loaded), mined(loaded, num_proc=2, resume=False), mined(model, num_proc=3)):
        assert got.to_dict()["hard_negative_ids"] == want.to_dict()["hard_negative_ids"]


def test_a_loaded_model_does_not_travel(model: str) -> None:
    corpus = Corpus(["red car", "blue boat"])
    retriever = DenseRetriever(corpus, model=SentenceTransformer(model, device="cpu"), top_k=2)
    again = pickle.loads(pickle.dumps(retriever))
    with pytest.raises(ModelError, match="cannot be sent to another process, and 2 document texts"):
        again.prepare()
    want = retriever.retrieve(batch(corpus, ["red"]))
    assert again.retrieve(batch(corpus, ["red"])).scores.tobytes() == want.scores.tobytes()
    with pytest.raises(ModelError, match="1 query texts"):
        again.retrieve(batch(corpus, ["night"]))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"top_k": 0}, "top_k=0"),
        ({"storage": "int4"}, "storage='int4'; expected one of float32, float16, int8"),
        ({"memory_gb": 0}, "memory_gb=0"),
        ({"dtype": "half"}, "dtype='half'"),
        ({"model": letters(), "dtype": "bfloat16"}, "dtype is given with CallableEncoder"),
    ],
)
def test_parameters_that_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        DenseRetriever(Corpus(["a", "b"]), **arguments)


def test_queries_of_another_dimension() -> None:
    encoder = CallableEncoder(counts, query=lambda asked: np.ones((len(asked), 3)), name="odd")
    corpus = Corpus(["red car", "blue boat"])
    with pytest.raises(ModelError, match="queries of 3 dimensions, and the documents have 6"):
        DenseRetriever(corpus, model=encoder).retrieve(batch(corpus, ["red"]))


def test_what_the_report_says_of_the_vectors(model: str) -> None:
    documents = [" ".join(WORDS[start % 29 : start % 29 + 4] * 2) for start in range(60)]
    rows = Dataset.from_dict({"query": WORDS[:5], "positive": documents[:5]})

    def notes(**options: Any) -> list[str]:
        miner = OfflineMiner("dense@10", model=model, corpus=documents, num_negatives=2, **options)
        pool = miner.retrieve(rows)
        assert miner.report(miner.select(pool)).notes == miner.report(miner.mine(rows)).notes
        return miner.report(miner.mine(rows)).notes

    assert notes() == []
    [short] = notes(dtype="bfloat16")
    assert short.startswith("dense: computed in bfloat16; of the 10 nearest of 29 sampled")
    assert 50 < float(short.split("it has ")[1].split("%")[0]) <= 100
    [cut] = notes(max_length=8)
    assert "29 sampled documents" in cut
    assert "are longer than the model reads" in cut


KILLED = """
    import os, signal, sys
    import numpy as np
    from datasets import Dataset
    from hf_hardneg import CallableEncoder, OfflineMiner, vectors

    vectors.SHARD = 10
    left = int(sys.argv[1])

    def encode(texts):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return np.array([[len(text), hash_of(text), 1.0] for text in texts])

    def hash_of(text):
        return sum(map(ord, text)) % 17

    documents = [f"document {number % 60}" + "x" * (number % 7) for number in range(90)]
    rows = Dataset.from_dict(
        {"query": [f"query {number}" for number in range(25)], "positive": documents[:25]}
    )
    encoder = CallableEncoder(encode, name="letters", similarity="dot")
    miner = OfflineMiner(
        "dense@20", model=encoder, corpus=documents, num_negatives=3, cache_dir=sys.argv[2]
    )
    miner.mine(rows).to_json(sys.argv[3])
"""


def test_killed_while_encoding_and_run_again_equals_never_killed(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(textwrap.dedent(KILLED))

    def run(left: int, name: str) -> int:
        command = [sys.executable, str(script), str(left), str(tmp_path / name)]
        done = subprocess.run([*command, str(tmp_path / f"{name}.json")], capture_output=True)
        return done.returncode

    assert run(-1, "whole") == 0
    for left in (3, 1, 4):
        assert run(left, "cut") == -signal.SIGKILL
    assert run(-1, "cut") == 0
    assert (tmp_path / "cut.json").read_bytes() == (tmp_path / "whole.json").read_bytes()

    def stored(name: str) -> dict[str, bytes]:
        root = tmp_path / name / "vectors"
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.npy")}

    assert len(stored("whole")) > 10
    assert stored("cut") == stored("whole")
