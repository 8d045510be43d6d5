"""Strata with quotas, diversity, fill beyond a rank and row filters, against plain counterparts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from selection_reference import HashVeto, OddRanks, RankWindow
from stage_data import Batch, batches, batches_with_twins, without_positives

from hf_hardneg import RandomSampler, TopSampler
from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.filters import Diversity, Filter, RowFilter, Verdict
from hf_hardneg.samplers import Sampler
from hf_hardneg.selection import Rules, select, trace_names
from hf_hardneg.testing import check_row_filter, take_candidates, take_queries

CORPUS: Any = None


class Thirds(Sampler):
    """Three strata of ranks, each with its quota."""

    name = "thirds"
    stratum_names = ("first", "second", "third")

    def __init__(self, *, shares: tuple[int, ...] = (1, 1, 1), width: int = 3) -> None:
        self.shares, self.width = shares, width

    def log_weights(self, queries: Queries, candidates: Candidates, seed: int) -> np.ndarray:
        return np.zeros(candidates.shape)

    def strata(self, queries: Queries, candidates: Candidates) -> np.ndarray:
        return np.clip((candidates.ranks - 1) // self.width, 0, 2).astype(np.int8)

    def quotas(self, n: int) -> tuple[int, ...]:
        return self.shares


class Marks(Thirds):
    """The same strata, from which any number may come."""

    name = "marks"

    def quotas(self, n: int) -> None:  # type: ignore[override]
        return None


class SameRest(Diversity):
    """Alike are rows of the same remainder."""

    name = "rest"

    def __init__(self, *, divisor: int = 4) -> None:
        self.divisor = divisor

    def alike(self, rows: np.ndarray, others: np.ndarray, corpus: Any) -> np.ndarray:
        same: np.ndarray = rows % self.divisor == others % self.divisor
        return same


class FewCandidates(RowFilter):
    """Flags rows with fewer than so many candidates."""

    name = "few"

    def __init__(self, *, least: int = 3, action: str = "flag") -> None:
        self.least, self.action = least, action

    def flags(self, queries: Queries, candidates: Candidates) -> np.ndarray:
        few: np.ndarray = candidates.filled.sum(axis=1) < self.least
        return few


class BelowMean(Filter):
    """Keeps what scores no more than the mean of what is left."""

    name = "below-mean"
    among_survivors = True

    def mask(self, queries: Queries, candidates: Candidates) -> np.ndarray:
        filled = candidates.filled
        sums = np.where(filled, candidates.scores, 0).sum(axis=1)
        mean = sums / np.maximum(filled.sum(axis=1), 1)
        return candidates.scores <= mean[:, None]


def in_order(queries: Queries, candidates: Candidates, how: Rules, line: int) -> list[int]:
    """The survivors of the vetoes in the sampler's order; every text once."""
    keys = how.sampler.keys(queries, candidates, how.seed)[line]
    alive = [slot for slot in np.flatnonzero(candidates.filled[line]) if keys[slot] > -np.inf]
    order = sorted(alive, key=lambda slot: (-keys[slot], slot))
    seen: set[int] = set()
    out = []
    for slot in order:
        text = int(candidates.document_keys[line, slot])
        asked = queries.keys[line : line + 1], candidates.document_keys[line : line + 1, slot]
        if text not in seen and all(
            veto.verdicts(*asked)[0] == Verdict.KEEP  # type: ignore[attr-defined]
            for veto in how.vetoes
        ):
            out.append(int(slot))
        seen.add(text)
    return out


def of_their_own(batch: Batch) -> Batch:
    """The same batch without known positives, every document with a text of its own."""
    queries, candidates = batch
    keys = np.maximum(candidates.rows, 0).astype(np.uint64) + np.uint64(1000)
    return without_positives(queries), replace(candidates, document_keys=keys)


vetoes = st.lists(st.builds(HashVeto, salt=st.integers(0, 9)), max_size=2).map(tuple)
shares = st.lists(st.integers(0, 4), min_size=3, max_size=3).map(tuple)


@given(batches.map(of_their_own), shares.filter(sum), vetoes, st.integers(0, 3))
def test_quotas_give_what_filtering_first_and_dealing_out_gives(
    batch: Batch, quotas: tuple[int, ...], asked: tuple[HashVeto, ...], seed: int
) -> None:
    queries, candidates = batch
    how = Rules((), asked, Thirds(shares=quotas), sum(quotas), seed)
    found = select(queries, candidates, how, CORPUS)
    strata = how.sampler.strata(queries, candidates)
    for line in range(len(queries)):
        survivors = in_order(queries, candidates, how, line)
        own = [[slot for slot in survivors if strata[line, slot] == s] for s in range(3)]
        counts = [min(len(one), quota) for one, quota in zip(own, quotas, strict=True)]
        for place in range(3):  # what one cannot give, the others do, in their order
            spare = len(own[place]) - counts[place]
            counts[place] += min(spare, how.n - sum(counts))
        wanted = [slot for one, count in zip(own, counts, strict=True) for slot in one[:count]]
        slots = found.slots[line][found.slots[line] >= 0]
        assert sorted(slots.tolist()) == sorted(wanted)
        assert found.strata[line].tolist() == [
            int(strata[line, slot]) if slot >= 0 else -1 for slot in found.slots[line]
        ]
    _adds_up(found.trace, how)


@given(batches_with_twins, vetoes, st.integers(1, 6))
def test_strata_without_quotas_only_mark(batch: Batch, asked: tuple[HashVeto, ...], n: int) -> None:
    marked = select(*batch, Rules((), asked, Marks(), n, 0), CORPUS)
    plain = select(*batch, Rules((), asked, RandomSampler(), n, 0), CORPUS)
    assert np.array_equal(marked.slots, plain.slots)
    assert np.array_equal(marked.strata >= 0, marked.slots >= 0)
    assert (plain.strata == -1).all()


@given(batches.map(of_their_own), vetoes, st.integers(1, 6), st.integers(1, 9))
def test_diversity_is_greedy_in_the_order_of_the_sampler(
    batch: Batch, asked: tuple[HashVeto, ...], n: int, divisor: int
) -> None:
    queries, candidates = batch
    how = Rules((), asked, RandomSampler(), n, 0, diversity=(SameRest(divisor=divisor),))
    found = select(queries, candidates, how, CORPUS)
    for line in range(len(queries)):
        wanted: list[int] = []
        for slot in in_order(queries, candidates, how, line):
            rest = candidates.rows[line, slot] % divisor
            if rest not in [candidates.rows[line, other] % divisor for other in wanted]:
                wanted.append(slot)
        slots = found.slots[line][found.slots[line] >= 0]
        assert slots.tolist() == wanted[:n]
    _adds_up(found.trace, how)


@given(batches.map(of_their_own), st.integers(1, 6), st.integers(0, 8), st.integers(1, 5))
def test_short_rows_are_filled_from_beyond_a_rank_and_marked(
    batch: Batch, n: int, beyond: int, keep_top_k: int
) -> None:
    queries, candidates = batch
    veto = HashVeto(keep=0.4, promote=0.1, keep_top_k=keep_top_k)
    veto.fill_beyond = beyond
    how = Rules((), (veto,), TopSampler(), n, 0)
    found = select(queries, candidates, how, CORPUS)
    alone = select(queries, candidates, Rules((), (HashVeto(
        keep=0.4, promote=0.1, keep_top_k=keep_top_k),), TopSampler(), n, 0), CORPUS)  # fmt: skip
    asked = veto.asked()
    for line in range(len(queries)):
        first = alone.slots[line][alone.slots[line] >= 0].tolist()
        rest = [
            slot
            for slot in np.lexsort((np.arange(candidates.shape[1]), -candidates.scores[line]))
            if candidates.filled[line, slot]
            and candidates.ranks[line, slot] > beyond
            and (line, slot) not in asked
        ]
        wanted = [*first, *rest][:n]
        slots = found.slots[line][found.slots[line] >= 0]
        assert slots.tolist() == wanted
        marks = found.filled[line][: len(wanted)]
        assert marks.tolist() == [False] * len(first) + [True] * (len(wanted) - len(first))
    _adds_up(found.trace, how)


@given(batches, st.integers(0, 10))
def test_row_filters_flag_or_leave_out(batch: Batch, least: int) -> None:
    queries, candidates = batch
    flag, drop = FewCandidates(least=least), FewCandidates(least=least, action="drop")
    check_row_filter(flag, queries, candidates)
    plain = select(queries, candidates, Rules((), (), TopSampler(), 3, 0), CORPUS)
    flagged = select(
        queries, candidates, Rules((), (), TopSampler(), 3, 0, row_filters=(flag,)), CORPUS
    )
    assert np.array_equal(flagged.slots, plain.slots)
    few = candidates.filled.sum(axis=1) < least
    assert flagged.flags[:, 0].tolist() == few.tolist()
    how = Rules((), (), TopSampler(), 3, 0, row_filters=(drop,))
    dropped = select(queries, candidates, how, CORPUS)
    assert np.array_equal(dropped.slots, np.where(few[:, None], -1, plain.slots))
    column = trace_names(how).index("drop:few")
    assert dropped.trace[:, column].tolist() == (candidates.filled.sum(axis=1) * few).tolist()
    _adds_up(dropped.trace, how)


@given(batches.map(of_their_own))
def test_a_relative_filter_sees_what_is_left(batch: Batch) -> None:
    queries, candidates = batch
    how = Rules((OddRanks(), BelowMean()), (), TopSampler(), 9, 0)
    found = select(queries, candidates, how, CORPUS)
    for line in range(len(queries)):
        odd = [s for s in np.flatnonzero(candidates.filled[line]) if candidates.ranks[line, s] % 2]
        scores = candidates.scores[line, odd]
        wanted = [s for s, score in zip(odd, scores, strict=True) if score <= scores.mean()]
        slots = found.slots[line][found.slots[line] >= 0]
        assert sorted(slots.tolist()) == wanted[:9]


@given(batches_with_twins, vetoes, shares.filter(sum), st.integers(1, 9))
def test_the_batch_is_of_no_influence(
    batch: Batch, asked: tuple[HashVeto, ...], quotas: tuple[int, ...], divisor: int
) -> None:
    queries, candidates = batch
    how = Rules(
        (BelowMean(),), asked, Thirds(shares=quotas), sum(quotas), 0,
        (FewCandidates(action="drop"),), (SameRest(divisor=divisor),),
    )  # fmt: skip
    whole = select(queries, candidates, how, CORPUS)
    for lines in (list(range(len(queries)))[::-1], *([line] for line in range(len(queries)))):
        given_queries = take_queries(queries, lines)
        part = select(given_queries, take_candidates(queries, candidates, lines), how, CORPUS)
        for name in ("slots", "trace", "filled", "strata", "flags"):
            assert np.array_equal(getattr(part, name), getattr(whole, name)[lines]), name
    _adds_up(whole.trace, how)


def test_the_window_of_no_candidates_is_left_over() -> None:
    queries, candidates = of_their_own(_line(5))
    how = Rules((), (), RankWindow(start=9, end=12), 2, 0)
    assert dict(zip(trace_names(how), select(queries, candidates, how, CORPUS).trace[0].tolist(),
                    strict=True))["unused"] == 5  # fmt: skip


def _line(k: int) -> Batch:
    from stage_data import make_batch

    return make_batch([list(range(k))], [[float(-place) for place in range(k)]], [[0.0]])


def _adds_up(trace: np.ndarray, how: Rules) -> None:
    names = trace_names(how)
    assert len(set(names)) == len(names)
    taken = [n.startswith(("drop:", "promote:")) or n in ("unused", "chosen") for n in names]
    assert (trace[:, taken].sum(axis=1) == trace[:, 0]).all()
    assert (trace >= 0).all()
