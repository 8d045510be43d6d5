"""Rows with several positives, decided for each positive by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from datasets import Features, List

from hf_hardneg.arrow import flat_list, list_array
from hf_hardneg.columns import QueryColumns, find_columns
from hf_hardneg.selection import Rules

__all__ = ["by_positive", "one_positive_a_row", "one_positive_features"]


def by_positive(rules: Rules) -> bool:
    """Return whether rows with several positives are decided for each positive by itself."""
    return any(getattr(rule, "against", None) == "own" for rule in rules.filters)


def one_positive_a_row(table: pa.Table, asked: QueryColumns) -> pa.Table:
    """Return a pool in which each row has one positive: rows with several stand several times."""
    counts = np.diff(flat_list(table["candidate_positive_scores"])[0])
    lists = [name for name in _positive_columns(table.column_names, asked)
             if _is_list(table.schema.field(name).type)]  # fmt: skip
    for name in lists:  # a list of a fixed length has no room for another one
        kind = table.schema.field(name).type
        if pa.types.is_fixed_size_list(kind):
            table = _replaced(table, name, table[name].cast(pa.list_(kind.value_type)))
    if (counts == 1).all():
        return table
    owner = np.repeat(np.arange(len(counts)), counts)
    several = table.take(pa.array(owner))
    ends = np.arange(len(owner) + 1, dtype=np.int32)
    for name in (*lists, "candidate_positive_scores"):
        single = list_array(ends, flat_list(table[name])[1])
        several = _replaced(several, name, single.cast(table.schema.field(name).type))
    return several


def one_positive_features(features: Features, asked: QueryColumns) -> Features:
    """Return the columns that :func:`one_positive_a_row` makes of those of its input."""
    own = _positive_columns(list(features), asked)
    loose = {
        name: List(kind.feature)
        for name in own
        if isinstance(kind := features[name], List) and kind.length != -1
    }
    return Features({**features, **loose})


def _positive_columns(names: Sequence[str], asked: QueryColumns) -> list[str]:
    """Return the columns that hold the positives: their texts, their ids, or both."""
    columns = find_columns(names, asked)
    return [name for name in (columns.positive, columns.positive_ids) if name is not None]


def _is_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists; else it has one value a row."""
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(kind) for is_kind in lists)


def _replaced(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)
