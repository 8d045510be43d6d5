"""Candidates that score about as much as a positive, or that stand in a window of ranks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.checks import above, at_least, one_of, whole_number
from hf_hardneg.errors import ParameterError, listing
from hf_hardneg.log_weights import drawn_positives, finite, score_of_positives
from hf_hardneg.samplers.base import Sampler
from hf_hardneg.stage_inputs import Rows

__all__ = ["AmbiguousZoneSampler"]

STRATEGIES = ("simans", "uniform")
SCALES = ("raw", "std")
DEFAULT_A, DEFAULT_B, DEFAULT_TOP_K = 0.5, 0.0, 100
DEFAULT_START, DEFAULT_END = 50, 200
WIDEST = 1e150
"""Of a difference: its square still is a finite number."""


class AmbiguousZoneSampler(Sampler):
    """Draws from the zone between the easy candidates and the false negatives.

    Two different things go by that name, and ``strategy`` chooses between them.

    ``simans``: the zone lies around the score of a positive. With ``s_i`` the candidate's score
    and ``s+`` that of ONE positive of the row, drawn uniformly, the log-weight is::

        -a * (s_i - s+ - b) ** 2

    for the candidates of raw rank up to ``top_k``; others are never drawn. The positive is drawn
    by a hash of the seed and the query, so the draw depends on nothing else. With ``a=0`` this is
    uniform, with a large ``a`` it takes what is nearest to ``s+ + b``.

    Source: K. Zhou et al., "SimANS: Simple ambiguous negatives sampling for dense text retrieval",
    EMNLP 2022 (industry track). The sign of ``b`` is the paper's: a positive ``b`` moves the zone
    to candidates that score above the positive. The released code differs from the paper: it has
    the opposite sign of ``b``, and for MS MARCO passages its log-weight is ``-3 * |s_i - s+|``.
    Here the paper is followed.

    The paper's scores are raw dot products, and ``a`` depends on their scale. Cosine scores differ
    by hundredths, so ``a=0.5`` would be nearly uniform there: give a larger one, or
    ``scale="std"``, an addition of ours, with which the differences are divided by the standard
    deviation ``sigma`` of the scores of ALL positives of the data set::

        -a * ((s_i - s+) / sigma - b) ** 2

    That has to see the whole data set, so it works in ``miner.mine`` and ``miner.select``, not on
    single batches, unless ``sigma`` is given.

    Where the drawn positive has no score (a run that does not list it), or the row has no positive,
    nothing is drawn from the row: no score says where its zone is. Its candidates are counted as
    ``unused`` and the row as one with too few negatives.

    ``uniform``: the zone is a window of raw ranks, ``start_rank <= rank < end_rank``, and every
    candidate in it is as likely: the log-weight is 0 there and ``-inf`` elsewhere. This is a folk
    simplification of the above, not the paper. It needs no scores. The default window reaches
    beyond the 100 candidates that retrievers give by default: ask for 200, such as ``bm25@200``.

    Parameters of one strategy are refused with the other.

    Args:
        strategy: ``simans``, the default, or ``uniform``.
        a: how fast the weight falls, at least 0, per squared unit of score. Default 0.5, the
            paper's.
        b: how far above the positive the zone lies, in units of score (with ``scale="std"`` in
            standard deviations). Default 0; the paper has 0, and 1 on Natural Questions.
        top_k: highest raw rank that may be drawn, at least 1. Default 100, the paper's.
        scale: ``raw``, the default and the paper's, or ``std``.
        sigma: the standard deviation that ``scale="std"`` divides by, above 0; set by
            :meth:`fitted`.
        start_rank: first rank of the window, at least 1. Default 50.
        end_rank: first rank beyond the window. Default 200.

    Raises:
        ParameterError: a value out of range, a parameter of the other strategy, ``sigma`` without
            ``scale="std"``; and when it is fitted, positives whose scores do not vary.
    """

    name = "ambiguous"
    needs = ("scores",)
    source = "K. Zhou et al., SimANS, EMNLP 2022 (strategy='simans')"

    def __init__(
        self,
        *,
        strategy: str = "simans",
        a: float | None = None,
        b: float | None = None,
        top_k: int | None = None,
        scale: str = "raw",
        sigma: float | None = None,
        start_rank: int | None = None,
        end_rank: int | None = None,
    ) -> None:
        """Check that all parameters belong to the strategy."""
        self.strategy = one_of(self.name, "strategy", strategy, STRATEGIES)
        self.scale = one_of(self.name, "scale", scale, SCALES)
        window = {"start_rank": start_rank, "end_rank": end_rank}
        zone = {"a": a, "b": b, "top_k": top_k, "sigma": sigma}
        zone["scale"] = None if scale == "raw" else scale  # type: ignore[assignment]
        self._refuse_others(window if strategy == "simans" else zone)
        if strategy == "uniform":
            self.needs = ()  # type: ignore[assignment]  # narrower than the class
        usual = "the paper's value is"
        self.a = None if a is None else at_least(self.name, "a", a, 0, f"{usual} 0.5")
        self.b = b if b is None else at_least(
            self.name, "b", b, -np.inf, f"{usual} 0, and 1 on Natural Questions"
        )  # fmt: skip
        self.top_k = top_k if top_k is None else whole_number(
            self.name, "top_k", top_k, 1, f"{usual} 100"
        )  # fmt: skip
        self.sigma = None if sigma is None else above(self.name, "sigma", sigma, 0)
        if sigma is not None and scale != "std":
            raise ParameterError(
                f"ambiguous: sigma={sigma!r} is given without scale='std', which it belongs to. "
                "Add that, or leave sigma out."
            )
        self.start_rank, self.end_rank = self._checked_window(start_rank, end_rank)

    def _refuse_others(self, others: Mapping[str, object]) -> None:
        """Refuse parameters of the other strategy."""
        given = [name for name, value in others.items() if value is not None]
        if given:
            [other] = [name for name in STRATEGIES if name != self.strategy]
            raise ParameterError(
                f"ambiguous: {listing(given)} is given with strategy={self.strategy!r}, and belongs"
                f" to strategy={other!r}. Leave it out, or choose that strategy."
            )

    def _checked_window(
        self, start_rank: int | None, end_rank: int | None
    ) -> tuple[int | None, int | None]:
        """Return the bounds if there is a rank between them."""
        for name, rank in (("start_rank", start_rank), ("end_rank", end_rank)):
            if rank is not None:
                whole_number(self.name, name, rank, 1, "by default the window is 50 to 200")
        first = DEFAULT_START if start_rank is None else start_rank
        beyond = DEFAULT_END if end_rank is None else end_rank
        if first >= beyond:
            raise ParameterError(
                f"ambiguous: start_rank={first} is not below end_rank={beyond}; expected "
                "start_rank < end_rank (a rank is drawn from if start_rank <= rank < end_rank; by "
                "default the window is 50 to 200)."
            )
        return start_rank, end_rank

    @property
    def needs_fit(self) -> bool:
        """``scale="std"`` has to see the scores of all positives."""
        return self.scale == "std" and self.sigma is None

    def fitted(self, rows: Rows) -> AmbiguousZoneSampler:
        """Return the sampler with the standard deviation of the positives' scores worked out."""
        if not self.needs_fit:
            return self
        scores = rows.positive_scores().astype(np.float64)
        scored = scores[~np.isnan(scores)]
        sigma = float(scored.std()) if len(scored) else 0.0
        if not sigma > 0:
            raise ParameterError(
                f"ambiguous: scale='std' divides by the standard deviation of the positives' "
                f"scores, and it is 0: {len(scored)} of {len(scores)} positives have a score, all "
                "of them the same. Use scale='raw' with an a that fits your scores, or give sigma."
            )
        return AmbiguousZoneSampler(
            a=self.a, b=self.b, top_k=self.top_k, scale=self.scale, sigma=sigma
        )

    def log_weights(
        self, queries: Queries, candidates: Candidates, seed: int
    ) -> NDArray[np.float64]:
        """Return the log-weight of the strategy."""
        if self.strategy == "uniform":
            return self._window(candidates)
        if self.needs_fit:
            raise ParameterError(
                "ambiguous: scale='std' needs the scores of all positives of the data set, and a "
                "single batch does not have them. Use miner.mine(dataset), or give sigma."
            )
        return self._zone(queries, candidates, seed)

    def _zone(self, queries: Queries, candidates: Candidates, seed: int) -> NDArray[np.float64]:
        a = DEFAULT_A if self.a is None else self.a
        b = DEFAULT_B if self.b is None else self.b
        sigma = 1.0 if self.sigma is None else self.sigma
        top_k = DEFAULT_TOP_K if self.top_k is None else self.top_k
        own = candidates.scores.astype(np.float64)
        positive = score_of_positives(candidates, drawn_positives(queries, seed))[:, None]
        with np.errstate(over="ignore"):
            difference = np.clip((own - positive) / sigma - b, -WIDEST, WIDEST)
            weights = finite(-a * difference**2)
        # Without a score of either there is no difference.
        drawn = (candidates.ranks <= top_k) & ~np.isnan(weights)
        return np.where(drawn, weights, -np.inf)

    def _window(self, candidates: Candidates) -> NDArray[np.float64]:
        start = DEFAULT_START if self.start_rank is None else self.start_rank
        end = DEFAULT_END if self.end_rank is None else self.end_rank
        inside = (start <= candidates.ranks) & (candidates.ranks < end)
        return np.where(inside, 0.0, -np.inf)
