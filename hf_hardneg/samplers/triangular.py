"""Candidates that are nearer to a positive than to the query."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.bound_stage import BoundStage
from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.checks import whole_number
from hf_hardneg.hashing import gumbel_noise, mix
from hf_hardneg.log_weights import NO_POSITIVE, drawn_positives, score_of_positives
from hf_hardneg.samplers.base import Sampler
from hf_hardneg.stage_inputs import VectorSource

__all__ = ["TriangularSampler"]

FIRST_STAGE = 0x747269616E676C65
"""Keeps the noise of the first stage apart from that of the second, which is the engine's."""
BYTES_AT_ONCE = 1 << 25
"""Of the vectors that are compared at a time."""


class TriangularSampler(BoundStage, Sampler):
    """Draws candidates by the triangle of query, positive and candidate, in two stages.

    Experimental. With ``q`` the query, ``d+`` ONE positive of the row, drawn uniformly by a hash of
    the seed and the query, ``d_i`` a candidate, ``s`` the similarity of two vectors, ``s_i = s(q,
    d_i)`` and ``s+ = s(q, d+)``:

    1. ``first`` candidates are drawn without replacement with the log-weight::

           -(s_i - s+) ** 2 / 4

       which is that of ``ambiguous`` with ``a=0.25, b=0`` for the same positive;
    2. from these the negatives are drawn with the weight::

           ReLU(s(d+, d_i) - s(q, d_i))

       so only those that are nearer to the positive than to the query are drawn at all.

    The stages are no product of two weights: the first decides which candidates the second sees. So
    the first stage has noise of its own, and what it does not draw is never taken. It draws from
    what the filters left, before any veto is asked, so a candidate that a veto drops later has
    taken a place among the ``first``. With ``first`` at least as large as the number of candidates
    the second stage stands alone; with ``first=1`` the first does.

    Where the second weight is 0 for all of a row's ``first`` candidates, that row is drawn by the
    first stage alone: from all of its candidates, as ``ambiguous(a=0.25, b=0)`` would. Where only
    some weights are 0, those candidates are never drawn, and the row may get too few negatives,
    which is counted.

    A positive that is no document of the corpus has no vector, so ``d+`` is drawn from the others
    of the row. A row without any gets no negatives: its candidates are counted as ``unused`` and
    the row as short.

    ``s(q, d_i)`` is the candidate's score where the candidates were found by the vectors
    themselves. The scores of a joined list (``bm25,dense``) are no similarities: there the
    retriever that has vectors is asked, in both stages.

    Source: Z. Yang et al., "TriSampler: A better negative sampling principle for dense retrieval",
    AAAI 2024. The two formulas are from a secondary account of the paper and were not compared with
    the paper or its code. How many candidates the paper's first stage draws is unknown, and so are
    its set sizes altogether: the default of ``first`` is ours, half of what a retriever gives by
    default. What happens where all weights are 0, and with a positive without a vector, is ours
    too.

    Args:
        first: candidates that the first stage draws, at least 1. Default 50.

    Raises:
        ParameterError: ``first`` is no whole number of at least 1.
        StrategyError: there is no retriever to ask.
    """

    name = "triangular"
    needs = ("scores", "vectors")
    among_survivors = True
    source = "Z. Yang et al., TriSampler, AAAI 2024; experimental"
    costs = "reads the vectors of positives and candidates"

    def __init__(self, *, first: int = 50) -> None:
        """Check the parameter."""
        self.first = whole_number(
            self.name, "first", first, 1, "50 by default; the paper's is unknown"
        )

    def log_weights(
        self, queries: Queries, candidates: Candidates, seed: int
    ) -> NDArray[np.float64]:
        """Return the log-weight of the second stage, or where it is 0 everywhere of the first."""
        drawn = drawn_positives(queries, seed, queries.positive_rows != NO_ROW)
        scores, positive = self._similarities(queries, candidates, drawn)
        ambiguity = -((scores - positive[:, None]) ** 2) / 4
        ambiguity = np.where(candidates.filled & ~np.isnan(ambiguity), ambiguity, -np.inf)
        seen = self._drawn_first(ambiguity, queries, candidates, seed)
        side = self._to_positive(queries, candidates, drawn, seen)
        triangle = np.full(candidates.shape, -np.inf)
        relu = np.maximum(side - scores[seen], 0)
        triangle[seen] = np.log(relu, out=np.full(len(relu), -np.inf), where=relu > 0)
        alone = np.max(triangle, axis=1, initial=-np.inf) == -np.inf
        return np.where(alone[:, None], ambiguity, triangle)

    def _drawn_first(
        self,
        ambiguity: NDArray[np.float64],
        queries: Queries,
        candidates: Candidates,
        seed: int,
    ) -> NDArray[np.bool_]:
        """Return which candidates the first stage draws, shape (batch, k): Gumbel-top-k."""
        noise = gumbel_noise(seed, mix(FIRST_STAGE, queries.keys), candidates.document_keys)
        order = np.argsort(-(ambiguity + noise), axis=1, kind="stable")
        seen = np.zeros(candidates.shape, dtype=np.bool_)
        np.put_along_axis(seen, order[:, : self.first], True, axis=1)
        return seen & (ambiguity > -np.inf)

    def _similarities(
        self, queries: Queries, candidates: Candidates, drawn: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ``s(q, d_i)``, shape (batch, k), and ``s(q, d+)``, (batch,), ``nan`` if none."""
        source = self.retriever
        if source.scores_are_similarities(candidates.source_names):
            return candidates.scores.astype(np.float64), score_of_positives(candidates, drawn)
        some = np.flatnonzero(drawn != NO_POSITIVE)
        lines, slots = np.nonzero(candidates.filled & (drawn != NO_POSITIVE)[:, None])

        def ask(lines: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
            return source.query_similarity(queries.texts, lines, rows)

        scores, positive = np.full(candidates.shape, np.nan), np.full(len(queries), np.nan)
        scores[lines, slots] = _in_portions(source, ask, lines, candidates.rows[lines, slots])
        positive[some] = _in_portions(source, ask, some, queries.positive_rows[drawn[some]])
        return scores, positive

    def _to_positive(
        self,
        queries: Queries,
        candidates: Candidates,
        drawn: NDArray[np.int64],
        seen: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Return ``s(d+, d_i)`` of the candidates that were drawn first, shape (seen,)."""
        source = self.retriever
        lines, slots = np.nonzero(seen)
        positives = queries.positive_rows[drawn[lines]]
        rows = candidates.rows[lines, slots]
        return _in_portions(source, source.document_similarity, positives, rows)


def _in_portions(
    source: VectorSource,
    ask: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]],
    one: NDArray[np.int64],
    other: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Ask about pairs, so many at a time that their vectors take bounded memory."""
    if not len(one):
        return np.empty(0)
    size = max(BYTES_AT_ONCE // (2 * 4 * source.dimension), 1)
    parts = [
        ask(one[start : start + size], other[start : start + size])
        for start in range(0, len(one), size)
    ]
    return np.concatenate(parts).astype(np.float64)
