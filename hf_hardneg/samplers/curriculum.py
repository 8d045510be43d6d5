"""Candidates of a chosen hardness, which a schedule moves from easy to hard."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries, places_by_score
from hf_hardneg.checks import at_least, fraction, one_of, whole_number
from hf_hardneg.errors import ParameterError
from hf_hardneg.samplers.base import Sampler

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CurriculumSampler"]

SCHEDULES = ("linear", "root", "step")
NARROWEST = 0.001
"""Least width. The nearest of 1,000 candidates is drawn nearly always then."""


class CurriculumSampler(Sampler):
    """Draws candidates around a hardness; :meth:`at` sets it for a moment of the training.

    With ``h`` the hardness of a candidate among the ``m`` that the filters leave, by its place
    ``p = 0, 1, ...`` by falling score (ties by rank, those without a score last), the log-weight
    is::

        h = 1 - p / (m - 1)     (1 if it is alone; 1 = hardest, 0 = easiest)
        -(h - difficulty)^2 / (2 width^2)

    A schedule moves the difficulty with the progress ``t`` of the training, from 0 to 1, from
    ``start`` (``d0``) to ``end`` (``d1``):

    - ``linear``: ``d(t) = d0 + t (d1 - d0)``;
    - ``root``: ``d(t) = sqrt(t (d1^2 - d0^2) + d0^2)``, with ``d1 = 1`` the square-root competence
      ``sqrt(t (1 - c0^2) + c0^2)`` of Platanios et al.;
    - ``step``: ``steps`` equal spans of time, of difficulty ``d0``, ..., ``d1`` at equal
      distances.

    A mined set has one difficulty: mine again with ``sampler.at(0.5)``, or write
    ``curriculum(difficulty=0.5)``.

    Source of the schedule: E. Platanios, O. Stretcu, G. Neubig, B. Póczos, T. Mitchell,
    "Competence-based curriculum learning for neural machine translation", NAACL 2019 (the
    square-root schedule). Differences: there the competence is the share of the training data,
    easiest first, from which batches are drawn uniformly, and difficulty is that of a sentence;
    here it is the middle of a bell curve over the candidates of a query. The bell curve, its
    width and the other two schedules are this library's.

    Args:
        difficulty: from 0, the easiest candidates that are left, to 1, the hardest; default 1.
        width: standard deviation of the bell curve, as a share of the ranking, at least 0.001,
            default 0.1.
        schedule: ``linear`` (default), ``root`` (the paper's) or ``step``.
        start: difficulty at progress 0, from 0 to 1, default 0.
        end: difficulty at progress 1, at least ``start``, default 1 (the paper's).
        steps: number of steps of ``step``, at least 2, default 3.

    Raises:
        ParameterError: a value out of range, or ``start > end``.
    """

    name = "curriculum"
    among_survivors = True
    source = "schedule: Platanios et al., NAACL 2019"

    def __init__(
        self,
        *,
        difficulty: float = 1.0,
        width: float = 0.1,
        schedule: str = "linear",
        start: float = 0.0,
        end: float = 1.0,
        steps: int = 3,
    ) -> None:
        """Check the parameters."""
        self.difficulty = fraction("curriculum", "difficulty", difficulty)
        self.width = at_least("curriculum", "width", width, NARROWEST)
        self.schedule = one_of("curriculum", "schedule", schedule, SCHEDULES)
        self.start = fraction("curriculum", "start", start)
        self.end = fraction("curriculum", "end", end)
        self.steps = whole_number("curriculum", "steps", steps, 2)
        if self.start > self.end:
            raise ParameterError(
                f"curriculum: start={start} is above end={end}; expected start <= end, from easy "
                "to hard (the paper's end is 1)."
            )

    def at(self, progress: float) -> Self:
        """Return the sampler with the difficulty of a moment of the training.

        Args:
            progress: from 0, the beginning, to 1, the end.

        Raises:
            ParameterError: ``progress`` is not from 0 to 1.
        """
        progress = fraction("curriculum", "progress", progress)
        others = {name: value for name, value in self.parameters().items() if name != "difficulty"}
        return type(self)(difficulty=self._difficulty(progress), **others)

    def _difficulty(self, progress: float) -> float:
        """Return the difficulty of the schedule."""
        start, end = self.start, self.end
        if self.schedule == "root":
            found = math.sqrt(progress * (end**2 - start**2) + start**2)
        elif self.schedule == "step":
            step = min(int(progress * self.steps), self.steps - 1)
            found = start + (end - start) * step / (self.steps - 1)
        else:
            found = start + progress * (end - start)
        return min(max(found, start), end)  # rounding may lead out by a hair

    def log_weights(
        self, queries: Queries, candidates: Candidates, seed: int
    ) -> NDArray[np.float64]:
        """Return -(h - difficulty)^2 / (2 width^2)."""
        left = np.count_nonzero(candidates.filled, axis=1)
        last = np.maximum(left - 1, 1)[:, None]
        hardness = 1 - places_by_score(candidates) / last
        distance = (hardness - self.difficulty) / self.width
        weights: NDArray[np.float64] = -(distance**2) / 2
        return weights
