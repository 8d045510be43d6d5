"""Scoring a bi-encoder on held-out queries, by exact search over all documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.corpus import Corpus
from hf_hardneg.encoders import SentenceEncoder, encode_checked, unit_vectors
from hf_hardneg.evaluation.compare_figures import DEPTH, ranking_values
from hf_hardneg.evaluation.held_out import HeldOut
from hf_hardneg.vector_search import exact_search

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["rank_held_out", "score"]

DOCUMENTS_AT_ONCE = 16_384


def rank_held_out(
    model: SentenceTransformer, held_out: HeldOut, corpus: Corpus
) -> dict[str, list[str]]:
    """Return the ids of the nearest documents of every query, best first, by exact search."""
    encoder = SentenceEncoder(model)
    similarity = encoder.similarity
    unit = similarity == "cosine"

    def vectors(texts: Sequence[str], role: str) -> NDArray[np.float32]:
        found = encode_checked(encoder, texts, role)
        return np.ascontiguousarray(unit_vectors(found) if unit else found, dtype=np.float32)

    def blocks() -> Iterator[tuple[int, NDArray[np.float32]]]:
        for start in range(0, len(corpus), DOCUMENTS_AT_ONCE):
            numbers = range(start, min(start + DOCUMENTS_AT_ONCE, len(corpus)))
            yield start, vectors(corpus.texts(numbers), "document")

    queries = vectors(held_out.texts, "query")
    places, _ = exact_search(queries, blocks(), min(DEPTH, len(corpus)), similarity)
    names = np.array(corpus.ids(np.maximum(places, 0).ravel()), dtype=object).reshape(places.shape)
    return {
        query: [name for name, place in zip(line, own, strict=True) if place >= 0]
        for query, line, own in zip(held_out.ids, names.tolist(), places.tolist(), strict=True)
    }


def score(
    model: SentenceTransformer, held_out: HeldOut, corpus: Corpus, precision: str = "float32"
) -> dict[str, NDArray[np.float64]]:
    """Return the measures of a model for every held-out query.

    Args:
        model: is brought to ``precision``.
        held_out: queries with judgements.
        corpus: the documents that are ranked.
        precision: ``float32`` or ``bfloat16``.
    """
    model.eval()
    if precision == "bfloat16":
        model.bfloat16()
    return ranking_values(rank_held_out(model, held_out, corpus), held_out)
