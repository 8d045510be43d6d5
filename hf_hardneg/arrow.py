"""Between ragged Arrow lists and padded NumPy arrays, without a Python loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["flat_list", "list_array", "nullable_floats", "padded", "ragged"]


def flat_list(column: pa.ChunkedArray | pa.Array) -> tuple[NDArray[np.int64], pa.Array]:
    """Return (offsets, values) of a list column; offsets begin at 0, null lists are empty."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # several chunks of nested type stay apart
        array = pa.concat_arrays(array.chunks)
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    return offsets, array.flatten()


def padded(
    offsets: NDArray[np.int64],
    values: NDArray[Any],
    width: int,
    empty: Any,  # noqa: ANN401
) -> NDArray[Any]:
    """Return ragged values as an array of shape (lines, width), filled up with ``empty``."""
    lengths = np.diff(offsets)
    if len(lengths) and (lengths == width).all():
        return values.reshape(len(lengths), width)
    out = np.full((len(lengths), width), empty, dtype=values.dtype)
    out[np.arange(width) < lengths[:, None]] = values
    return out


def ragged(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the list offsets of the filled slots of a (lines, width) mask."""
    counts = np.count_nonzero(mask, axis=1)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]).astype(np.int32)


def list_array(offsets: NDArray[np.int32], values: pa.Array) -> pa.ListArray:
    """Return an Arrow list array."""
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def nullable_floats(values: NDArray[np.float32]) -> pa.Array:
    """Return floats with ``nan`` as null: no ``NaN`` and no ``Infinity`` ever gets written."""
    return pa.array(values, pa.float32(), mask=~np.isfinite(values))
