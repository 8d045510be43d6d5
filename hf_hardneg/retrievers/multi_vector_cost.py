"""What late interaction is expected to take, from a few texts and their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from hf_hardneg.corpus import Corpus
from hf_hardneg.encoder_cost import PROBE, in_places
from hf_hardneg.token_vectors import TokenVectors, max_similarities
from hf_hardneg.workload import Phase, Workload, seconds_by_length, timed

__all__ = ["late_interaction_phases"]

DOCUMENTS = 64
QUERIES = 8

Encode = Callable[[Sequence[str], str], TokenVectors]


def late_interaction_phases(
    name: str, encode: Encode, corpus: Corpus, listed: int, width: int, work: Workload
) -> tuple[Phase, ...]:
    """Return the phases of encoding and scoring the candidates of all queries.

    Args:
        name: of the retriever.
        encode: texts and their role to vectors.
        corpus: the documents.
        listed: candidates of each query.
        width: bytes of a number on disk.
        work: the whole job.
    """
    load = timed(lambda: encode([PROBE], "query"))
    lengths = corpus.text_lengths()
    # At most: queries have candidates in common.
    share = min(len(work.queries) * listed / len(corpus), 1.0)

    def documents(places: Sequence[int]) -> TokenVectors:
        return encode(corpus.texts(places), "document")

    seconds, tried = seconds_by_length(documents, lengths, work.budget)
    places = np.unique(np.linspace(0, len(corpus) - 1, DOCUMENTS).astype(np.int64))
    some = documents(places.tolist())
    stored = int(share * len(corpus) * some.vectors.size * width / len(some))
    texts = in_places(work.queries, "query")
    asking = seconds_by_length(
        lambda own: encode(texts.take(own), "query"), texts.lengths, work.budget
    )
    queries = encode(work.tried[:QUERIES], "query")
    score = partial(_score_all, queries, some)
    score()
    each = timed(score) / (len(queries) * len(some))
    basis = f"{tried:,} of at most {int(share * len(corpus)):,} texts"
    return (
        Phase(f"{name}: load the model", load, basis="done"),
        Phase(f"{name}: encode documents", share * seconds / work.processes, 0, stored, basis),
        Phase(f"{name}: encode queries", asking[0] / work.processes,
              basis=f"{asking[1]:,} of {len(texts.lengths):,} texts"),
        Phase(f"{name}: score", each * listed * len(work.queries) / work.processes,
              basis=f"{len(queries) * len(some):,} pairs"),
    )  # fmt: skip


def _score_all(queries: TokenVectors, documents: TokenVectors) -> None:
    for place in range(len(queries)):
        max_similarities(queries[place], documents)
