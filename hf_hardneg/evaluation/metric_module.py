"""What the metrics for ``evaluate`` share: inputs, and how they are added.

A metric is a class of its own file, which ``evaluate.load`` copies alone into its cache; the first
class of ``evaluate`` that it finds by name there is the metric. So what is shared is no such class:
``class MRRAtK(QueryMetric, evaluate.Metric)``. (Nor does it import evaluate, which takes seconds.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from hf_hardneg.evaluation.metric_inputs import FEATURES, examples_of

if TYPE_CHECKING:
    import evaluate

__all__ = ["Example", "Examples", "Figures", "QueryMetric"]

Example: TypeAlias = Mapping[str, Any] | Sequence[Any] | None
Examples: TypeAlias = Sequence[Mapping[str, Any]]
Figures: TypeAlias = dict[str, float | int | None]


class QueryMetric:
    """A metric over queries, each with the documents of a ranking or the negatives of a row.

    Attributes:
        about: what it measures.
        cites: a citation in BibTeX, or the empty string.
        takes: its inputs, outputs and examples, for the docstrings that ``evaluate`` makes.
    """

    about: ClassVar[str]
    cites: ClassVar[str]
    takes: ClassVar[str]

    def _info(self) -> evaluate.MetricInfo:
        import evaluate

        return evaluate.MetricInfo(
            description=self.about,
            citation=self.cites,
            inputs_description=self.takes,
            features=FEATURES,
        )

    # evaluate copies these two and adds to their docstrings.
    def add_batch(
        self,
        *,
        predictions: Sequence[Any] | None = None,
        references: Sequence[Any] | None = None,
    ) -> None:
        """Add the documents of several queries."""
        super().add_batch(  # type: ignore[misc]
            predictions=examples_of("predictions", predictions),
            references=examples_of("references", references),
        )

    def add(
        self,
        *,
        prediction: Example = None,
        reference: Example = None,
        predictions: Example = None,
        references: Example = None,
    ) -> None:
        """Add the documents of one query; ``evaluate.combine`` hands them on in the plural."""
        self.add_batch(
            predictions=[predictions if prediction is None else prediction],
            references=[references if reference is None else reference],
        )
