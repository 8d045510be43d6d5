"""Measures of a ranking, by the names that ir-measures has for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hf_hardneg.errors import ParameterError, did_you_mean, listing

__all__ = ["MEASURES", "deepest", "parse_measures"]

MEASURES = ("MRR@10", "nDCG@10", "R@100")
"""What is measured unless other measures are named."""

UNLIMITED = 1_000
"""Documents a query that are looked at for a measure without a cutoff, as is usual at TREC."""


def parse_measures(names: Sequence[str]) -> dict[str, Any]:
    """Return the measures by the names that were given.

    ``"MRR@10"`` and ``"RR@10"`` are the same measure, and so are ``"Recall@100"`` and ``"R@100"``:
    the share of a query's relevant documents that is found. Parameters stand in brackets, such as
    ``"R(rel=2)@50"``.

    Raises:
        ParameterError: no name, one that ir-measures does not know, one that it cannot compute
            here, or one that is a count and has no mean.
    """
    if isinstance(names, str) or not names:
        raise ParameterError(
            f"measures={names!r}; expected a list of names, such as {list(MEASURES)}."
        )
    found = {name: _measure(name) for name in names}
    if len(set(found.values())) < len(names):
        raise ParameterError(f"measures={list(names)!r}: one measure stands there twice.")
    return found


def _measure(name: str) -> Any:  # noqa: ANN401
    import ir_measures

    everyone: Any = ir_measures.DefaultPipeline  # has no types
    try:
        measure: Any = ir_measures.parse_measure(name)
        measure.validate_params()
    except (NameError, ValueError, TypeError, AssertionError) as error:
        known = list(ir_measures.measures.registry)
        word = str(name).partition("@")[0].partition("(")[0]
        raise ParameterError(
            f"the measure {name!r} is not known: {error}.{did_you_mean(word, known)} Expected a "
            f"name of ir-measures, such as {listing(MEASURES)}."
        ) from error
    cutoff = _cutoff(measure)
    if cutoff is not None and cutoff < 1:
        raise ParameterError(f"the measure {name!r} has the cutoff {cutoff}; expected 1 or more.")
    if not isinstance(measure.aggregator(), ir_measures.MeanAgg):
        raise ParameterError(
            f"the measure {name!r} is a count over all queries; expected one with a mean, such as "
            f"{listing(MEASURES)}."
        )
    if not everyone.supports(measure):
        raise ParameterError(
            f"ir-measures cannot compute {name!r} with the packages that are installed. Its "
            "documentation names the package for each measure."
        )
    return measure


def _cutoff(measure: Any) -> int | None:  # noqa: ANN401
    cutoff = measure.params.get("cutoff")
    return None if cutoff is None else int(cutoff)


def deepest(measures: Iterable[Any]) -> int:
    """Return how many documents of each query the measures look at.

    Args:
        measures: of ir-measures; one without a cutoff looks at 1,000.
    """
    return max(_cutoff(measure) or UNLIMITED for measure in measures)
