"""Sparse vectors: of each only what is not zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.positives import ragged_indices

__all__ = ["SparseVectors"]


@dataclass(frozen=True, slots=True)
class SparseVectors:
    """Sparse vectors, one after the other.

    Attributes:
        starts: where the entries of each vector begin, int64, shape (vectors + 1,).
        dims: their dimensions, int32, rising within a vector, shape (entries,).
        weights: their values, float32 and not zero, shape (entries,).
        dimension: number of all dimensions.
    """

    starts: NDArray[np.int64]
    dims: NDArray[np.int32]
    weights: NDArray[np.float32]
    dimension: int

    @classmethod
    def of(
        cls,
        lines: NDArray[np.int64],
        dims: NDArray[np.int64],
        weights: NDArray[np.float32],
        shape: tuple[int, int],
    ) -> SparseVectors:
        """Make vectors of entries that are ordered by vector and dimension; zeros are left out."""
        kept = weights != 0
        counts = np.bincount(lines[kept], minlength=shape[0])
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        return cls(starts, dims[kept].astype(np.int32), weights[kept].astype(np.float32), shape[1])

    def __len__(self) -> int:
        """Return the number of vectors."""
        return len(self.starts) - 1

    @property
    def lines(self) -> NDArray[np.int64]:
        """Which vector each entry belongs to, shape (entries,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def take(self, places: NDArray[np.int64]) -> SparseVectors:
        """Return some of the vectors, in the order of ``places``."""
        lengths = np.diff(self.starts)[places]
        starts, entries = ragged_indices(self.starts[places], lengths)
        return SparseVectors(starts, self.dims[entries], self.weights[entries], self.dimension)

    def of_length_one(self) -> SparseVectors:
        """Return the vectors divided by their lengths; an empty one stays empty."""
        lengths = np.zeros(len(self))
        np.add.at(lengths, self.lines, self.weights.astype(np.float64) ** 2)
        weights = self.weights / np.sqrt(lengths)[self.lines]
        return SparseVectors(self.starts, self.dims, weights.astype(np.float32), self.dimension)

    @staticmethod
    def joined(parts: Sequence[SparseVectors]) -> SparseVectors:
        """Return the vectors of all parts, one part after the other."""
        lengths = [np.diff(part.starts) for part in parts]
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(lengths))])
        dims = np.concatenate([part.dims for part in parts])
        weights = np.concatenate([part.weights for part in parts])
        return SparseVectors(starts, dims, weights, max(part.dimension for part in parts))
