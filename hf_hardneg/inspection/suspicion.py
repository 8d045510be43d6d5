"""Why a row is suspicious: what may be wrong with its negatives, for all rows and for one."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.cache import content_hash
from hf_hardneg.checks import one_of, whole_number
from hf_hardneg.errors import ParameterError
from hf_hardneg.evaluation.label_cases import BAD, RELEVANT, side_of
from hf_hardneg.evaluation.labels import LABELS, Labels
from hf_hardneg.evaluation.near_pairs import NEAR
from hf_hardneg.inspection.background import Background, Progress
from hf_hardneg.inspection.judged_rows import Judged, judged_rows
from hf_hardneg.inspection.kept import kept_folder, set_key
from hf_hardneg.inspection.near_step import NearStep, near_of, near_texts_lack
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.row_scores import ScoreSource, excesses
from hf_hardneg.inspection.score_step import ScoreStep
from hf_hardneg.inspection.survey_step import SurveyStep, survey_path

__all__ = ["REASONS", "Reason", "Suspicion"]

OWNER = "suspicion"
OUTSCORES, NEAR_DUPLICATE, JUDGED, MARKED = "outscores", "near_duplicate", "judged", "marked"
REASONS: Mapping[str, str] = MappingProxyType(
    {
        OUTSCORES: "A negative outscores the positive",
        NEAR_DUPLICATE: "A negative is nearly the text of a positive",
        JUDGED: "A judge calls a negative relevant",
        MARKED: "A person marked it",
    }
)
"""The reasons by their names, in the order in which they are shown, in words for people."""
MARKS = frozenset((RELEVANT, BAD))
"""Labels of people that make a row suspicious."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one negative is suspicious.

    Attributes:
        name: one of :data:`REASONS`.
        text: what was found, in a few words.
    """

    name: str
    text: str


class Suspicion:
    """Says for each row of a set why it is suspicious.

    - ``outscores``: the score of a negative is at least that of the positive, of several the one
      with the least score. Scores are those of the set, and those of its pool for a side that has
      none.
    - ``near_duplicate``: the Jaccard resemblance (shingles of three words) with a positive of the
      row is at least 0.8, worked out exactly; the positive itself among the negatives counts.
    - ``judged``: the score of a cross-encoder in the pool is at least ``judge_threshold``, or a
      label (of a model or of several people together, see :meth:`take_labels`) says relevant.
    - ``marked``: a person called the negative a false negative, or the query bad.

    Scores of a million rows are gone through in seconds; texts take minutes. Both go on in
    a thread of its own after :meth:`start`, are kept in the cache, and go on where they ended. What
    has not been looked at yet is never counted as found; :meth:`looked_at` says how far it is.

    In memory it takes 26 bytes a row.

    Args:
        inspected: the set.
        judge_threshold: cross-encoder's score from which on a negative is relevant; ``None`` where
            it is not known, and then such scores make nothing suspicious.

    Raises:
        ParameterError: the threshold is no finite number.
    """

    def __init__(self, inspected: InspectedSet, *, judge_threshold: float | None = None) -> None:
        """Read what is in the cache; nothing is begun."""
        if judge_threshold is not None and not np.isfinite(judge_threshold):
            raise ParameterError(
                f"{OWNER}: judge_threshold={judge_threshold!r}; expected a finite number."
            )
        self.inspected, self.judge_threshold = inspected, judge_threshold
        mined, pool = inspected.mined, inspected.pool
        self.key = set_key(mined)
        self.folder: Path = kept_folder(self.key)
        self.scores = ScoreSource(mined, pool)
        pool_key = content_hash("" if pool is None else pool.rows._fingerprint)
        self._scores = ScoreStep(self.folder / f"scores-{pool_key}.bin", len(mined), self.scores)
        self._near = NearStep(self.folder / "near.bin", mined)
        # The overview's numbers are wanted sooner than the near-duplicates, which take longest.
        self._survey = SurveyStep(survey_path(inspected, self.key), inspected)
        self._background = Background([self._scores, self._survey, self._near])
        self._labelled = np.zeros(len(mined), np.uint8)
        self._labels: dict[int, dict[int, Judged]] = {}
        self._marked = np.zeros(len(mined), np.uint8)
        self._marks: dict[int, dict[int, str]] = {}
        self._changes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._marked)

    # -- how far it is ---------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, or go on, in a thread of its own."""
        self._background.start()

    def stop(self) -> None:
        """End soon; what was worked out is kept, and :meth:`start` goes on from there."""
        self._background.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all rows are looked at, or so many seconds; return whether they are."""
        return self._background.wait(timeout)

    def progress(self) -> tuple[Progress, ...]:
        """Return how far the scores, the overview's numbers and the near-duplicates are."""
        return self._background.progress()

    def lacks(self, reason: str) -> str:
        """Return why rows cannot be looked at for a reason; empty where they can."""
        _known(reason)
        if reason == OUTSCORES:
            return self.scores.lacks
        if reason == NEAR_DUPLICATE:
            return near_texts_lack(self.inspected.mined)
        if reason == JUDGED and not self._labels:
            if self.scores.lacks_model:
                return f"{self.scores.lacks_model}, and no labels of a judge are given"
            if self.judge_threshold is None:
                return (
                    "from which score on the cross-encoder calls a document relevant is not known"
                )
        return ""

    def looked_at(self, reason: str) -> int:
        """Return how many rows, from the first on, have been looked at for a reason."""
        if self.lacks(reason):
            return 0
        if reason == OUTSCORES or (reason == JUDGED and self._by_model):
            return self._scores.done
        return self._near.done if reason == NEAR_DUPLICATE else len(self)

    @property
    def version(self) -> tuple[int, ...]:
        """Changes whenever more is known, or a mark is made."""
        return self._scores.done, self._near.done, self._changes

    # -- all rows --------------------------------------------------------------------------------

    @property
    def _by_model(self) -> bool:
        return self.judge_threshold is not None and not self.scores.lacks_model

    def negatives(self, reason: str) -> NDArray[np.uint8]:
        """Return how many negatives of each row there is the reason for, 255 at most.

        Of a cross-encoder's scores it is 1 where there are any. Rows that have not been looked at
        have 0; see :meth:`looked_at`. Shape (rows,).
        """
        _known(reason)
        if reason == OUTSCORES:
            return np.asarray(self._scores.kept.values["outscoring"])
        if reason == NEAR_DUPLICATE:
            return np.asarray(self._near.kept.values["near"])
        if reason == MARKED:
            return self._marked
        if not self._by_model:
            return self._labelled
        with np.errstate(invalid="ignore"):
            found = self._scores.kept.values["judged"] >= self.judge_threshold
        found &= np.arange(len(self)) < self._scores.done
        return np.maximum(self._labelled, found.astype(np.uint8))

    def rows_with(self, reasons: Iterable[str]) -> NDArray[np.bool_]:
        """Return which rows have any of the reasons, shape (rows,)."""
        found = np.zeros(len(self), np.bool_)
        for reason in reasons:
            found |= self.negatives(reason) > 0
        return found

    def order(self, rows: NDArray[np.integer]) -> NDArray[np.integer]:
        """Return the rows with the most suspicious first.

        Those with more reasons come first, of equals those with more negatives concerned, of these
        those with a negative that outscores the positive by more, then by number.
        """
        counts = np.stack([self.negatives(reason)[rows] for reason in REASONS])
        some = counts.any(axis=0)
        concerned, counts = rows[some], counts[:, some]
        # Of rows without that reason the score says nothing.
        excess = self._scores.kept.values["excess"][concerned]
        excess = np.where(counts[0] > 0, excess, np.float32(0))
        kinds, negatives = (counts > 0).sum(axis=0), counts.sum(axis=0, dtype=np.int32)
        first = concerned[np.lexsort((concerned, -excess, -negatives, -kinds))]
        return np.concatenate([first, np.sort(rows[~some])])

    def negatives_a_row(self) -> tuple[NDArray[np.uint32], int]:
        """Return (number of negatives of each row, how many rows have been counted)."""
        return np.asarray(self._scores.kept.values["negatives"]), self._scores.done

    # -- labels ----------------------------------------------------------------------------------

    def mark(self, row: int, place: int, label: str | None) -> None:
        """Keep what a person says of a negative.

        Args:
            row: number of the row, from 0.
            place: of the negative, from 0.
            label: one of :data:`hf_hardneg.evaluation.labels.LABELS`; ``None`` takes it back.

        Raises:
            ParameterError: there is no such row or label.
        """
        if label is not None:
            one_of(OWNER, "label", label, LABELS)
        if not 0 <= row < len(self):
            raise ParameterError(f"{OWNER}: row={row}; expected 0 to {len(self) - 1}.")
        whole_number(OWNER, "place", place, 0)
        with self._lock:
            own = self._marks.setdefault(row, {})
            if label is None:
                own.pop(place, None)
            else:
                own[place] = label
            self._marked[row] = min(sum(word in MARKS for word in own.values()), 255)
            self._changes += 1

    def take_labels(self, labels: Labels) -> int:
        """Take files of labels of a judge in place of any taken before; return the rows concerned.

        A negative is relevant where those who decided say so together: the mean of their
        probabilities is a half or more, ``false_negative`` being 1. Queries and documents are
        found by their ids, and by their exact texts where a label has none.
        """
        found = judged_rows(self.inspected.mined, labels)
        with self._lock:
            self._labels = found
            self._labelled = np.zeros(len(self), np.uint8)
            for row, own in found.items():
                self._labelled[row] = min(sum(side_of(one.value) for one in own.values()), 255)
            self._changes += 1
        return int(np.count_nonzero(self._labelled))

    # -- one row ---------------------------------------------------------------------------------

    def reasons(self, row: int) -> tuple[tuple[Reason, ...], ...]:
        """Return why each negative of a row is suspicious, looked up now; shape (negatives,).

        Raises:
            ParameterError: there is no such row.
        """
        if not 0 <= row < len(self):
            raise ParameterError(f"{OWNER}: row={row}; expected 0 to {len(self) - 1}.")
        scores = self.scores.part(row, row + 1)
        excess, judged = excesses(scores), scores.judged
        near = near_of(self.inspected.mined.at(row))[0]
        labels, marks = self._labels.get(row, {}), dict(self._marks.get(row, {}))
        bad = BAD in marks.values()
        found = []
        for place in range(max(len(excess), len(near))):
            own: list[Reason] = []
            if place < len(excess) and excess[place] >= 0:
                own.append(Reason(OUTSCORES, _above(float(excess[place]))))
            if place < len(near) and near[place] >= NEAR:
                own.append(Reason(NEAR_DUPLICATE, _like(near[place])))
            model = float(judged[place]) if place < len(judged) else np.nan
            own += _verdicts(labels.get(place), model, self.judge_threshold)
            if marks.get(place) == RELEVANT:
                own.append(Reason(MARKED, "marked as a false negative"))
            elif bad:
                own.append(Reason(MARKED, "its query is marked as bad"))
            found.append(tuple(own))
        return tuple(found)


def _known(reason: str) -> None:
    one_of(OWNER, "reason", reason, list(REASONS))


def _above(excess: float) -> str:
    return f"scores {excess:.3g} more than the positive" if excess else "scores as the positive"


def _like(near: float) -> str:
    return "is a positive of the row" if near == 1 else f"resembles a positive by {near:.2f}"


def _verdicts(label: Judged | None, model: float, threshold: float | None) -> list[Reason]:
    found = []
    if label is not None and side_of(label.value):
        found.append(f"labelled {label.value:.2g} by {label.by or 'a judge'}")
    if threshold is not None and model >= threshold:
        found.append(f"the cross-encoder gives it {model:.3g}, and {threshold:g} is relevant")
    return [Reason(JUDGED, "; ".join(found))] if found else []
