"""Candidates drawn by weights of their ranks, learnt from where relevant documents stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries, known_positive
from hf_hardneg.checks import at_least, whole_number
from hf_hardneg.errors import ParameterError
from hf_hardneg.samplers.base import Sampler
from hf_hardneg.stage_inputs import Rows

__all__ = ["RankDistributionSampler"]

WINDOW = 9
EDGE = WINDOW // 2
DEGREE = 4
SHALLOWEST = WINDOW + DEGREE
"""A curve of degree 4 needs five values, and each is a mean of nine ranks."""


class RankDistributionSampler(Sampler):
    """Draws ranks where few relevant documents are found, the higher the rather (RANCE).

    Learnt from judged queries, with ``Q`` of them, and ``n(r)`` the number of those that have a
    relevant document at rank ``r``, which counts from 0 here::

        g(r) = (1 - n(r) / Q) / ln(r + 2)
        a(r) = mean of g(r - 4), ..., g(r + 4)
        f(r) = polynomial of degree 4 fitted to a(r) by least squares
        w(r) = max(f(r) - min a, 0)

    ``a`` and ``f`` exist for ranks that have four neighbours on both sides; the first four and the
    last four ranks have the weight of the nearest that has. The log-weight is ``log w(r)``. With
    ``smooth=False`` it is that of ``w(r) = g(r) - min g``: where no relevant document is found at
    all, ``1 / ln(r + 2)`` minus its minimum.

    A rank of weight 0 is never drawn. Without smoothing that is the rank of the lowest ``g``, as a
    rule the last one; with it, every rank at which the curve is not above the lowest mean. Ranks
    beyond ``depth`` are never drawn either. Ranks are raw: nothing that filters drop moves them.

    The judgements are the known positives of the pool's queries: those of all rows of a query, and
    those that the miner's ``positives`` argument adds, which is the place for a more complete set
    of judgements. They are compared as everywhere, by corpus row and by text, so a relevant text
    that stands under two ids counts at both ranks. Queries count once, however many rows they
    have; if the lists of these rows differ, the query counts at each rank at which any of them has
    a relevant document, once. ``Q`` counts the queries with at least one known positive; queries
    that have judgements and no row in the data are not in the pool and do not count.

    It has to see the whole data set, so it works in ``miner.mine`` and ``miner.select``. The
    report's strategy string holds what was learnt; with it, the same weights hold again, without a
    fit, for other data too.

    Source: P. Prakash, J. Killingback, H. Zamani, "Learning robust dense retrieval models from
    incomplete relevance labels", SIGIR 2021, and the authors' code for the smoothing and the edges.
    Differences: the paper learns from a small validation set with complete judgements, here every
    judged query of the data counts, whose judgements are as incomplete as they are: ``n(r)`` is
    too low then, and the top ranks are drawn too often. The paper learns anew with every refresh
    of the index while it trains. Its code draws with replacement and passes over repeats, which is
    drawing without replacement, as here.

    Args:
        smooth: whether ``g`` is averaged and fitted; default ``True`` (the paper's).
        depth: number of ranks that are learnt, counted from the first; default: as deep as the
            pool (500 in the authors' code). At least 13 with smoothing, else 2.
        coefficients: what was learnt with smoothing, set by :meth:`fitted`: five numbers
            ``c0, ..., c4``, such that ``f(r) - min a`` is ``c0 + c1 x + ... + c4 x^4`` with
            ``x = (r - 4) / (depth - 9)``. Needs ``depth``.
        weights: what was learnt without smoothing, set by :meth:`fitted`: ``w(r)`` of each rank.

    Raises:
        ParameterError: a value out of range; a pool of fewer ranks than ``depth`` or than
            smoothing needs, or without a known positive; weights that are all 0.
    """

    name = "rance"
    source = "RANCE (Prakash et al., SIGIR 2021)"

    def __init__(
        self,
        *,
        smooth: bool = True,
        depth: int | None = None,
        coefficients: Sequence[float] | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        """Check the parameters, and that what was learnt fits them."""
        if not isinstance(smooth, bool):
            raise ParameterError(
                f"rance: smooth={smooth!r}; expected True or False (the paper's value: True)."
            )
        self.smooth = smooth
        self.coefficients = None if coefficients is None else _numbers("coefficients", coefficients)
        self.weights = None if weights is None else _numbers("weights", weights)
        self._refuse_mixture()
        if self.weights is not None and depth is None:
            depth = len(self.weights)
        self.depth = None if depth is None else self._checked_depth(depth)
        self._refuse_misfit()
        self._table = None if self.needs_fit else self._log_weights()

    def _checked_depth(self, depth: int) -> int:
        least = SHALLOWEST if self.smooth else 2
        if whole_number("rance", "depth", depth, 1) < least:
            raise ParameterError(_too_shallow(f"depth={depth}", least, smooth=self.smooth))
        return depth

    def _refuse_mixture(self) -> None:
        """Refuse what was learnt in the other way."""
        if self.smooth and self.weights is not None:
            raise ParameterError(
                "rance: weights are given with smooth=True, which learns coefficients. Add "
                "smooth=False, or leave weights out."
            )
        if not self.smooth and self.coefficients is not None:
            raise ParameterError(
                "rance: coefficients are given with smooth=False, which learns weights. Leave one "
                "of the two out."
            )

    def _refuse_misfit(self) -> None:
        """Refuse what does not fit the depth."""
        if self.weights is not None and (len(self.weights) != self.depth or min(self.weights) < 0):
            raise ParameterError(
                f"rance: weights holds {len(self.weights)} numbers, the lowest "
                f"{min(self.weights, default=0):g}; expected depth={self.depth} numbers of at "
                "least 0, one for each rank."
            )
        if self.coefficients is not None and (
            len(self.coefficients) != DEGREE + 1 or self.depth is None
        ):
            raise ParameterError(
                f"rance: {len(self.coefficients)} coefficients are given with depth={self.depth}; "
                f"expected {DEGREE + 1} numbers (the paper's curve is of degree {DEGREE}) and the "
                "depth that they were learnt with."
            )

    @classmethod
    def learns(cls, arguments: Mapping[str, Any]) -> str:
        """Name the curve."""
        return "weights of ranks, fitted to where the known positives stand"

    @property
    def needs_fit(self) -> bool:
        """Until something was learnt, it has to see the candidates of all rows."""
        return self.coefficients is None and self.weights is None

    def fitted(self, rows: Rows) -> RankDistributionSampler:
        """Return the sampler with the weights of ranks learnt from the known positives."""
        if not self.needs_fit:
            return self
        relevant, judged = _relevant_at(rows)
        depth = len(relevant) if self.depth is None else self.depth
        least = SHALLOWEST if self.smooth else 2
        if len(relevant) < max(depth, least):
            given = f"the pool has {len(relevant)} ranks"
            raise ParameterError(_too_shallow(given, max(depth, least), smooth=self.smooth))
        if not judged:
            raise ParameterError(
                "rance: no query of the pool has a known positive, and the weights are learnt "
                "from where known positives stand. Give judged queries, or positives=... to the "
                "miner."
            )
        gains = (1 - relevant[:depth] / judged) / np.log(np.arange(depth) + 2)
        if not self.smooth:
            weights = tuple((gains - gains.min()).tolist())
            return RankDistributionSampler(smooth=False, depth=depth, weights=weights)
        return RankDistributionSampler(depth=depth, coefficients=_curve(gains))

    def _log_weights(self) -> NDArray[np.float64]:
        """Return log w(r) of each rank, and one more for ranks beyond the depth."""
        depth = self.depth or 0
        if self.coefficients is not None:
            weights = np.maximum(_on_curve(self.coefficients, depth), 0.0)
        else:
            weights = np.array(self.weights)
        if not weights.any():
            raise ParameterError(
                f"rance: all {depth} weights are 0, so that nothing would be drawn. Learn from a "
                "deeper pool, or with smooth=False."
            )
        table = np.full(depth + 1, -np.inf)
        table[:depth][weights > 0] = np.log(weights[weights > 0])
        return table

    def log_weights(
        self, queries: Queries, candidates: Candidates, seed: int
    ) -> NDArray[np.float64]:
        """Return log w(r) of the candidate's raw rank."""
        if self._table is None:
            raise ParameterError(
                "rance: the weights are learnt from the candidates of all rows, and a single "
                "batch does not have them. Use miner.mine(dataset), or give what was learnt "
                "before: the strategy string of its report."
            )
        beyond = len(self._table) - 1
        ranks = candidates.ranks.astype(np.int64) - 1
        known = (ranks >= 0) & (ranks < beyond)
        log_weights: NDArray[np.float64] = self._table[np.where(known, ranks, beyond)]
        return log_weights


def _relevant_at(rows: Rows) -> tuple[NDArray[np.int64], int]:
    """Return n(r), as long as the pool is deep, and the number of judged queries."""
    judged, found, depth = [], [], 0
    for queries, candidates in rows.retrieved():
        judged.append(queries.keys[np.diff(queries.known_offsets) > 0])
        lines, slots = np.nonzero(known_positive(queries, candidates))
        ranks = candidates.ranks[lines, slots].astype(np.uint64) - np.uint64(1)
        found.append(np.stack([queries.keys[lines], ranks], axis=1))
        depth = max(depth, int(candidates.ranks.max(initial=0)))
    if not found:
        return np.zeros(0, dtype=np.int64), 0
    once = np.unique(np.concatenate(found), axis=0)  # a query in several rows counts once
    relevant = np.bincount(once[:, 1].astype(np.int64), minlength=depth)
    return relevant, len(np.unique(np.concatenate(judged)))


def _curve(gains: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the coefficients of f(r) - min a in x, which goes from 0 to 1."""
    means = np.convolve(gains, np.full(WINDOW, 1 / WINDOW), mode="valid")
    x = np.linspace(0, 1, len(means))
    coefficients = np.polynomial.polynomial.polyfit(x, means, DEGREE)
    coefficients[0] -= means.min()
    return tuple(coefficients.tolist())


def _on_curve(coefficients: tuple[float, ...], depth: int) -> NDArray[np.float64]:
    """Return f(r) - min a of each rank; at the edges, that of the nearest rank inside."""
    middle = np.clip(np.arange(depth), EDGE, depth - 1 - EDGE)
    x = (middle - EDGE) / (depth - WINDOW)
    values: NDArray[np.float64] = np.polynomial.polynomial.polyval(x, np.array(coefficients))
    return values


def _numbers(name: str, values: object) -> tuple[float, ...]:
    """Return several finite numbers as a tuple, which can stand in a strategy string."""
    if not isinstance(values, list | tuple) or not all(isinstance(one, Real) for one in values):
        raise ParameterError(
            f"rance: {name}={values!r}; expected several numbers, as they were learnt."
        )
    return tuple(at_least("rance", name, value, -np.inf) for value in values)


def _too_shallow(given: str, least: int, *, smooth: bool) -> str:
    """Say that there are too few ranks, and why."""
    why = (
        f"the moving average of {WINDOW} and the curve of degree {DEGREE}, the paper's, need "
        f"{SHALLOWEST}: retrieve deeper ('bm25@500'), or set smooth=False"
        if smooth and least == SHALLOWEST
        else "retrieve deeper ('bm25@500'), or set a lower depth"
    )
    return f"rance: {given}; expected at least {least} ranks; {why}."
