"""What is worked out from the rows of a set for its overview: all of them, or some drawn ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list
from hf_hardneg.evaluation.reuse import ReuseCounts, gini
from hf_hardneg.hashing import EMPTY_TEXT_KEY, exact_keys, text_keys
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.row_scores import ScoreSource
from hf_hardneg.mined_set import MinedBatch, MinedSet
from hf_hardneg.score_hardness import ScoreTally

__all__ = ["Survey", "Used", "all_rows", "drawn_rows", "survey_of"]

AT_ONCE = 5_000
BLOCK = 100
MOST_USED = 10
START = 300
NOTHING = EMPTY_TEXT_KEY
"""Of a missing id or an empty text alike."""
Parts = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Used:
    """A document that is a negative often.

    Attributes:
        document_id: empty where it has none.
        text: its beginning; empty where it is not known.
        times: how many negatives it is.
    """

    document_id: str
    text: str
    times: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What the rows say.

    Attributes:
        rows: that were looked at.
        of: rows of the set.
        negatives, positives: of these rows.
        filled: negatives that are fill; ``None`` where that is not known.
        by_count: how many rows have how many negatives, by their number.
        scores: hardness as :class:`hf_hardneg.score_hardness.ScoreHardness` has it; ``None`` where
            no negative has a score beside a positive with one, or it was not asked for.
        mean_rank: of the negatives among the candidates; ``None`` where no rank is known.
        ranked: negatives with a rank.
        distinct: different documents among the negatives that have an id or a text.
        gini: of their uses; see :func:`hf_hardneg.evaluation.reuse.gini`.
        told_apart_by: ``id`` or ``text``.
        most_used: the most used first; of two used as often the one with the lower hash.
    """

    rows: int
    of: int
    negatives: int
    positives: int
    filled: int | None
    by_count: dict[int, int]
    scores: dict[str, Any] | None
    mean_rank: float | None
    ranked: int
    distinct: int
    gini: float | None
    told_apart_by: str
    most_used: tuple[Used, ...]

    @property
    def whole(self) -> bool:
        """Whether all rows were looked at."""
        return self.rows == self.of


def all_rows(rows: int) -> Parts:
    """Return all rows in parts of bounded size: (first, one beyond the last)."""
    return [(start, min(start + AT_ONCE, rows)) for start in range(0, rows, AT_ONCE)]


def drawn_rows(rows: int, number: int, seed: int = 0) -> Parts:
    """Return about so many rows, in blocks of 100 that are drawn without replacement."""
    blocks = -(-rows // BLOCK)
    wanted = min(-(-number // BLOCK), blocks)
    drawn = np.sort(np.random.default_rng(seed).choice(blocks, wanted, replace=False))
    return [(int(one) * BLOCK, min((int(one) + 1) * BLOCK, rows)) for one in drawn]


def survey_of(
    inspected: InspectedSet,
    parts: Parts,
    *,
    scores: bool = True,
    step: Callable[[int], object] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Survey | None:
    """Go through some rows once, a part at a time.

    Documents are told apart by their ids where the negatives have ids, else by their normalised
    texts. With scores, memory grows by about 36 bytes a negative; without, by 16 bytes a document.

    Args:
        inspected: the set.
        parts: which rows.
        scores: whether to work out hardness; a set with a report has it already.
        step: told after each part how many rows have been looked at.
        stopped: asked before each part; if so nothing is returned.
    """
    mined = inspected.mined
    rows = mined
    if mined.stored.has("negative_ids") or not mined.has("negative_ids"):
        rows = mined.by_id or mined.stored
    source = ScoreSource(mined, inspected.pool) if scores else None
    tally, reuse = ScoreTally(), ReuseCounts()
    counts: Counter[int] = Counter()
    looked_at = negatives = positives = filled = ranks = ranked = 0
    for start, stop in parts:
        if stopped():
            return None
        batch = rows.part(start, stop)
        offsets, keys = _keys(batch)
        reuse.add(keys[keys != NOTHING])
        counts.update(np.diff(offsets).tolist())
        negatives += len(keys)
        positives += _number(batch, "positive")
        filled += _fill(batch)
        own = _ranks(batch)
        ranks, ranked = ranks + int(own.sum()), ranked + len(own)
        if source is not None and not source.lacks:
            own_scores = source.part(start, stop)
            tally.add(own_scores.positive_offsets, own_scores.positives,
                      own_scores.negative_offsets, own_scores.negatives)  # fmt: skip
        looked_at += stop - start
        step(looked_at)
    found = tally.result() if source is not None and not source.lacks else None
    _, uses = reuse.counts()
    return Survey(
        rows=looked_at,
        of=len(mined),
        negatives=negatives,
        positives=positives,
        filled=filled if mined.has("negative_filled") else None,
        by_count={int(count): own for count, own in sorted(counts.items())},
        scores=None if found is None or not found.compared else found.to_dict(),
        mean_rank=ranks / ranked if ranked else None,
        ranked=ranked,
        distinct=len(uses),
        gini=gini(uses),
        told_apart_by="id" if rows.has("negative_ids") else "text",
        most_used=tuple(_most_used(inspected, rows, reuse, parts)),
    )


def _keys(batch: MinedBatch) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return (offsets, keys) of the negatives; :data:`NOTHING` without an id or a text."""
    name = "negative_ids" if batch.has("negative_ids") else "negatives"
    lists = batch.texts(name)
    make = exact_keys if name == "negative_ids" else text_keys
    return lists.offsets, make(lists.flat)


def _number(batch: MinedBatch, side: str) -> int:
    for name in (f"{side}s", f"{side}_ids"):
        if batch.has(name):
            return int(flat_list(batch.table[name])[0][-1])
    return 0


def _fill(batch: MinedBatch) -> int:
    if not batch.has("negative_filled"):
        return 0
    return int(flat_list(batch.table["negative_filled"])[1].true_count)


def _ranks(batch: MinedBatch) -> NDArray[np.int64]:
    """Return the ranks of negatives that have one."""
    if not batch.has("negative_ranks"):
        return np.zeros(0, np.int64)
    values = pc.fill_null(flat_list(batch.table["negative_ranks"])[1], 0)
    ranks = values.to_numpy(zero_copy_only=False).astype(np.int64)
    return np.asarray(ranks[ranks > 0])


def _most_used(
    inspected: InspectedSet, rows: MinedSet, reuse: ReuseCounts, parts: Parts
) -> Iterator[Used]:
    """Yield the documents that are used most, with what they are called."""
    most = reuse.most_used(MOST_USED)
    wanted = np.array(sorted(most), np.uint64)
    places: dict[int, tuple[int, int]] = {}
    for start, stop in parts:
        if len(places) == len(most):
            break
        offsets, keys = _keys(rows.part(start, stop))
        for at in np.flatnonzero(np.isin(keys, wanted)).tolist():
            row = int(np.searchsorted(offsets, at, side="right")) - 1
            places.setdefault(int(keys[at]), (start + row, at - int(offsets[row])))
    for key, times in most.items():
        row, place = places[key]
        batch = inspected.mined.at(row)
        identity = _at(batch, "negative_ids", place)
        yield Used(identity, _at(batch, "negatives", place)[:START], times)


def _at(batch: MinedBatch, name: str, place: int) -> str:
    if not batch.has(name):
        return ""
    own = batch.texts(name)[0]
    return own[place] if place < len(own) else ""
