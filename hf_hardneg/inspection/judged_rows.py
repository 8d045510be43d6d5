"""Which negatives of a set labels are about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_hardneg.evaluation.label_cases import LabelCase, LabelCases
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.mined_set import MinedSet

__all__ = ["Judged", "judged_rows"]

AT_ONCE = 20_000
READ_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Judged:
    """What labels say of a negative.

    Attributes:
        value: probability of being relevant, the mean of those who decided.
        by: who says so; empty where no name is given.
    """

    value: float
    by: str


def judged_rows(mined: MinedSet, labels: Labels) -> dict[int, dict[int, Judged]]:
    """Return what labels say, by row and place among its negatives.

    Queries and documents are found by their ids; by their exact texts where a label has no id.
    Labels of queries or documents that the set does not have are about something else.

    Args:
        mined: the set.
        labels: of negatives; those that nobody decided on say nothing.
    """
    cases: dict[str, dict[str, LabelCase]] = {}
    for case in LabelCases.of(labels).decided:
        query, document = case.label.pair
        cases.setdefault(query, {})[document] = case
    wanted = pa.array(list(cases), pa.string())
    found: dict[int, dict[int, Judged]] = {}
    stored = mined.stored
    for start in range(0, len(mined), AT_ONCE):
        table = stored.part(start, min(start + AT_ONCE, len(mined))).table
        hits = np.zeros(table.num_rows, np.bool_)
        for name in ("query_id", "query"):
            if name in table.column_names:
                hits |= pc.is_in(table[name], value_set=wanted).to_numpy().astype(np.bool_)
        rows = (np.flatnonzero(hits) + start).tolist()
        for first in range(0, len(rows), READ_AT_ONCE):
            found |= _of_rows(mined, rows[first : first + READ_AT_ONCE], cases)
    return found


def _of_rows(
    mined: MinedSet, rows: list[int], cases: dict[str, dict[str, LabelCase]]
) -> dict[int, dict[int, Judged]]:
    batch = mined.some(rows)
    sides = [batch.texts(name) for name in ("negative_ids", "negatives") if batch.has(name)]
    queries = batch.queries()
    names = batch.query_ids() if batch.has("query_id") else queries
    found = {}
    for line, row in enumerate(rows):
        own = cases.get(queries[line], {}) | cases.get(names[line], {})
        judged = _of_row([side[line] for side in sides], own)
        if judged:
            found[row] = judged
    return found


def _of_row(sides: list[list[str]], own: dict[str, LabelCase]) -> dict[int, Judged]:
    """Return what is said of the negatives of a row, by their ids and else by their texts."""
    found = {}
    for place in range(max(map(len, sides), default=0)):
        names = [lists[place] for lists in sides if place < len(lists) and lists[place]]
        case = next((own[name] for name in names if name in own), None)
        if case is not None:
            found[place] = Judged(case.value, case.label.annotator)
    return found
