"""Checks that every writer needs: a row of the right shape, known scores, enough negatives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeGuard

from hf_hardneg.errors import FormatError
from hf_hardneg.formats.mined_row import MinedRow
from hf_hardneg.formats.request import Tally, WriteRequest

__all__ = ["all_known", "checked_rows", "has_enough_negatives"]


def checked_rows(rows: Iterable[MinedRow], tally: Tally) -> Iterator[MinedRow]:
    """Yield the rows, checked and counted.

    Raises:
        FormatError: lists of unequal length, a text that is not a string, no positive, or a score
            that is not a finite number.
    """
    for row in rows:
        tally.rows_in += 1
        where = f"Row {tally.rows_in} (query id {row.query_id!r})"
        _check_lengths(row, where)
        _check_strings(row, where)
        _check_scores(row.positive_scores + row.negative_scores, where)
        if not row.negatives:
            tally.rows_without_negatives += 1
        yield row


def all_known(scores: Sequence[float | None]) -> TypeGuard[Sequence[float]]:
    """Return whether no score is missing."""
    return None not in scores


def has_enough_negatives(row: MinedRow, request: WriteRequest) -> bool:
    """Return whether a file of fixed width can hold ``row``, and count the row if it cannot."""
    if not row.negatives:
        return False  # counted by checked_rows
    if request.num_negatives is not None and len(row.negatives) < request.num_negatives:
        request.tally.rows_too_few += 1
        return False
    return True


def _check_lengths(row: MinedRow, where: str) -> None:
    positive = len(row.positive_ids), len(row.positives), len(row.positive_scores)
    negative = len(row.negative_ids), len(row.negatives), len(row.negative_scores)
    for kind, lengths in (("positives", positive), ("negatives", negative)):
        if len(set(lengths)) != 1:
            raise FormatError(
                f"{where}: the {kind} have {lengths[0]} ids, {lengths[1]} texts and {lengths[2]} "
                "scores. Expected equal numbers. Scores of an earlier mining cannot be reused "
                "for another list; write None where a score is unknown."
            )
    if not row.positives:
        raise FormatError(
            f"{where}: has no positive. Expected at least one. "
            "Drop the row: no training format can hold it."
        )


def _check_strings(row: MinedRow, where: str) -> None:
    groups = row.positive_ids, row.positives, row.negative_ids, row.negatives
    for group in ((row.query_id, row.query), *groups):
        for value in group:
            if not isinstance(value, str):
                raise FormatError(
                    f"{where}: has {value!r} ({type(value).__name__}) as an id or a text. "
                    "Expected a string. Convert ids with str(), and drop documents without a text."
                )


def _check_scores(scores: Iterable[object], where: str) -> None:
    for score in scores:
        if score is None:
            continue
        # bool is an int to Python, but JSON writes it as a word
        if (
            not isinstance(score, int | float)
            or isinstance(score, bool)
            or not math.isfinite(score)
        ):
            raise FormatError(
                f"{where}: has the score {score!r} ({type(score).__name__}). Expected a finite "
                "Python number, or None where the score is unknown. A candidate that a filter "
                "set to -inf must be removed from the row."
            )
