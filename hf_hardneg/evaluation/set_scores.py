"""Scores of the pairs of a mined set by a model that is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_hardneg.encoders import Encoder, SentenceEncoder, encode_checked
from hf_hardneg.errors import ModelError
from hf_hardneg.models import model_name
from hf_hardneg.vector_search import pair_similarity

__all__ = ["PairScorer", "pair_scorer", "scorer_name"]

PairScorer: TypeAlias = Callable[[Sequence[str], NDArray[np.int64], Sequence[str]], Any]
"""Queries, which of them each document stands beside, documents; to scores, shape (documents,)."""


def scorer_name(model: Any) -> str:  # noqa: ANN401
    """Return the name of a model or a function, to be shown."""
    if isinstance(model, Encoder):
        return model.name
    if hasattr(model, "__name__"):
        return str(model.__name__)
    return model_name(model)


def pair_scorer(model: Any) -> PairScorer:  # noqa: ANN401
    """Return a scorer made of a model.

    Args:
        model: an embedding model by its name or path, loaded, or an encoder: similarity as it
            declares; a loaded ``CrossEncoder``; or a function of two lists of the same length,
            queries and documents, to one score a pair.

    Raises:
        ModelError: something else.
    """
    if isinstance(model, str | Path) or hasattr(model, "encode"):
        return _by_vectors(model if isinstance(model, Encoder) else SentenceEncoder(model))
    if hasattr(model, "predict"):
        return _by_function(
            lambda queries, documents: model.predict(
                list(zip(queries, documents, strict=True)), show_progress_bar=False
            )
        )
    if callable(model):
        return _by_function(model)
    raise ModelError(
        f"a model of type {type(model).__name__}; expected a name, a path, a loaded model, or a "
        "function of queries and documents."
    )


def _by_function(function: Callable[[list[str], list[str]], ArrayLike]) -> PairScorer:
    def score(
        queries: Sequence[str], lines: NDArray[np.int64], documents: Sequence[str]
    ) -> NDArray[np.float64]:
        found = np.asarray(function([queries[line] for line in lines], list(documents)))
        if found.shape != (len(documents),):
            raise ModelError(
                f"the scorer gave an array of shape {found.shape} for {len(documents)} pairs; "
                f"expected ({len(documents)},)."
            )
        return found.astype(np.float64)

    return score


def _by_vectors(encoder: Encoder) -> PairScorer:
    def score(
        queries: Sequence[str], lines: NDArray[np.int64], documents: Sequence[str]
    ) -> NDArray[np.float64]:
        if not len(documents):
            return np.zeros(0)
        asked, query_place = _distinct([queries[line] for line in lines])
        found, place = _distinct(documents)
        scores = pair_similarity(
            np.ascontiguousarray(encode_checked(encoder, asked, "query")),
            query_place,
            np.ascontiguousarray(encode_checked(encoder, found, "document")),
            place,
            encoder.similarity,
        )
        return scores.astype(np.float64)

    return score


def _distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the different texts, and which of them each is."""
    places: dict[str, int] = {}
    numbers = [places.setdefault(text, len(places)) for text in texts]
    return list(places), np.array(numbers, dtype=np.int64)
