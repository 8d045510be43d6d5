"""Shingles, MinHash signatures against the exact resemblance, and cosines of documents."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg import CallableEncoder, Corpus, DenseRetriever
from hf_hardneg.errors import MissingExtraError, StrategyError
from hf_hardneg.near_texts import Signatures, cosines, resemblance, shingles

VOCABULARY = [f"w{number}" for number in range(300)]


def jaccard(one: str, other: str, words: int = 3) -> float:
    left, right = shingles(one, words), shingles(other, words)
    return len(left & right) / len(left | right)


def estimate(signatures: Signatures, one: str, other: str) -> float:
    found = signatures.of_texts([one, other])
    return float(resemblance(found, np.array([0]), found, np.array([1]))[0])


def edited(rng: np.random.Generator, words: list[str], share: float) -> str:
    """Some words changed."""
    return " ".join(str(rng.choice(VOCABULARY)) if rng.random() < share else word for word in words)


def test_shingles_are_runs_of_normalised_words() -> None:
    assert shingles("The  cat SAT\non the", 3) == {"the cat sat", "cat sat on", "sat on the"}
    assert shingles("a b a b a b", 2) == {"a b", "b a"}
    assert shingles("Straße \uff21\uff22\uff23 \ufb01n", 2) == {"strasse abc", "abc fin"}
    # decomposed and composed accents are one text
    assert shingles("cafe\u0301 noir", 5) == shingles("CAFÉ  noir", 5)


def test_a_text_shorter_than_a_shingle_is_one_shingle() -> None:
    assert shingles("Two words", 3) == {"two words"}
    assert shingles("now three words", 3) == {"now three words"}
    assert shingles("", 3) == shingles(" \n", 3) == {""}
    signatures = Signatures(3, 64, "test")
    assert estimate(signatures, "two words", "Two  WORDS") == 1
    assert estimate(signatures, "two words", "two word") == 0


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_has_a_signature(one: str, other: str) -> None:
    signatures = Signatures(2, 16, "test")
    assert estimate(signatures, one, one) == 1
    assert estimate(signatures, one, other) == estimate(signatures, other, one)
    if shingles(one, 2) == shingles(other, 2):
        assert estimate(signatures, one, other) == 1
    if not shingles(one, 2) & shingles(other, 2):
        assert estimate(signatures, one, other) < 0.5


def test_a_lone_surrogate_is_no_obstacle() -> None:
    assert estimate(Signatures(3, 16, "test"), "a \ud800 b c", "a \ud800 b c") == 1


@pytest.mark.parametrize("permutations", [32, 128])
def test_the_estimate_is_within_its_standard_error(permutations: int) -> None:
    """Errors in units of sqrt(J (1 - J) / permutations) are those of a standard score."""
    rng = np.random.default_rng(0)
    signatures = Signatures(3, permutations, "test")
    scores = []
    for _ in range(400):
        words = rng.choice(VOCABULARY, 80).tolist()
        one, other = " ".join(words), edited(rng, words, rng.choice([0.02, 0.05, 0.1, 0.2]))
        exact = jaccard(one, other)
        if 0 < exact < 1:
            error = np.sqrt(exact * (1 - exact) / permutations)
            scores.append((estimate(signatures, one, other) - exact) / error)
    assert len(scores) > 300
    assert abs(np.mean(scores)) < 0.2
    assert 0.85 < np.std(scores) < 1.15
    assert np.abs(scores).max() < 4.5


def test_a_long_text() -> None:
    words = [f"w{number}" for number in range(60_000)]
    long, half = " ".join(words), " ".join(words[:30_000])
    signatures = Signatures(3, 128, "test")
    assert estimate(signatures, long, long) == 1
    assert abs(estimate(signatures, long, half) - jaccard(long, half)) < 0.15


def test_each_document_is_worked_out_once_and_few_are_kept() -> None:
    texts = [f"document number {number} of some" for number in range(30)]
    corpus = Corpus(texts)
    asked: list[str] = []

    class Counting(Signatures):
        def _of(self, text: str) -> np.ndarray:
            asked.append(text)
            return super()._of(text)

    few = Counting(3, 16, "test", kept=10)
    rows = np.array([3, 3, 1, 3])
    once = few.of_rows(rows, corpus)
    assert np.array_equal(few.of_rows(rows, corpus), once)
    assert sorted(asked) == [texts[1], texts[3]]
    everything = np.arange(30)
    whole = few.of_rows(everything, corpus)  # more than are kept, at once
    assert len(few) == 10
    assert np.array_equal(whole, Signatures(3, 16, "test").of_rows(everything, corpus))
    assert np.array_equal(few.of_rows(everything, corpus), whole)
    assert len(few) == 10
    assert np.array_equal(few.of_texts(["Document  NUMBER 3 of some"])[0], whole[3])


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(MissingExtraError, match=r"datasketch.*hf-hardneg\[dedup\]"):
        Signatures(3, 128, "near-duplicate")


def letters(texts: list[str]) -> np.ndarray:
    return np.array([[text.count("a") + 0.5, text.count("b"), len(text)] for text in texts])


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_cosines_of_documents(similarity: str) -> None:
    texts = ["a", "aab", "bbbb", "ccccccc", "abcabc"]
    encoder = CallableEncoder(letters, name="letters", similarity=similarity)
    dense = DenseRetriever(Corpus(texts), model=encoder)
    vectors = letters(texts)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    one, other = np.repeat(np.arange(5), 5), np.tile(np.arange(5), 5)
    found = cosines(dense, one, other, "test")
    assert np.allclose(found, (vectors @ vectors.T).ravel(), atol=1e-6)
    assert (found[one == other] == 1).all()
    assert cosines(dense, one[:0], other[:0], "test").shape == (0,)


def test_distances_are_no_cosines() -> None:
    encoder = CallableEncoder(letters, name="letters", similarity="euclidean")
    dense = DenseRetriever(Corpus(["a", "b"]), model=encoder)
    with pytest.raises(StrategyError, match=r"document 0 with itself.*cosine.*by='minhash'"):
        cosines(dense, np.array([0]), np.array([1]), "near-duplicate")
