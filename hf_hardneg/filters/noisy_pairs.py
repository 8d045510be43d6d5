"""Find rows whose positive is wrong: noisy pair detection of NPC."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.bound_stage import BoundStage
from hf_hardneg.candidates import NO_ROW, Candidates, Queries, among
from hf_hardneg.checks import at_least, one_of, whole_number
from hf_hardneg.draws import random_rows
from hf_hardneg.errors import ParameterError
from hf_hardneg.filters.base import ROW_ACTIONS, RowFilter
from hf_hardneg.hashing import EMPTY_TEXT_KEY
from hf_hardneg.positives import ragged_indices
from hf_hardneg.stage_inputs import Rows

__all__ = ["NoisyPairDetector"]

FEWEST_ROWS = 20
QUERIES_AT_ONCE = 512
SALT = 0x4E5043
"""Keeps the draw apart from that of the retriever ``random`` with the same seed."""
SPARE = 8
"""Documents drawn beside those asked for, in the place of empty ones, copies and the like."""
STEPS, TOLERANCE = 1000, 1e-6
LEAST_VARIANCE = 1e-6
"""Of a component, where the variance of all losses is 1."""
CERTAIN = 0.5
FARTHEST = 1e100

Pair = tuple[float, float]


class NoisyPairDetector(BoundStage, RowFilter):
    """Flags rows whose positive looks wrong, by the two clusters that the losses of all rows form.

    The detection module of NPC (H. Zhang et al., "Noisy pair corrector for dense retrieval",
    Findings of EMNLP 2023). With the score ``s+`` of a row's positive, the scores ``s_j`` of
    ``negatives`` random documents for the same query, and the temperature ``t``::

        PPL_i = -log( e^(s+/t) / (e^(s+/t) + sum_j e^(s_j/t)) )

    A mixture of two Gaussians is fitted to the values of all rows, and a row is clean exactly if
    the component with the lower mean is the more likely one at its value::

        P(low | PPL_i) = w_low N(PPL_i; m_low, v_low) / sum_c w_c N(PPL_i; m_c, v_c) > 0.5

    It finds wrong positives, not false negatives.

    Choices and differences: the paper takes the negatives at random or from the batch; here they
    are random, a hash of the seed and the query, because that does not depend on the batch. Known
    positives of the query, its own text and empty documents are none of them. The paper detects
    anew in every epoch of training; here it is done once, with the retriever as scorer. The loss
    of a row with several positives is the largest among them, the strictest: one wrong positive
    is enough. A row with a positive without a score (a run that does not list it) is flagged, and
    the mixture is fitted without it. Expectation maximisation (scikit-learn) starts at the best
    split of the sorted values in two by squared distance, so nothing in it is drawn, and the
    order of rows has no influence. The paper's number of random negatives and its temperature for
    other scales than its own are not known to us.

    Where the high component is the narrower one, a loss far above both means belongs to the low
    one, as the rule says; there are few such rows.

    The mixture always has two components. On data without wrong positives it cuts the one cluster
    in two: look at ``means`` in the strategy of the report before rows are dropped.

    Args:
        negatives: random documents for each query, at least 1.
        temperature: what scores are divided by, above 0. The default, 1, is for raw dot products
            as the paper has them, and does for cosines: the loss is then nearly linear in the
            positive's score. The 0.05 that is usual in training with cosines puts the clean rows
            of a good model at a loss near 0, a spike and no Gaussian, and the wider component
            takes the rest of them. For BM25, whose scores run to 30 and more, 1 does the same;
            there 5 to 10 is better. On SciFact with a fifth of the positives replaced at random,
            BM25 found 89% of them at 5 and flagged 3% of the others falsely; at 1 all and 39%.
        action: ``flag`` writes the name of this stage to the column ``hard_negative_flags``;
            ``drop`` leaves the row out. Both are counted in the report.
        seed: of the random documents; the miner's by default.
        means: (low, high), of the fitted components; set by :meth:`fitted`.
        variances: of the same.
        weights: of the same.

    Raises:
        ParameterError: a parameter out of range; fewer than 20 rows to fit to; losses that are all
            equal; a retriever that scores only what it lists.
    """

    name = "noisy-pairs"
    source = "Zhang et al. (NPC), Findings of EMNLP 2023"
    costs = "the scores of 64 random documents for each query, twice"
    needs = ("scores",)

    def __init__(
        self,
        *,
        negatives: int = 64,
        temperature: float = 1.0,
        action: str = "flag",
        seed: int = 0,
        means: Sequence[float] | None = None,
        variances: Sequence[float] | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        """Check the parameters."""
        self.negatives = whole_number(self.name, "negatives", negatives, 1)
        self.temperature = at_least(self.name, "temperature", temperature, 0)
        if self.temperature == 0:
            raise ParameterError(
                f"noisy-pairs: temperature={temperature!r}; expected a number above 0 (1 for dot "
                "products, as in the paper, and for cosines; 5 to 10 for BM25)."
            )
        self.action = one_of(self.name, "action", action, ROW_ACTIONS)
        self.seed = whole_number(self.name, "seed", seed, 0)
        given = {"means": means, "variances": variances, "weights": weights}
        learnt = {name: _pair(name, value) for name, value in given.items() if value is not None}
        if len(learnt) not in (0, 3):
            raise ParameterError(
                f"noisy-pairs: {' and '.join(learnt)} without the rest of the mixture; expected "
                "means, variances and weights together, or none of them to fit them to the data."
            )
        self.means, self.variances, self.weights = (learnt.get(name) for name in given)
        if self.means is not None and not self.means[0] < self.means[1]:
            raise ParameterError(
                f"noisy-pairs: means={self.means}; expected the lower one, that of the clean "
                "rows, first."
            )
        for name in ("variances", "weights"):
            if learnt and min(learnt[name]) <= 0:
                raise ParameterError(
                    f"noisy-pairs: {name}={learnt[name]}; expected two numbers above 0."
                )

    @classmethod
    def learns(cls, arguments: Mapping[str, Any]) -> str:
        """Name the mixture."""
        return "a mixture of two Gaussians, fitted to the losses of all rows"

    @property
    def needs_fit(self) -> bool:
        """Whether the mixture is still to be fitted."""
        return self.means is None

    def fitted(self, rows: Rows) -> NoisyPairDetector:
        """Return the detector with the mixture fitted to the losses of all rows."""
        if not self.needs_fit:
            return self
        losses = np.concatenate([np.empty(0), *(self.losses(*batch) for batch in rows.retrieved())])
        means, variances, weights = _mixture(losses[np.isfinite(losses)])
        again = NoisyPairDetector(
            negatives=self.negatives,
            temperature=self.temperature,
            action=self.action,
            seed=self.seed,
            means=means,
            variances=variances,
            weights=weights,
        )
        return again.bound(self.retriever)

    def flags(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which rows are not clean; see :class:`RowFilter`."""
        if self.needs_fit:
            raise ParameterError(
                "noisy-pairs: the mixture has to be fitted to all rows of the data set, and a "
                "single batch does not have them. Use miner.mine(dataset), or give the means, "
                "variances and weights of an earlier fit."
            )
        return ~(self.low_probability(self.losses(queries, candidates)) > CERTAIN)

    def low_probability(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return P(low | PPL) of each loss under the fitted mixture, shape (losses,)."""
        if self.means is None or self.variances is None or self.weights is None:
            raise ParameterError("noisy-pairs: the mixture is not fitted yet.")
        # Beyond the bounds the wider component has it as at the bounds; no square overflows.
        bounded = np.clip(losses, -FARTHEST, FARTHEST)[:, None]
        variances = np.array(self.variances)
        densities = (
            np.log(self.weights)
            - 0.5 * np.log(variances)
            - 0.5 * (bounded - np.array(self.means)) ** 2 / variances
        )
        odds = np.clip(densities[:, 1] - densities[:, 0], -700, 700)  # beyond, e^x overflows
        return np.where(np.isfinite(losses), 1 / (1 + np.exp(odds)), 0.0)

    def losses(self, queries: Queries, candidates: Candidates) -> NDArray[np.float64]:
        """Return PPL of each row, the largest of its positives, shape (batch,).

        ``inf`` where a positive has no score.
        """
        out = np.zeros(len(queries))
        owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
        positive = candidates.positive_scores.astype(np.float64) / self.temperature
        total = np.empty(len(queries))  # log of the sum of e^(s_j / t)
        for part in _portions(len(queries)):
            total[part] = self._random_total(queries, part)
        # log(1 + e^x) with x = log(sum) - s+/t is the formula, without an overflow.
        scored = ~np.isnan(positive)
        loss = np.full(len(owner), np.inf)
        loss[scored] = np.logaddexp(0.0, total[owner[scored]] - positive[scored])
        np.maximum.at(out, owner, loss)
        out[queries.positives_per_query == 0] = np.inf
        return out

    def _random_total(self, queries: Queries, part: slice) -> NDArray[np.float64]:
        """Return log(sum of e^(s_j / t)) over the random documents of some queries."""
        corpus = self.retriever.corpus
        rows = self._random_rows(queries, part)
        drawn = rows != NO_ROW
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(drawn.sum(axis=1))])
        # The random documents stand where positives do: a retriever scores those of any kind.
        asked = replace(
            queries,
            texts=queries.texts[part],
            ids=queries.ids[part],
            keys=queries.keys[part],
            offsets=offsets,
            positive_rows=rows[drawn],
            positive_texts=[],
            known_offsets=offsets,
            known_rows=rows[drawn],
            known_keys=corpus.document_keys[rows[drawn]],
            further={},
        )
        no_hits = np.full((len(rows), 1), NO_ROW), np.full((len(rows), 1), -np.inf, np.float32)
        found = self.retriever.positive_scores(asked, no_hits).astype(np.float64)
        if len(found) and np.isnan(found).all():
            raise ParameterError(
                f"noisy-pairs: {self.retriever.name!r} has no score for any of {len(found)} "
                "random documents; it scores only what it lists. Use a retriever that scores any "
                "document, such as bm25 or dense."
            )
        scores = np.full(rows.shape, -np.inf)
        # A document without a score is ranked below everything: it adds nothing to the sum.
        scores[drawn] = np.where(np.isnan(found), -np.inf, found / self.temperature)
        return np.asarray(np.logaddexp.reduce(scores, axis=1, initial=-np.inf))

    def _random_rows(self, queries: Queries, part: slice) -> NDArray[np.int64]:
        """Return the random documents of some queries, shape (queries, negatives).

        -1 where there are no more. How many are drawn, before known positives are left out,
        depends on the query alone: then its draw does not depend on the batch.
        """
        corpus, keys = self.retriever.corpus, queries.keys[part]
        start, stop, _ = part.indices(len(queries))
        known = np.diff(queries.known_offsets)[part]
        out = np.full((stop - start, self.negatives), NO_ROW, dtype=np.int64)
        for number in np.unique(known):
            lines = np.flatnonzero(known == number)
            width = self.negatives + int(number) + SPARE
            rows = random_rows(keys[lines], width, len(corpus), self.seed + SALT)
            kept = self._unrelated(queries, lines + start, rows)
            # The first that are kept move to the front, in the order of the draw.
            order = np.argsort(~kept, axis=1, kind="stable")[:, : self.negatives]
            first = np.take_along_axis(np.where(kept, rows, NO_ROW), order, axis=1)
            out[lines, : first.shape[1]] = first
        return out

    def _unrelated(
        self, queries: Queries, lines: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return which documents are no known positive, nor the query, nor empty."""
        keys = self.retriever.corpus.document_keys[rows]
        offsets, known = ragged_indices(
            queries.known_offsets[lines], np.diff(queries.known_offsets)[lines]
        )
        related = among(rows, offsets, queries.known_rows[known])
        related |= among(keys, offsets, queries.known_keys[known])
        related |= (keys == queries.keys[lines, None]) | (keys == EMPTY_TEXT_KEY)
        return ~related


def _portions(number: int) -> Iterator[slice]:
    return (slice(start, start + QUERIES_AT_ONCE) for start in range(0, number, QUERIES_AT_ONCE))


def _pair(name: str, value: object) -> Pair:
    """Return what was learnt of the two components as two finite numbers."""
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise ParameterError(
            f"noisy-pairs: {name}={value!r}; expected two numbers, of the low component and of "
            "the high one."
        )
    low, high = (at_least("noisy-pairs", name, number, -np.inf) for number in value)
    return low, high


def _split(values: NDArray[np.float64]) -> int:
    """Return where rising values are best cut in two: least sum of squared distances to means."""
    number = np.arange(1, len(values))
    left = np.cumsum(values)[:-1]
    right = values.sum() - left
    # The squares' sum is the same for every cut, so the most is what the means explain.
    explained = left**2 / number + right**2 / (len(values) - number)
    return int(np.argmax(explained)) + 1


def _mixture(losses: NDArray[np.float64]) -> tuple[Pair, Pair, Pair]:
    """Return (means, variances, weights) of two Gaussians, the lower mean first.

    Raises:
        ParameterError: too few values, or all equal.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if len(losses) < FEWEST_ROWS:
        raise ParameterError(
            f"noisy-pairs: {len(losses)} rows have a score of their positive; expected at least "
            f"{FEWEST_ROWS} to fit two clusters to (hundreds are better). Use more data, or leave "
            "the stage out."
        )
    values = np.sort(losses)
    middle, width = float(values.mean()), float(values.std())
    if values[0] == values[-1] or width == 0:
        raise ParameterError(
            f"noisy-pairs: the losses of all {len(losses)} rows are {values[0]:g}: one cluster, "
            "and nothing to tell clean rows by. With a loss of 0 raise temperature; with another "
            "one the retriever does not tell a positive from random documents."
        )
    units = (values - middle) / width  # whatever the scale, the least variance is as small
    cut = _split(units)
    parts = (units[:cut], units[cut:])
    least = [max(float(part.var()), LEAST_VARIANCE) for part in parts]
    mixture = GaussianMixture(
        n_components=2,
        weights_init=[len(part) / len(units) for part in parts],
        means_init=[[float(part.mean())] for part in parts],
        precisions_init=[[[1 / variance]] for variance in least],
        reg_covar=LEAST_VARIANCE,
        max_iter=STEPS,
        tol=TOLERANCE,
        random_state=0,  # nothing is drawn: all of the start is given
    )
    with warnings.catch_warnings():  # after so many steps the rest is of no account
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(units[:, None])
    low, high = np.argsort(mixture.means_[:, 0], kind="stable")
    means = mixture.means_[:, 0] * width + middle
    variances = mixture.covariances_[:, 0, 0] * width**2
    if not means[low] < means[high]:
        raise ParameterError(
            f"noisy-pairs: both components of the mixture have the mean {means[low]:g}: the losses "
            "form one cluster, and there is nothing to tell clean rows by. Leave the stage out."
        )
    return (
        (float(means[low]), float(means[high])),
        (float(variances[low]), float(variances[high])),
        (float(mixture.weights_[low]), float(mixture.weights_[high])),
    )
