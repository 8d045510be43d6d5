"""Documents, queries and a model that the tests of vector stores share."""

from __future__ import annotations

import socket
from collections.abc import Callable

import numpy as np

from hf_hardneg.encoders import CallableEncoder
from hf_hardneg.hashing import exact_key

DIMENSION = 8
DOCUMENTS = [f"document {number}" for number in range(60)]
QUERIES = [f"query {number}" for number in range(5)]
POSITIVES = [["document 3", "document 50"], ["nowhere"], ["document 7", "another"], [],
             ["document 9"]]  # fmt: skip
SECRET = "s3cr3t-t0ken"


def raw(texts: list[str]) -> np.ndarray:
    """Vectors of any length, decided by the text alone."""
    rows = [np.random.default_rng(exact_key(text)).normal(size=DIMENSION) for text in texts]
    return np.array(rows, dtype=np.float32).reshape(len(texts), DIMENSION)


def unit(texts: list[str]) -> np.ndarray:
    vectors = raw(texts)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def hash_model(similarity: str = "cosine") -> CallableEncoder:
    return CallableEncoder(raw, name="hash", similarity=similarity)


def by_brute_force(similarity: str) -> Callable[[str, str], float]:
    """The score of (query, document), in double precision."""

    def score(query: str, document: str) -> float:
        one, two = raw([query, document]).astype(np.float64)
        if similarity == "euclidean":
            return -float(np.linalg.norm(one - two))
        if similarity == "cosine":
            one, two = one / np.linalg.norm(one), two / np.linalg.norm(two)
        return float(one @ two)

    return score


def closed_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
