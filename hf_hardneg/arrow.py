"""Between ragged Arrow lists and padded NumPy arrays, and searches, without a Python loop."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = [
    "check_arrays",
    "flat_list",
    "hash_column",
    "leftmost",
    "list_array",
    "nullable_floats",
    "padded",
    "ragged",
    "save_array",
]


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


class Digest(Protocol):
    """What is fed bytes."""

    def update(self, data: Any, /) -> None:  # noqa: ANN401
        """Take more bytes."""
        ...


def hash_column(column: pa.ChunkedArray | pa.Array, digest: Digest) -> None:
    """Feed the content of a column of texts, numbers or lists of them to a hash.

    Equal values give equal bytes, however the column is cut into chunks and whatever it is a
    slice of.

    Raises:
        pyarrow.ArrowException: a column of another type.
    """
    array = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    digest.update(f"{array.type}:{len(array)}:".encode())
    digest.update(np.packbits(array.is_null().to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        offsets, flat = flat_list(array)
        digest.update(offsets.tobytes())
        hash_column(flat, digest)
        return
    # As binary data, whose two buffers hold nothing but where each value ends and the values.
    texts = array if pa.types.is_large_string(array.type) else array.cast(pa.string())
    binary = pc.fill_null(texts.cast(pa.large_binary()), b"")
    ends = np.frombuffer(binary.buffers()[1], np.int64)[binary.offset :][: len(binary) + 1]
    digest.update((ends - ends[:1]).tobytes())
    if len(ends) and ends[-1] > ends[0]:
        digest.update(binary.buffers()[2].slice(int(ends[0]), int(ends[-1] - ends[0])))


class Indexable(Protocol):
    """What can be asked for the values at many places at once."""

    def __getitem__(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """Return the values."""
        ...

    def __len__(self) -> int:
        """Return the number of values."""
        ...


def leftmost(
    ordered: Indexable,
    wanted: NDArray[Any],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Binary search of many values at once, each in a range of its own.

    Args:
        ordered: values that rise within each range; read only where the search looks.
        wanted: shape (searches,).
        low: where each range begins.
        high: where it ends.

    Returns:
        The first place whose value is not below the wanted one, ``high`` if there is none.
    """
    low, high = low.copy(), high.copy()
    last = len(ordered) - 1
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + high) // 2
        open_ = low < high
        below = open_ & (ordered[np.minimum(middle, last)] < wanted)
        low = np.where(below, middle + 1, low)
        high = np.where(open_ & ~below, middle, high)
    return low


def save_array(path: Path, values: NDArray[Any]) -> None:
    """Write an array as ``.npy``, or raise.

    ``np.save`` hands the data to the C library, which can lose the end of a small array on a full
    disk without an error; Python's own files report it.

    Raises:
        OSError: not all of it could be written.
    """
    with path.open("wb") as stream:
        header = np.lib.format.header_data_from_array_1_0(values)
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(np.ascontiguousarray(values).tobytes())


def check_arrays(folder: Path) -> None:
    """Make sure that the ``.npy`` files that another library wrote are whole.

    Raises:
        OSError: one was cut short, which only a full disk does.
    """
    for path in sorted(folder.glob("*.npy")):
        try:
            np.load(path, mmap_mode="r")
        except (ValueError, EOFError) as error:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
