"""Several retrievers at once: the union of their candidates, ranked by fusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Candidates, Queries, order_by_score
from hf_hardneg.checks import at_least, one_of, whole_number
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.retrievers.base import JoinedRetriever, Retriever

__all__ = ["HybridRetriever"]

METHODS = ("rrf", "weighted")


class HybridRetriever(JoinedRetriever):
    """Candidates of several retrievers, each with what found it and at which rank.

    In a strategy string the retrievers stand before the first ``+``, joined by commas, and this
    stage, if its parameters are set, right after them: ``"bm25,dense+fusion(by='weighted')"``.

    ``rrf``, reciprocal rank fusion: the score is the sum of ``weight / (rrf_k + rank)`` over the
    retrievers that list the document (G. Cormack, C. Clarke, S. Büttcher, SIGIR 2009, equation
    1, where all weights are 1). A positive that none of them lists has the score 0.

    ``weighted``: the weighted mean of the scores, each retriever's brought to [0, 1] by the lowest
    and the highest of its list for the query (CombSUM with min-max normalisation: E. Fox, J. Shaw,
    TREC-2, 1994). A document that a retriever does not list gets 0 from it, and so does a positive
    that scores below the list; one above the list gets more than 1.

    Args:
        retrievers: two or more, over the same corpus.
        by: ``rrf`` or ``weighted``.
        rrf_k: of ``rrf``: the larger, the less the first ranks stand out.
        weights: one for each retriever, not negative; default: all 1.
        top_k: how many of the union are kept; default: all.

    Raises:
        ParameterError: fewer than two retrievers, another corpus in one of them, weights that do
            not fit.
        StrategyError: ``weighted`` with a retriever that gives no scores.
    """

    name = "fusion"
    source = "Cormack et al., Reciprocal rank fusion, SIGIR 2009"
    parts_parameter = "retrievers"
    wants = "joins several retrievers"
    example = "bm25,dense+fusion(by='weighted')+denoised"

    def __init__(
        self,
        retrievers: Sequence[Retriever],
        *,
        by: str = "rrf",
        rrf_k: float = 60,
        weights: Sequence[float] | None = None,
        top_k: int | None = None,
    ) -> None:
        """Check that the parts fit together."""
        self.retrievers = tuple(retrievers)
        if len(self.retrievers) < 2 or not all(
            isinstance(part, Retriever) for part in self.retrievers
        ):
            raise ParameterError(f"fusion: {retrievers!r}; expected two retrievers or more.")
        nested = [part.name for part in self.retrievers if isinstance(part, JoinedRetriever)]
        if nested:
            raise ParameterError(
                f"fusion: {nested[0]!r} works on the lists of other retrievers itself, and a "
                "strategy string has no way to say that. Join the retrievers that it works on."
            )
        self.corpus = self.retrievers[0].corpus
        for part in self.retrievers[1:]:
            if part.corpus.fingerprint != self.corpus.fingerprint:
                raise ParameterError(
                    f"fusion: {part.name!r} works on another corpus than "
                    f"{self.retrievers[0].name!r}. Give both the same documents."
                )
        self.by = one_of("fusion", "by", by, METHODS)
        unscored = [part.name for part in self.retrievers if not part.scored]
        if self.by == "weighted" and unscored:
            raise StrategyError(
                f"fusion(by='weighted') adds up scores, and {unscored[0]!r} gives none. Use "
                "by='rrf'."
            )
        self.rrf_k = at_least("fusion", "rrf_k", rrf_k, 0)
        self.weights = None if weights is None else self._checked(weights)
        depth = sum(part.top_k for part in self.retrievers)
        self.top_k = depth if top_k is None else whole_number("fusion", "top_k", top_k, 1)

    def _checked(self, weights: Sequence[float]) -> list[float]:
        if not isinstance(weights, list | tuple) or len(weights) != len(self.retrievers):
            raise ParameterError(
                f"fusion: weights={weights!r}; expected {len(self.retrievers)} numbers, one for "
                "each retriever."
            )
        checked = [at_least("fusion", "weights", weight, 0) for weight in weights]
        if not any(checked):
            raise ParameterError(f"fusion: weights={weights!r}; expected one above 0.")
        return checked

    # -- the recipe --------------------------------------------------------------------------

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that differ from their defaults."""
        values = super().parameters()
        if self.top_k == sum(part.top_k for part in self.retrievers):
            values.pop("top_k", None)
        return values

    def __repr__(self) -> str:
        """Return the constructor call."""
        parts = ", ".join(map(repr, self.retrievers))
        inside = "".join(f", {name}={value!r}" for name, value in self.parameters().items())
        return f"HybridRetriever([{parts}]{inside})"

    @property
    def parts(self) -> tuple[Retriever, ...]:
        """The retrievers that are joined."""
        return self.retrievers

    def models(self) -> dict[str, dict[str, str]]:
        """Return what identifies the models of the parts."""
        return {
            name: found
            for name, part in zip(self.source_names, self.retrievers, strict=True)
            for found in part.models().values()
        }

    # -- the parts ---------------------------------------------------------------------------

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of the parts; the second of a kind has a number."""
        names = [part.name for part in self.retrievers]
        return tuple(
            name if name not in names[:place] else f"{name}-{names[: place + 1].count(name)}"
            for place, name in enumerate(names)
        )

    # -- fusion ------------------------------------------------------------------------------

    def retrieve(self, queries: Queries) -> Candidates:
        """Return the union of all lists, best first, with the rank in each of them."""
        lists = [part.retrieve(queries) for part in self.retrievers]
        shares = [
            weight * self._shares(found)
            for weight, found in zip(self._weights(), lists, strict=True)
        ]
        every = np.concatenate([found.rows for found in lists], axis=1)
        rows = _distinct(every)[:, : min(every.shape[1], sum(p.top_k for p in self.retrievers))]
        scores = np.zeros(rows.shape, dtype=np.float64)
        ranks = np.zeros((*rows.shape, len(lists)), dtype=np.int32)
        for number, (found, share) in enumerate(zip(lists, shares, strict=True)):
            place = _places(rows, found.rows)
            scores += np.where(place >= 0, np.take_along_axis(share, place, axis=1), 0.0)
            own = np.take_along_axis(found.ranks, place, axis=1)
            ranks[:, :, number] = np.where(place >= 0, own, 0)
        return self._fused(queries, rows, scores.astype(np.float32), ranks, lists)

    def _weights(self) -> NDArray[np.float64]:
        weights = np.ones(len(self.retrievers)) if self.weights is None else np.array(self.weights)
        return weights / weights.sum() if self.by == "weighted" else weights

    def _shares(self, found: Candidates) -> NDArray[np.float64]:
        """Return what one list gives to each of its candidates, before its weight."""
        if self.by == "rrf":
            return np.where(found.filled, 1.0 / (self.rrf_k + np.maximum(found.ranks, 1)), 0.0)
        low, high = _bounds(found)
        scaled = _scaled(found.scores.astype(np.float64), low[:, None], high[:, None])
        return np.where(found.filled, scaled, 0.0)

    def _positive_share(self, queries: Queries, found: Candidates) -> NDArray[np.float64]:
        """Return what one list gives to each positive, before its weight."""
        owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
        same = found.rows[owner] == queries.positive_rows[:, None]
        same &= (queries.positive_rows != NO_ROW)[:, None]
        if self.by == "weighted":
            low, high = (bound[owner] for bound in _bounds(found))
            scores = found.positive_scores.astype(np.float64)
            scaled = np.nan_to_num(_scaled(scores, low, high), nan=0.0)
            # As a candidate it would get nothing from a list that it is not in, nor tops.
            any_listed = np.asarray(found.filled.any(axis=1))
            inside = same.any(axis=1) | ((scores > low) & any_listed[owner])
            return np.where(inside, scaled, 0.0)
        rank = np.where(same, found.ranks[owner], 0).max(axis=1, initial=0)
        return np.where(rank > 0, 1.0 / (self.rrf_k + np.maximum(rank, 1)), 0.0)

    def _fused(
        self,
        queries: Queries,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
        ranks: NDArray[np.int32],
        lists: list[Candidates],
    ) -> Candidates:
        """Return the candidates in the order of their fused scores."""
        shape = (len(queries), self.top_k)
        scores = np.where(rows == NO_ROW, np.float32(-np.inf), scores)
        ordered, values = order_by_score(rows, scores)
        # Rows of a line are distinct, so each finds its own ranks again.
        back = np.maximum(_places(ordered, rows), 0)
        own = np.take_along_axis(ranks, back[:, :, None], axis=1)
        own = np.where((ordered != NO_ROW)[:, :, None], own, 0)
        ordered = _fitted(ordered, shape, NO_ROW)
        filled = ordered != NO_ROW
        source_ranks = np.zeros((*shape, len(lists)), dtype=np.int32)
        width = min(shape[1], own.shape[1])
        source_ranks[:, :width] = own[:, :width]
        best = np.where(source_ranks > 0, source_ranks, np.iinfo(np.int32).max).argmin(axis=2)
        positive = sum(
            weight * self._positive_share(queries, found)
            for weight, found in zip(self._weights(), lists, strict=True)
        )
        place = np.arange(1, shape[1] + 1, dtype=np.int32)
        return Candidates(
            rows=ordered,
            scores=_fitted(values, shape, np.float32(-np.inf)),
            ranks=np.where(filled, place, np.int32(0)).astype(np.int32),
            sources=np.where(filled, best, -1).astype(np.int8),
            document_keys=self.corpus.document_keys[np.maximum(ordered, 0)],
            positive_scores=np.asarray(positive, dtype=np.float32),
            source_names=self.source_names,
            source_ranks=source_ranks,
        )


def _distinct(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each line's distinct rows, rising, filled up with -1 at the end."""
    last = np.iinfo(np.int64).max
    ordered = np.sort(np.where(rows == NO_ROW, last, rows), axis=1)
    ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = last
    ordered.sort(axis=1)
    return np.where(ordered == last, NO_ROW, ordered)


def _places(wanted: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each wanted row of a line stands in the same line of ``rows``, else -1."""
    order = np.argsort(rows, axis=1, kind="stable")
    lines = np.arange(len(rows))[:, None]
    # Lines are searched together: each gets a range of numbers of its own.
    size = int(max(rows.max(initial=0), wanted.max(initial=0))) + 2
    flat = (np.take_along_axis(rows, order, axis=1) + 1 + lines * size).ravel()
    place = np.searchsorted(flat, (wanted + 1 + lines * size).ravel()).reshape(wanted.shape)
    within = np.clip(place - lines * rows.shape[1], 0, max(rows.shape[1] - 1, 0))
    found = np.take_along_axis(order, within, axis=1)
    same = np.take_along_axis(rows, found, axis=1) == wanted
    return np.where(same & (wanted != NO_ROW), found, -1)


def _bounds(found: Candidates) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest score of each line, 0 where it is empty."""
    scores = found.scores.astype(np.float64)
    low = np.where(found.filled, scores, np.inf).min(axis=1, initial=np.inf)
    high = np.where(found.filled, scores, -np.inf).max(axis=1, initial=-np.inf)
    empty = ~found.filled.any(axis=1)
    return np.where(empty, 0.0, low), np.where(empty, 0.0, high)


def _scaled(
    scores: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bring scores to [0, 1]; where all of a list are equal, 1 from there up and 0 below."""
    width = high - low
    with np.errstate(invalid="ignore"):
        level = np.where(scores >= low, 1.0, 0.0)
        return np.where(width > 0, (scores - low) / np.where(width > 0, width, 1.0), level)


def _fitted(values: NDArray[Any], shape: tuple[int, int], empty: Any) -> NDArray[Any]:  # noqa: ANN401
    """Cut lines, or fill them up, to the width of ``shape``."""
    out = np.full(shape, empty, dtype=values.dtype)
    width = min(shape[1], values.shape[1])
    out[:, :width] = values[:, :width]
    return out
