"""How hard negatives are by their scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from hf_hardneg.checks import above, one_of
from hf_hardneg.distributions import Distribution, distribution, edges
from hf_hardneg.hardness_scores import (
    reference_scores,
    relative_scores,
    row_maximum,
    row_sum,
    softmax_shares,
)

__all__ = ["AGAINST", "TEMPERATURE", "ScoreHardness", "ScoreTally"]

TEMPERATURE = 0.05
"""As usual for cosines; scores on another scale want another one."""

AGAINST = ("min", "max", "mean")
COSINES = 1.001
MEDIAN = 3
"""Of this place among the quantiles of a distribution."""
Offsets = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ScoreHardness:
    """Figures of the negatives that have a score, in rows whose positive has one.

    Attributes:
        against: which of several positives a row is measured against.
        temperature: of the softmax.
        compared: negatives with a score, in rows with a reference.
        without_score: negatives without a score.
        rows_without_reference: rows with no positive, or with a positive without a score.
        harder: share of the compared negatives with a score above the positive's; ``None`` where
            none could be compared, as all that follows.
        equal: share with the same score.
        rows_with_harder: share of the rows with a compared negative that have a harder one.
        relative: of ``1 - (s+ - s) / |s+|``, which is ``s / s+`` for a positive score above 0.
        margins: of ``s+ - s``.
        weights: of the softmax weight of each negative beside its positive, in InfoNCE.
        weight_of_negatives: mean over rows: the weight of all negatives together.
        hardest_share: mean over rows: the share of the hardest in the weight of the negatives.
        effective_negatives: mean over rows of ``1 / sum_j w_j^2`` with ``w`` the shares of the
            row's negatives: 1 where one takes all of the weight, their number where all are alike.
        negatives_a_row: mean over the same rows, to be held against it.
        positive_scores, negative_scores: as they are.
    """

    against: str
    temperature: float
    compared: int
    without_score: int
    rows_without_reference: int
    harder: float | None
    equal: float | None
    rows_with_harder: float | None
    relative: Distribution
    margins: Distribution
    weights: Distribution
    weight_of_negatives: float | None
    hardest_share: float | None
    effective_negatives: float | None
    negatives_a_row: float | None
    positive_scores: Distribution
    negative_scores: Distribution

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @property
    def cosines(self) -> bool:
        """Whether all scores are within what cosines can be, so that the temperature fits them."""
        spreads = (self.positive_scores, self.negative_scores)
        ends = [
            end for one in spreads if one.quantiles for end in (one.quantiles[0], one.quantiles[-1])
        ]
        return all(abs(end) <= COSINES for end in ends)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ScoreHardness:
        """Return the figures that :meth:`to_dict` made."""
        spreads = ("relative", "margins", "weights", "positive_scores", "negative_scores")
        parts = {name: Distribution(**values[name]) for name in spreads}
        return cls(**{**values, **parts})

    def table(self) -> Table:
        """Return the shares as a table for a terminal."""
        table = Table(title="Hardness", title_justify="left", show_header=False)
        table.add_column(style="bold")
        table.add_column(justify="right")
        for name, value in self.lines():
            table.add_row(name, value)
        return table

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield what a table says of it: names and values as they are shown."""
        yield "negatives with a score, beside a positive with one", f"{self.compared:,}"
        if self.without_score:
            yield "negatives without a score", f"{self.without_score:,}"
        if self.rows_without_reference:
            yield "rows whose positive has no score", f"{self.rows_without_reference:,}"
        yield "harder than the positive", _shown(self.harder, ".1%")
        if self.equal:
            yield "as hard as the positive", _shown(self.equal, ".1%")
        yield "rows with a harder one", _shown(self.rows_with_harder, ".1%")
        middle = None if self.relative.quantiles is None else self.relative.quantiles[MEDIAN]
        yield "score relative to the positive's, median", _shown(middle, ".3g")
        if not self.cosines:
            return  # the softmax of BM25 scores at such a temperature says nothing
        weight = f"softmax weight of the negatives at {self.temperature:g}"
        yield weight, _shown(self.weight_of_negatives, ".1%")
        yield "  of which the hardest", _shown(self.hardest_share, ".1%")
        effective, whole = self.effective_negatives, self.negatives_a_row
        yield (
            "effective number of negatives",
            f"{_shown(effective, '.2f')} of {_shown(whole, '.2f')}",
        )


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


class ScoreTally:
    """Gathers the scores of batches: about 16 bytes a negative and 20 a row.

    Args:
        against: ``min``, ``max`` or ``mean`` of a row's positives.
        temperature: of the softmax, above 0.
    """

    def __init__(self, against: str = "min", temperature: float = TEMPERATURE) -> None:
        """Check the parameters."""
        self.against = one_of("hardness", "against", against, AGAINST)
        self.temperature = above("hardness", "temperature", temperature, 0, "0.05 is usual")
        self._parts: dict[str, list[NDArray[np.float32]]] = {}
        self._counts: Counter[str] = Counter()

    def add(
        self,
        positive_offsets: Offsets,
        positives: NDArray[Any],
        negative_offsets: Offsets,
        negatives: NDArray[Any],
    ) -> None:
        """Add rows.

        Args:
            positive_offsets: shape (rows + 1,).
            positives: scores, shape (positives,); one that is not finite is missing.
            negative_offsets: shape (rows + 1,).
            negatives: scores, shape (negatives,).
        """
        reference = reference_scores(positive_offsets, positives, self.against)
        scores = np.where(np.isfinite(negatives), negatives, np.nan).astype(np.float64)
        owner = np.repeat(np.arange(len(reference)), np.diff(negative_offsets))
        beside = reference[owner]
        used = ~np.isnan(beside) & ~np.isnan(scores)
        rows = row_sum(negative_offsets, used.astype(np.float64)) > 0
        harder = used & (scores > beside)
        self._count("harder", harder)
        self._count("equal", used & (scores == beside))
        self._count("rows_with_harder", row_sum(negative_offsets, harder.astype(np.float64)) > 0)
        self._count("without_score", np.isnan(scores))
        self._count("without_reference", np.isnan(reference))
        self._keep("relative", relative_scores(beside[used], scores[used]))
        self._keep("margins", beside[used] - scores[used])
        self._keep("positives", np.where(np.isfinite(positives), positives, np.nan))
        self._keep("negatives", scores)
        self._weigh(negative_offsets, scores, reference, rows, used)

    def _count(self, name: str, which: NDArray[np.bool_]) -> None:
        self._counts[name] += int(np.count_nonzero(which))

    def _weigh(
        self,
        offsets: Offsets,
        scores: NDArray[np.float64],
        reference: NDArray[np.float64],
        rows: NDArray[np.bool_],
        used: NDArray[np.bool_],
    ) -> None:
        weights = softmax_shares(offsets, scores, self.temperature, reference)
        shares = softmax_shares(offsets, scores, self.temperature)
        known = np.where(np.isnan(shares), 0.0, shares)
        together = row_sum(offsets, np.where(used, weights, 0.0))
        self._keep("weights", weights[used])
        self._keep("together", together[rows])
        self._keep("hardest", row_maximum(offsets, known)[rows])
        self._keep("effective", 1.0 / row_sum(offsets, known**2)[rows])
        self._keep("numbers", row_sum(offsets, used.astype(np.float64))[rows])

    def _keep(self, name: str, values: NDArray[Any]) -> None:
        # What float32 cannot hold would become infinite; it is a large number all the same.
        largest = np.finfo(np.float32).max
        self._parts.setdefault(name, []).append(
            np.clip(values, -largest, largest).astype(np.float32)
        )

    def _all(self, name: str) -> NDArray[np.float32]:
        # Sorted, so that the order of the rows decides no digit of a mean.
        return np.sort(np.concatenate(self._parts.get(name) or [np.zeros(0, np.float32)]))

    def _mean(self, name: str) -> float | None:
        values = self._all(name)
        return float(values.mean(dtype=np.float64)) if len(values) else None

    def _spread(self, name: str) -> Distribution:
        values = self._all(name)
        return distribution(values, edges(values))

    def notes(self) -> tuple[str, ...]:
        """Return what a reader should know of the scores."""
        notes = []
        sizes = [np.abs(self._all(name)) for name in ("positives", "negatives")]
        largest = max(float(np.nanmax(own, initial=0.0)) for own in sizes)
        if largest > COSINES:
            notes.append(
                f"scores reach {largest:.4g} and are no cosines: softmax weights at the "
                f"temperature {self.temperature:g} mean something only if the loss uses it on "
                "these scores."
            )
        beside_zero = int(np.count_nonzero(np.isnan(self._all("relative"))))
        if beside_zero:
            notes.append(
                f"{beside_zero:,} negatives stand beside a positive with the score 0 and have no "
                "relative score."
            )
        return tuple(notes)

    def result(self) -> ScoreHardness:
        """Return the figures of all rows so far."""
        positives, negatives = self._all("positives"), self._all("negatives")
        bins = edges(positives, negatives)
        compared, rows = len(self._all("margins")), len(self._all("hardest"))
        counts = self._counts
        return ScoreHardness(
            against=self.against,
            temperature=self.temperature,
            compared=compared,
            without_score=counts["without_score"],
            rows_without_reference=counts["without_reference"],
            harder=counts["harder"] / compared if compared else None,
            equal=counts["equal"] / compared if compared else None,
            rows_with_harder=counts["rows_with_harder"] / rows if rows else None,
            relative=self._spread("relative"),
            margins=self._spread("margins"),
            weights=self._spread("weights"),
            weight_of_negatives=self._mean("together"),
            hardest_share=self._mean("hardest"),
            effective_negatives=self._mean("effective"),
            negatives_a_row=self._mean("numbers"),
            positive_scores=distribution(positives, bins),
            negative_scores=distribution(negatives, bins),
        )
