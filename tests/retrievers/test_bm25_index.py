"""The BM25 index on disk: the same bytes whoever builds it, searches it, or asks before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hf_hardneg import BM25Retriever, Corpus
from hf_hardneg.candidates import Candidates
from hf_hardneg.retrievers import bm25, bm25_index
from hf_hardneg.retrievers.bm25 import METHODS
from hf_hardneg.testing import make_queries

RNG = np.random.default_rng(1)
VOCABULARY = [f"word{number}" for number in range(200)]
DOCUMENTS = [" ".join(RNG.choice(VOCABULARY, 12)) for _ in range(150)]
QUESTIONS = [" ".join(RNG.choice(VOCABULARY, size)) for size in (1, 3, 9, 30, 150, 2, 5)]


def found(retriever: BM25Retriever) -> Candidates:
    queries = make_queries(
        retriever.corpus, QUESTIONS, [[DOCUMENTS[line], "word3 word4"] for line in range(7)]
    )
    return retriever.retrieve(queries)


def same(one: Candidates, two: Candidates) -> bool:
    return (
        one.rows.tobytes() == two.rows.tobytes()
        and one.scores.tobytes() == two.scores.tobytes()
        and one.positive_scores.tobytes() == two.positive_scores.tobytes()
    )


@pytest.mark.parametrize("method", METHODS)
def test_both_backends_give_the_same_bytes(
    method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    corpus = Corpus(DOCUMENTS)
    results, files = [], []
    for backend in ("numba", "numpy"):
        monkeypatch.setattr(bm25_index, "_backend", lambda backend=backend: backend)
        home = tmp_path / backend
        results.append(found(BM25Retriever(corpus, top_k=20, method=method, cache_dir=home)))
        files.append({path.name: path.read_bytes() for path in home.glob("bm25/*/*.npy")})
    assert same(*results)
    assert files[0]
    assert files[0] == files[1]


@pytest.mark.parametrize("method", ["lucene", "bm25+"])
def test_a_positive_has_the_same_score_in_the_list_and_below_it(method: str) -> None:
    corpus = Corpus(DOCUMENTS)
    deep = found(BM25Retriever(corpus, top_k=150, method=method))
    shallow = found(BM25Retriever(corpus, top_k=1, method=method))
    assert np.isin(np.arange(3, 7), deep.rows[3:]).all()
    assert deep.positive_scores.tobytes() == shallow.positive_scores.tobytes()


def test_a_positive_outside_the_corpus_scores_as_its_equal_inside() -> None:
    """The closed form agrees with the index: the same words under another text."""
    corpus = Corpus(DOCUMENTS)
    retriever = BM25Retriever(corpus, top_k=5)
    inside = [[text] for text in DOCUMENTS[:7]]
    outside = [[f"{text} !"] for text in DOCUMENTS[:7]]  # the sign is no word
    queries = make_queries(corpus, DOCUMENTS[7:14], inside)
    others = make_queries(corpus, DOCUMENTS[7:14], outside)
    assert (others.positive_rows == -1).all()
    np.testing.assert_allclose(
        retriever.retrieve(others).positive_scores,
        retriever.retrieve(queries).positive_scores,
        rtol=1e-6,
    )
    assert (retriever.retrieve(queries).positive_scores > 0).any()


def test_the_number_of_threads_is_of_no_influence(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Corpus(DOCUMENTS)
    results = []
    for threads in (1, 2, 5, 100):
        monkeypatch.setattr(bm25, "usable_threads", lambda threads=threads: threads)
        results.append(found(BM25Retriever(corpus, top_k=20)))
    assert all(same(results[0], other) for other in results[1:])


@pytest.mark.parametrize("stemmer", ["english", None])
def test_what_was_asked_before_is_of_no_influence(stemmer: str | None) -> None:
    """The tokenizer learns words as it reads queries; that must not show."""
    documents = ["running dogs", "a dog runs", "cats"]
    corpus = Corpus(documents)
    words = ["dogs unknown", "unknown dog", "runner", "running", "the unknown", "cat dogs"]
    queries = [make_queries(corpus, [text], [["a dog runs fast"]]) for text in words]
    used = BM25Retriever(corpus, top_k=3, stemmer=stemmer)
    for _ in range(2):
        for asked in queries[::-1]:
            fresh = BM25Retriever(corpus, top_k=3, stemmer=stemmer).retrieve(asked)
            assert same(used.retrieve(asked), fresh)


def test_the_index_is_memory_mapped_and_built_once(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    corpus = Corpus(DOCUMENTS)
    first = BM25Retriever(corpus)
    first.prepare()
    monkeypatch.setattr(bm25, "build", lambda *rest: pytest.fail("built again"))
    index = BM25Retriever(corpus)._open()
    assert all(isinstance(part, np.memmap) for part in (index._data, index._indices))
    assert len(list((cache / "bm25").glob("*/params.index.json"))) == 1


def test_other_parameters_or_documents_have_an_index_of_their_own(cache: Path) -> None:
    BM25Retriever(Corpus(["red car"])).prepare()
    BM25Retriever(Corpus(["red car", "blue"])).prepare()
    BM25Retriever(Corpus(["red car"]), k1=1.2).prepare()
    BM25Retriever(Corpus(["red car"]), stopwords=["red"]).prepare()
    BM25Retriever(Corpus(["red car"]), stopwords=("red",)).prepare()
    BM25Retriever(Corpus(["red car"]), k1=1.5, top_k=3).prepare()
    assert len(list((cache / "bm25").glob("*/params.index.json"))) == 4


BUILDER = """
import sys
from hf_hardneg import BM25Retriever, Corpus
from hf_hardneg.retrievers import bm25_index
from hf_hardneg.testing import make_queries
bm25_index._backend = lambda: "numpy"  # spares each process the compilation of the other
corpus = Corpus([f"word{number % 7} common text{number}" for number in range(2000)])
sys.stdin.readline()
found = BM25Retriever(corpus, top_k=5).retrieve(make_queries(corpus, ["common word3"], [["x"]]))
print(found.rows.tolist(), found.scores.tolist())
"""


def test_two_processes_build_at_once(cache: Path) -> None:
    builders = [
        subprocess.Popen(
            [sys.executable, "-c", BUILDER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [builder.communicate("go\n", timeout=120)[0] for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("[[3, 10, 17, 24, 31]]")
    assert len(list((cache / "bm25").glob("*/params.index.json"))) == 1
    assert not list((cache / "bm25").glob(".*"))
