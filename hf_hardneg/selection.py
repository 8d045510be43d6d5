"""The one engine of selection: cheap filters, the sampler's order, lazy vetoes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.corpus import Corpus
from hf_hardneg.filters.base import Filter, Verdict, Veto
from hf_hardneg.filters.known_positives import ALWAYS_ON
from hf_hardneg.hashing import mix
from hf_hardneg.samplers.base import Sampler

__all__ = ["Rules", "Selection", "select", "trace_names"]

Clock = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Rules:
    """How candidates become negatives.

    Attributes:
        filters: applied to all candidates at once, after the ones that are always on.
        vetoes: asked in the sampler's order; a candidate must pass all of them.
        sampler: gives the order.
        n: negatives for each query.
        seed: of the sampler's noise.
    """

    filters: tuple[Filter, ...]
    vetoes: tuple[Veto, ...]
    sampler: Sampler
    n: int
    seed: int


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen.

    Attributes:
        slots: slot of each chosen candidate in the batch's candidates, shape (batch, n), in the
            order of choice; -1 where too few survived.
        promoted: (line, slot) of each candidate that a veto promoted, shape (promoted, 2).
        trace: how many candidates each stage took out, shape (batch, len(trace_names(rules))).
    """

    slots: NDArray[np.int64]
    promoted: NDArray[np.int64]
    trace: NDArray[np.int32]


def trace_names(rules: Rules) -> list[str]:
    """Return what the columns of :attr:`Selection.trace` count.

    ``retrieved`` = all ``drop:`` + all ``promote:`` + ``unused`` + ``chosen`` in every row;
    ``ask:`` counts what a veto was asked about.
    """
    names = ["retrieved"]
    names += [f"drop:{name}" for name in _unique([f.name for f in (*ALWAYS_ON, *rules.filters)])]
    names.append("drop:duplicate-text")
    for name in _unique([veto.name for veto in rules.vetoes]):
        names += [f"ask:{name}", f"drop:{name}", f"promote:{name}"]
    return [*names, "unused", "chosen"]


def _unique(names: Sequence[str]) -> list[str]:
    """Number the second and later uses of a name."""
    return [
        name if name not in names[:place] else f"{name}-{names[: place + 1].count(name)}"
        for place, name in enumerate(names)
    ]


class _Order:
    """Candidates in the order in which they are taken, and which of them are still to be asked."""

    def __init__(self, keys: NDArray[np.float64], alive: NDArray[np.bool_]) -> None:
        alive = alive & (keys > -np.inf)
        # The living of all lines in one array, line by line. Slots stand in rank order, so a
        # stable sort breaks ties by rank; keys that fall already (the best first, as retrieved)
        # need none.
        self.left = np.count_nonzero(alive, axis=1).astype(np.int64)
        self._width = keys.shape[1]
        if (keys[:, 1:] <= keys[:, :-1]).all():
            self._places = np.flatnonzero(alive)
        else:
            order = np.argsort(np.where(alive, -keys, np.inf), axis=1, kind="stable")
            self._places = order[np.arange(self._width) < self.left[:, None]]
        self._first = np.cumsum(self.left) - self.left
        self.taken = np.zeros(len(keys), dtype=np.int64)

    def take(
        self, lines: NDArray[np.int64], wanted: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Take the next ``wanted`` candidates of each line, as (lines, slots)."""
        number = np.minimum(wanted, self.left[lines])
        first = np.repeat(self._first[lines] + self.taken[lines], number)
        before = np.repeat(np.cumsum(number) - number, number)
        place = first + np.arange(len(first)) - before
        owners = np.repeat(lines, number)
        self.taken[lines] += number
        self.left[lines] -= number
        return owners, self._places[place] % self._width


class _Chosen:
    """The negatives chosen so far."""

    def __init__(self, batch: int, n: int) -> None:
        self.slots = np.full((batch, n), -1, dtype=np.int64)
        self.counts = np.zeros(batch, dtype=np.int64)

    def add(self, lines: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
        """Append accepted candidates; lines must be sorted."""
        number = np.bincount(lines, minlength=len(self.counts))
        before = np.cumsum(number) - number
        place = np.arange(len(lines)) - before[lines] + self.counts[lines]
        self.slots[lines, place] = slots
        self.counts += number


def select(
    queries: Queries,
    candidates: Candidates,
    rules: Rules,
    corpus: Corpus,
    clock: Clock = lambda name, seconds: None,
) -> Selection:
    """Choose up to ``rules.n`` negatives for each query.

    Cheap filters empty slots first. The rest is taken in the sampler's order; a text that was
    taken already is passed over, and the vetoes are asked only about as many candidates as are
    still needed. Because the sampler's order restricted to the survivors is exactly the order it
    would have given them alone, this equals filtering everything first.

    Args:
        queries: the batch.
        candidates: its candidates.
        rules: how to choose.
        corpus: the documents.
        clock: called with (stage, seconds) for each stage.
    """
    names = trace_names(rules)
    trace = np.zeros((len(queries), len(names)), dtype=np.int32)
    alive = candidates.filled
    trace[:, 0] = left = np.count_nonzero(alive, axis=1)
    column = 1
    for rule in (*ALWAYS_ON, *rules.filters):
        started = time.perf_counter()
        alive = alive & rule.mask(queries, candidates)
        before, left = left, np.count_nonzero(alive, axis=1)
        trace[:, column] = before - left
        column += 1
        clock(rule.name, time.perf_counter() - started)
    started = time.perf_counter()
    order = _Order(rules.sampler.keys(queries, candidates, rules.seed), alive)
    clock(rules.sampler.name, time.perf_counter() - started)
    engine = _Lazy(queries, candidates, rules, corpus, clock, order)
    engine.run(trace[:, column:])
    # What the sampler never takes, by a weight of -inf, is left over too.
    trace[:, -2] = left - order.taken
    trace[:, -1] = engine.chosen.counts
    promoted = np.array(engine.promoted, dtype=np.int64).reshape(-1, 2)
    return Selection(engine.chosen.slots, promoted, trace)


class _Lazy:
    """Asks the vetoes round by round, each round about what is still needed."""

    def __init__(
        self,
        queries: Queries,
        candidates: Candidates,
        rules: Rules,
        corpus: Corpus,
        clock: Clock,
        order: _Order,
    ) -> None:
        self._queries, self._candidates, self._rules = queries, candidates, rules
        self._corpus, self._clock, self._order = corpus, clock, order
        self.chosen = _Chosen(len(queries), rules.n)
        self.promoted: list[tuple[int, int]] = []
        limits = [veto.keep_top_k for veto in rules.vetoes if veto.keep_top_k is not None]
        self._budget = np.full(len(queries), min(limits, default=np.iinfo(np.int64).max))
        self._seen = np.empty(0, dtype=np.uint64)

    def run(self, trace: NDArray[np.int32]) -> None:
        """Fill :attr:`chosen`; counts go to ``trace``, whose first column is duplicate texts."""
        while True:
            wanted = np.minimum(self._rules.n - self.chosen.counts, self._budget)
            active = np.flatnonzero((wanted > 0) & (self._order.left > 0))
            if not len(active):
                return
            lines, slots = self._order.take(active, wanted[active])
            fresh = self._fresh(lines, slots)
            np.add.at(trace[:, 0], lines[~fresh], 1)
            lines, slots = lines[fresh], slots[fresh]
            self._budget -= np.bincount(lines, minlength=len(self._budget))
            for place, veto in enumerate(self._rules.vetoes):
                lines, slots = self._ask(veto, lines, slots, trace[:, 1 + 3 * place :])
            self.chosen.add(lines, slots)

    def _fresh(self, lines: NDArray[np.int64], slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which candidates have a text that their query has not met yet."""
        keys = mix(lines.astype(np.uint64), self._candidates.document_keys[lines, slots])
        unique, first = np.unique(keys, return_index=True)
        fresh = np.zeros(len(keys), dtype=np.bool_)
        fresh[first] = True
        if len(self._seen):
            place = np.minimum(np.searchsorted(self._seen, keys), len(self._seen) - 1)
            fresh &= self._seen[place] != keys
            unique = np.union1d(self._seen, unique)
        self._seen = unique
        return fresh

    def _ask(
        self,
        veto: Veto,
        lines: NDArray[np.int64],
        slots: NDArray[np.int64],
        trace: NDArray[np.int32],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the candidates that the veto keeps; counts go to three columns of ``trace``."""
        if not len(lines):
            return lines, slots
        started = time.perf_counter()
        verdicts = veto.judge(self._queries, self._candidates, lines, slots, self._corpus)
        self._clock(veto.name, time.perf_counter() - started)
        np.add.at(trace[:, 0], lines, 1)
        np.add.at(trace[:, 1], lines[verdicts == Verdict.DROP], 1)
        raised = verdicts == Verdict.PROMOTE
        np.add.at(trace[:, 2], lines[raised], 1)
        self.promoted += zip(lines[raised].tolist(), slots[raised].tolist(), strict=True)
        kept = verdicts == Verdict.KEEP
        return lines[kept], slots[kept]


def chosen_rows(candidates: Candidates, slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the corpus rows of chosen slots, -1 where empty, shape (batch, n)."""
    rows = np.full(slots.shape, NO_ROW, dtype=np.int64)
    lines, places = np.nonzero(slots >= 0)
    rows[lines, places] = candidates.rows[lines, slots[lines, places]]
    return rows
