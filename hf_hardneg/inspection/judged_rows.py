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
        for row in (np.flatnonzero(hits) + start).tolist():
            if own := _of_row(mined, row, cases):
                found[row] = own
    return found


def _of_row(mined: MinedSet, row: int, cases: dict[str, dict[str, LabelCase]]) -> dict[int, Judged]:
    batch = mined.at(row)
    ids = batch.texts("negative_ids")[0] if batch.has("negative_ids") else []
    texts = batch.texts("negatives")[0] if batch.has("negatives") else []
    own = dict(cases.get(batch.queries()[0], {}))
    if batch.has("query_id"):
        own |= cases.get(batch.query_ids()[0], {})
    found = {}
    for place in range(max(len(ids), len(texts))):
        names = [lists[place] for lists in (ids, texts) if place < len(lists) and lists[place]]
        case = next((own[name] for name in names if name in own), None)
        if case is not None:
            found[place] = Judged(case.value, case.label.annotator)
    return found
