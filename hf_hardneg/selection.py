"""The one engine of selection: cheap filters, the sampler's order, lazy vetoes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.corpus import Corpus
from hf_hardneg.filters.base import Diversity, Filter, RowFilter, Verdict, Veto
from hf_hardneg.filters.known_positives import ALWAYS_ON
from hf_hardneg.hashing import mix
from hf_hardneg.samplers.base import Sampler
from hf_hardneg.taking import Chosen, Order, by_stratum, place_in_line, spread

__all__ = [
    "Rules", "Selection", "chosen_rows", "filter_column", "numbered_names", "sampler_keys",
    "select", "surviving", "trace_names",
]  # fmt: skip

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
        row_filters: asked about rows as a whole; those they drop get no negatives.
        diversity: asked about what the vetoes keep, against what was chosen before.
    """

    filters: tuple[Filter, ...]
    vetoes: tuple[Veto, ...]
    sampler: Sampler
    n: int
    seed: int
    row_filters: tuple[RowFilter, ...] = ()
    diversity: tuple[Diversity, ...] = ()

    @property
    def fill_beyond(self) -> int | None:
        """Raw rank beyond which short rows are filled without asking the vetoes that say so."""
        ranks = [veto.fill_beyond for veto in self.vetoes if veto.fill_beyond is not None]
        return max(ranks, default=None)


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen.

    Attributes:
        slots: slot of each chosen candidate in the batch's candidates, shape (batch, n), in the
            order of choice; -1 where too few survived.
        promoted: (line, slot) of each candidate that a veto promoted, shape (promoted, 2).
        trace: how many candidates each stage took out, shape (batch, len(trace_names(rules))).
        filled: which of ``slots`` a veto was not asked about (its ``fill_beyond``), (batch, n).
        strata: stratum of each of ``slots``, -1 where empty or the sampler has none, (batch, n).
        flags: which row filter flagged which row, shape (batch, row filters).
        outcomes: what became of each candidate, shape (batch, k): its place in
            :func:`trace_names`, -1 in empty slots; ``None`` where it was not asked for.
        asked: which veto was asked about which candidate, shape (batch, k, vetoes); ``None`` where
            the outcomes are.
    """

    slots: NDArray[np.int64]
    promoted: NDArray[np.int64]
    trace: NDArray[np.int32]
    filled: NDArray[np.bool_]
    strata: NDArray[np.int8]
    flags: NDArray[np.bool_]
    outcomes: NDArray[np.int16] | None = None
    asked: NDArray[np.bool_] | None = None


def trace_names(rules: Rules) -> list[str]:
    """Return what the columns of :attr:`Selection.trace` count.

    ``retrieved`` = all ``drop:`` + all ``promote:`` + ``unused`` + ``chosen`` in every row;
    ``ask:`` counts what a veto was asked about.
    """
    before = [*_dropping(rules), *ALWAYS_ON, *rules.filters]
    unique = numbered_names([stage.name for stage in (*before, *rules.vetoes, *rules.diversity)])
    first, last = len(before), len(before) + len(rules.vetoes)
    names = ["retrieved", *(f"drop:{name}" for name in unique[:first]), "drop:duplicate-text"]
    for name in unique[first:last]:
        names += [f"ask:{name}", f"drop:{name}", f"promote:{name}"]
    return [*names, *(f"drop:{name}" for name in unique[last:]), "unused", "chosen"]


def _dropping(rules: Rules) -> list[RowFilter]:
    """Return the row filters that leave rows out; the others only flag them."""
    return [rule for rule in rules.row_filters if rule.action == "drop"]


def filter_column(rules: Rules, place: int) -> int:
    """Return which of :func:`trace_names` counts what the filter at a place takes out."""
    return 1 + len(_dropping(rules)) + len(ALWAYS_ON) + place


def numbered_names(names: Sequence[str]) -> list[str]:
    """Number the second and later uses of a name: ``rank``, ``rank-2``."""
    return [
        name if name not in names[:place] else f"{name}-{names[: place + 1].count(name)}"
        for place, name in enumerate(names)
    ]


def select(
    queries: Queries,
    candidates: Candidates,
    rules: Rules,
    corpus: Corpus,
    clock: Clock = lambda name, seconds: None,
    *,
    with_outcomes: bool = False,
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
        with_outcomes: say of each candidate what became of it.
    """
    names = trace_names(rules)
    trace = np.zeros((len(queries), len(names)), dtype=np.int32)
    trace[:, 0] = np.count_nonzero(candidates.filled, axis=1)
    outcomes = np.full(candidates.shape, -1, dtype=np.int16) if with_outcomes else None
    alive, flags = _filtered(queries, candidates, rules, trace[:, 1:], clock, outcomes)
    left = np.count_nonzero(alive, axis=1)
    column = filter_column(rules, len(rules.filters))
    started = time.perf_counter()
    seen = _seen(candidates, rules, alive)
    keys = rules.sampler.keys(queries, seen, rules.seed)
    strata = rules.sampler.strata(queries, seen) if rules.sampler.stratum_names else None
    alive = alive & (keys > -np.inf)
    clock(rules.sampler.name, time.perf_counter() - started)
    engine = _Lazy(queries, candidates, rules, corpus, clock, column, outcomes)
    engine.run(keys, alive, strata, trace[:, column:])
    # What the sampler never takes, by a weight of -inf, is left over too.
    trace[:, -2] = left - engine.taken
    trace[:, -1] = engine.chosen.counts
    promoted = np.array(engine.promoted, dtype=np.int64).reshape(-1, 2)
    slots = engine.chosen.slots
    if outcomes is not None:
        _settle(outcomes, candidates.filled, slots, len(names))
    marks = np.full(slots.shape, -1, dtype=np.int8)
    if strata is not None:
        own = np.take_along_axis(strata, np.maximum(slots, 0), axis=1)
        marks = np.where(slots >= 0, own, np.int8(-1))
    return Selection(
        slots, promoted, trace, engine.chosen.filled, marks, flags, outcomes, engine.asked
    )


def _settle(
    outcomes: NDArray[np.int16],
    filled: NDArray[np.bool_],
    slots: NDArray[np.int64],
    names: int,
) -> None:
    """Say of the candidates that no stage took out whether they were chosen or not needed."""
    outcomes[filled & (outcomes < 0)] = names - 2
    lines, places = np.nonzero(slots >= 0)
    outcomes[lines, slots[lines, places]] = names - 1


def _filtered(
    queries: Queries,
    candidates: Candidates,
    rules: Rules,
    trace: NDArray[np.int32],
    clock: Clock = lambda name, seconds: None,
    outcomes: NDArray[np.int16] | None = None,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which candidates the cheap stages leave, and which row filter flags which row.

    Counts go to the columns of ``trace``, one for each stage that drops, and the places of these
    columns, counted from 1, into ``outcomes``.
    """
    alive = candidates.filled
    left = np.count_nonzero(alive, axis=1)
    flags = np.zeros((len(queries), len(rules.row_filters)), dtype=np.bool_)
    column = 0
    for place, row_rule in enumerate(rules.row_filters):
        started = time.perf_counter()
        flags[:, place] = row_rule.flags(queries, candidates)
        if row_rule.action == "drop":
            alive = _without(alive, ~flags[:, place, None], column, outcomes)
            before, left = left, np.count_nonzero(alive, axis=1)
            trace[:, column] = before - left
            column += 1
        clock(row_rule.name, time.perf_counter() - started)
    for rule in (*ALWAYS_ON, *rules.filters):
        started = time.perf_counter()
        seen = candidates.keep(alive) if rule.among_survivors else candidates
        alive = _without(alive, rule.mask(queries, seen), column, outcomes)
        before, left = left, np.count_nonzero(alive, axis=1)
        trace[:, column] = before - left
        column += 1
        clock(rule.name, time.perf_counter() - started)
    return alive, flags


def _without(
    alive: NDArray[np.bool_],
    kept: NDArray[np.bool_],
    column: int,
    outcomes: NDArray[np.int16] | None,
) -> NDArray[np.bool_]:
    """Return what is still alive; what is not goes into ``outcomes``."""
    if outcomes is not None:
        outcomes[alive & ~kept] = 1 + column
    return alive & kept


def surviving(queries: Queries, candidates: Candidates, rules: Rules) -> NDArray[np.bool_]:
    """Return which candidates the cheap stages leave, shape (batch, k)."""
    counts = np.zeros((len(queries), len(trace_names(rules))), dtype=np.int32)
    return _filtered(queries, candidates, rules, counts)[0]


def sampler_keys(
    queries: Queries, candidates: Candidates, rules: Rules, alive: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the keys by which the sampler takes candidates, shape (batch, k)."""
    return rules.sampler.keys(queries, _seen(candidates, rules, alive), rules.seed)


def _seen(candidates: Candidates, rules: Rules, alive: NDArray[np.bool_]) -> Candidates:
    """Return what the sampler is given: only the survivors if its weights depend on them."""
    return candidates.keep(alive) if rules.sampler.among_survivors else candidates


class _Lazy:
    """Asks the vetoes round by round, each round about what is still needed.

    Where the sampler has quotas, every line is cut into lines of its own, one a stratum: line
    ``i`` of ``q`` strata becomes ``i * q ... i * q + q - 1``, each with an order and a quota.
    """

    def __init__(
        self,
        queries: Queries,
        candidates: Candidates,
        rules: Rules,
        corpus: Corpus,
        clock: Clock,
        column: int,
        outcomes: NDArray[np.int16] | None,
    ) -> None:
        self._column, self._outcomes = column, outcomes
        self._queries, self._candidates, self._rules = queries, candidates, rules
        self._corpus, self._clock = corpus, clock
        self.chosen = Chosen(len(queries), rules.n)
        self.promoted: list[tuple[int, int]] = []
        self.taken = np.zeros(len(queries), dtype=np.int64)
        limits = [veto.keep_top_k for veto in rules.vetoes if veto.keep_top_k is not None]
        self._budget = np.full(len(queries), min(limits, default=np.iinfo(np.int64).max))
        self._seen = np.empty(0, dtype=np.uint64)
        self.asked: NDArray[np.bool_] | None = None
        if outcomes is not None:
            self.asked = np.zeros((*candidates.shape, len(rules.vetoes)), dtype=np.bool_)

    def run(
        self,
        keys: NDArray[np.float64],
        alive: NDArray[np.bool_],
        strata: NDArray[np.int8] | None,
        trace: NDArray[np.int32],
    ) -> None:
        """Fill :attr:`chosen`.

        Args:
            keys: of the sampler, shape (batch, k).
            alive: which candidates may be taken, shape (batch, k).
            strata: their strata, ``None`` where there are none.
            trace: where counts go; its first column is duplicate texts.
        """
        rules, beyond = self._rules, self._rules.fill_beyond
        quotas = None if strata is None else rules.sampler.quotas(rules.n)
        if strata is None or quotas is None:
            order, quotas, strata = Order(keys, alive), (rules.n,), None
        else:
            order = Order(*by_stratum(keys, alive, strata, len(quotas)))
        self._rounds(order, quotas, strata, [True] * len(rules.vetoes), trace)
        if beyond is None:
            return
        # What is left of higher rank, without asking those that say so.
        asked = [veto.fill_beyond is None for veto in rules.vetoes]
        left = alive & ~order.gone(alive.shape) & (self._candidates.ranks > beyond)
        self._budget[:] = np.iinfo(np.int64).max
        self._rounds(Order(keys, left), (rules.n,), None, asked, trace)

    def _rounds(
        self,
        order: Order,
        quotas: tuple[int, ...],
        strata: NDArray[np.int8] | None,
        asked: Sequence[bool],
        trace: NDArray[np.int32],
    ) -> None:
        """Take and ask until there are enough, nothing is left, or nothing more may be asked.

        Args:
            order: of the candidates, a line for each stratum of each query.
            quotas: how many each stratum shall give.
            strata: of the candidates, where there is more than one quota.
            asked: which vetoes are asked; where one is not, what is chosen is marked as fill.
            trace: where counts go.
        """
        width, batch = len(quotas), len(self._queries)
        given = np.zeros((batch, width), dtype=np.int64)
        while True:
            need = np.minimum(self._rules.n - self.chosen.counts, self._budget)
            wanted = spread(need, np.asarray(quotas) - given, order.left.reshape(batch, width))
            active = np.flatnonzero(wanted)
            if not len(active):
                return
            owners, slots = order.take(active, wanted.ravel()[active])
            lines = owners // width
            self.taken += np.bincount(lines, minlength=batch)
            fresh = self._fresh(lines, slots)
            np.add.at(trace[:, 0], lines[~fresh], 1)
            self._mark(0, lines[~fresh], slots[~fresh])
            lines, slots = lines[fresh], slots[fresh]
            self._budget -= np.bincount(lines, minlength=batch)
            for place, veto in enumerate(self._rules.vetoes):
                if asked[place]:
                    if self.asked is not None:
                        self.asked[lines, slots, place] = True
                    lines, slots = self._ask(veto, lines, slots, trace, 1 + 3 * place)
            lines, slots = self._different(lines, slots, trace)
            self.chosen.add(lines, slots, not all(asked))
            if strata is not None:
                np.add.at(given, (lines, strata[lines, slots]), 1)

    def _mark(self, place: int, lines: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
        """Say that these candidates went to a column of the trace that :meth:`run` was given."""
        if self._outcomes is not None:
            self._outcomes[lines, slots] = self._column + place

    def _different(
        self, lines: NDArray[np.int64], slots: NDArray[np.int64], trace: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the candidates that are not too much like one chosen before; see `Diversity`."""
        first = 1 + 3 * len(self._rules.vetoes)
        for place, rule in enumerate(self._rules.diversity):
            started = time.perf_counter()
            kept = self._greedy(rule, lines, slots)
            np.add.at(trace[:, first + place], lines[~kept], 1)
            self._mark(first + place, lines[~kept], slots[~kept])
            lines, slots = lines[kept], slots[kept]
            self._clock(rule.name, time.perf_counter() - started)
        return lines, slots

    def _greedy(
        self, rule: Diversity, lines: NDArray[np.int64], slots: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Go through the candidates of each line in order; each is compared with those kept."""
        rows, kept = self._candidates.rows, np.ones(len(lines), dtype=np.bool_)
        places = place_in_line(lines, len(self._queries))
        for place in range(int(places.max(initial=-1)) + 1):
            here = np.flatnonzero(places == place)
            before = self.chosen.slots[lines[here]]
            which, column = np.nonzero(before >= 0)
            own = [here[which]]
            others = [rows[lines[here[which]], before[which, column]]]
            for back in range(1, place + 1):
                mates = here - back  # entries of a line stand side by side
                use = kept[mates]
                own.append(here[use])
                others.append(rows[lines[mates[use]], slots[mates[use]]])
            asked = np.concatenate(own)
            alike = rule.alike(
                rows[lines[asked], slots[asked]], np.concatenate(others), self._corpus
            )
            kept[asked[alike]] = False
        return kept

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
        column: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the candidates that the veto keeps; counts go to three columns of ``trace``."""
        if not len(lines):
            return lines, slots
        started = time.perf_counter()
        verdicts = veto.judge(self._queries, self._candidates, lines, slots, self._corpus)
        self._clock(veto.name, time.perf_counter() - started)
        np.add.at(trace[:, column], lines, 1)
        gone, raised = verdicts == Verdict.DROP, verdicts == Verdict.PROMOTE
        np.add.at(trace[:, column + 1], lines[gone], 1)
        self._mark(column + 1, lines[gone], slots[gone])
        np.add.at(trace[:, column + 2], lines[raised], 1)
        self._mark(column + 2, lines[raised], slots[raised])
        self.promoted += zip(lines[raised].tolist(), slots[raised].tolist(), strict=True)
        kept = verdicts == Verdict.KEEP
        return lines[kept], slots[kept]


def chosen_rows(candidates: Candidates, slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the corpus rows of chosen slots, -1 where empty, shape (batch, n)."""
    rows = np.full(slots.shape, NO_ROW, dtype=np.int64)
    lines, places = np.nonzero(slots >= 0)
    rows[lines, places] = candidates.rows[lines, slots[lines, places]]
    return rows
