"""Where a dense retriever searches has no influence on what it finds."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch

from hf_hardneg import CallableEncoder, Corpus, DenseRetriever, OfflineMiner
from hf_hardneg.errors import ParameterError
from hf_hardneg.retrievers import dense
from hf_hardneg.testing import check_retriever, make_queries
from hf_hardneg.torch_search import by_torch

WORDS = ["red", "blue", "car", "boat", "night", "north"]


def counts(asked: list[str]) -> Any:
    return np.array([[text.split().count(word) for word in WORDS] for text in asked], float)


ENCODER = CallableEncoder(counts, name="words", similarity="dot")


def documents(number: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, rng.integers(0, 9))) for _ in range(number)]


def test_a_search_by_torch_is_that_of_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, in the place where a GPU would be taken."""
    monkeypatch.setattr(dense, "nearest_on", lambda device, memory: by_torch("cpu", 10_000))
    corpus = Corpus(documents(90))
    check_retriever(
        DenseRetriever(corpus, model=ENCODER, top_k=20),
        make_queries(corpus, ["red car", "boat boat", ""], [["red"], ["blue"], ["night"]]),
        score=lambda one, two: float(np.prod(counts([one, two]), axis=0).sum()),
    )


def test_it_is_a_parameter_and_no_part_of_what_vectors_are_kept_under() -> None:
    corpus = Corpus(documents(30))
    plain = DenseRetriever(corpus, model=ENCODER)
    there = DenseRetriever(corpus, model=ENCODER, search_device="cpu")
    assert plain.search_device == "auto"
    assert plain.fingerprint() == there.fingerprint()
    assert plain._vectors().folder == there._vectors().folder
    assert pickle.loads(pickle.dumps(there)).search_device == "cpu"
    assert repr(there).endswith("search_device='cpu')")
    miner = OfflineMiner("dense@5(search_device='cpu')", corpus=corpus, model=ENCODER)
    assert "search_device='cpu'" in miner.strategy


def test_devices_that_are_refused() -> None:
    corpus = Corpus(documents(5))
    with pytest.raises(ParameterError, match="search_device='gpu'; expected 'auto', 'cpu', 'cuda'"):
        DenseRetriever(corpus, model=ENCODER, search_device="gpu")
    if not torch.cuda.is_available():
        retriever = DenseRetriever(corpus, model=ENCODER, search_device="cuda")
        with pytest.raises(ParameterError, match="sees no such GPU here"):
            retriever.prepare()  # before anything is encoded
        assert not retriever._vectors().complete
