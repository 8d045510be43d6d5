"""What a reader of a rate should see beside it, from its details."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hf_hardneg.rates import Rate

__all__ = ["remarks_on"]


def remarks_on(rate: Rate) -> list[str]:
    """Return sentences on what a rate does not say itself, for any estimator."""
    details = rate.details
    return [*_of_judgements(details), *_of_labels(details), *_of_judge(details)]


def _of_judgements(details: Mapping[str, Any]) -> Iterator[str]:
    if details.get("share_judged") is None:
        return
    judged = f"{details['judged']:,} of {details['negatives']:,} negatives"
    relevant = f"{details['relevant']:,} of them relevant"
    if details["complete"]:
        yield f"{judged} are of judged queries, {relevant}."
    else:
        yield (
            f"{judged} are judged, {relevant}: the rate over all is {details['lower_bound']:.1%} "
            f"to {details['upper_bound']:.1%}, whatever the others are."
        )
    if "bootstrap" in details:
        low, high = details["bootstrap"]
        effect = details["design_effect"]
        wide = "" if effect is None else f" (design effect {effect:.1f})"
        yield f"With the queries drawn anew: {low:.1%} to {high:.1%}{wide}."
    if details["judged_documents_not_in_corpus"]:
        lost = details["judged_documents_not_in_corpus"]
        yield f"{lost:,} judged documents are not in the corpus."
    if details["rows_without_judgements"]:
        lost, rows = details["rows_without_judgements"], details["rows"]
        yield f"{lost:,} of {rows:,} rows have a query without judgements."


def _of_labels(details: Mapping[str, Any]) -> Iterator[str]:
    for one in details.get("agreement", ()):
        first, second = (name or "(no name)" for name in one["annotators"])
        kappa = "not defined, both give one label alone" if one["kappa"] is None else (
            f"{one['kappa']:.2f}"
        )  # fmt: skip
        yield (
            f"Cohen's kappa of {first} and {second}: {kappa} (the same label on "
            f"{one['same']:.0%} of {one['n']:,} pairs)."
        )
    controls = details.get("controls")
    if controls and controls["decided"]:
        yield (
            f"Of {controls['decided']:,} labels of known positives mixed in "
            f"{controls['sensitivity']:.0%} call them relevant."
        )
    if details.get("labelled_again"):
        yield f"{details['labelled_again']:,} labels gave way to a later one of the same person."


def _of_judge(details: Mapping[str, Any]) -> Iterator[str]:
    if "sensitivity" in details and "specificity" in details:
        yield f"Sensitivity {_share(details['sensitivity'])}, specificity " + (
            f"{_share(details['specificity'])}."
        )


def _share(value: Any) -> str:  # noqa: ANN401
    return f"{value['rate']:.1%} ({value['low']:.1%} to {value['high']:.1%})"
