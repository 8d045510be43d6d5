"""Limits that lie a margin below the score of a row's positive: one place for all that use one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import AGAINST, Candidates, Queries
from hf_hardneg.checks import at_least, fraction, one_of
from hf_hardneg.errors import ParameterError

__all__ = ["Margin", "one_kind"]


def one_kind(owner: str, **given: float | None) -> None:
    """Raise if more than one kind of margin is given.

    Raises:
        ParameterError: names those that are.
    """
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ParameterError(
            f"{owner}: {' and '.join(names)} are both given; expected one kind of margin. Use "
            f"two stages to apply both: '{owner}(margin=0.1)+{owner}(relative=0.05)'."
        )


@dataclass(frozen=True, slots=True)
class Margin:
    """A limit below the positive's score ``s+``.

    - absolute: ``s+ - margin``;
    - relative: ``s+ - relative * |s+|``. For ``s+ > 0`` this is ``(1 - relative) * s+``; the plain
      product would lie above a negative ``s+``.

    Attributes:
        margin: the absolute margin; ``None`` for a relative one.
        relative: the relative margin; ``None`` for an absolute one.
        against: which positive of a row with several gives ``s+``, one of
            :data:`~hf_hardneg.candidates.AGAINST`.
    """

    margin: float | None
    relative: float | None
    against: str

    @classmethod
    def checked(
        cls, owner: str, margin: float | None, relative: float | None, against: str
    ) -> Margin:
        """Return the margin of a stage whose parameters have these names.

        Raises:
            ParameterError: both are given, or a value is out of range.
        """
        one_kind(owner, margin=margin, relative=relative)
        return cls(
            None if margin is None else at_least(owner, "margin", margin, 0),
            None if relative is None else fraction(owner, "relative", relative),
            one_of(owner, "against", against, AGAINST),
        )

    def positive(self, queries: Queries, candidates: Candidates) -> NDArray[np.float64]:
        """Return ``s+``, shape (batch,), ``nan`` where a positive has no score."""
        return candidates.positive_score(queries, self.against)

    def limit(self, positive: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the limit for each ``s+``, never above it, shape (batch,)."""
        if self.margin is not None:
            return positive - self.margin
        return positive - (self.relative or 0.0) * np.abs(positive)
