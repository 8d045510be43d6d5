"""Selection against a plain re-implementation: lazily asked is as if all had been judged first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from selection_reference import HashVeto, OddRanks, RankWindow, one_by_one, trace_of
from stage_data import (
    DOCUMENT_KEYS,
    Batch,
    batches,
    batches_with_twins,
    make_batch,
    without_positives,
)

from hf_hardneg import Corpus, RandomSampler, ScoreFilter, TopSampler
from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.filters import Filter, Veto
from hf_hardneg.hashing import EMPTY_TEXT_KEY
from hf_hardneg.samplers import Sampler
from hf_hardneg.selection import Rules, Selection, chosen_rows, select, trace_names
from hf_hardneg.testing import check_filter, check_sampler, take_candidates, take_queries

CORPUS: Any = None  # none of the stages here looks at a text


def rules(
    *,
    filters: tuple[Filter, ...] = (),
    vetoes: tuple[Veto, ...] = (),
    sampler: Sampler | None = None,
    n: int = 3,
    seed: int = 0,
) -> Rules:
    return Rules(filters, vetoes, sampler or TopSampler(), n, seed)


samplers = st.sampled_from(
    [TopSampler(), RandomSampler(), RankWindow(start=2, end=6), RankWindow(start=9, end=99)]
)
filters = st.lists(st.sampled_from([OddRanks(), ScoreFilter(min_score=-1)]), max_size=3).map(tuple)
vetoes = st.lists(
    st.builds(
        HashVeto,
        salt=st.integers(0, 9),
        keep=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
        promote=st.sampled_from([0.0, 0.2]),
        keep_top_k=st.none() | st.integers(1, 8),
    ),
    max_size=2,
).map(tuple)
any_rules = st.builds(Rules, filters, vetoes, samplers, st.integers(1, 12), st.integers(0, 3))


@given(batches_with_twins, any_rules)
def test_equals_the_plain_selection_and_asks_no_more_than_it(batch: Batch, how: Rules) -> None:
    queries, candidates = batch
    found = select(queries, candidates, how, CORPUS)
    asked: list[dict[tuple[int, int], int]] = [{} for _ in how.vetoes]
    promoted = []
    for line in range(len(queries)):
        wanted = one_by_one(queries, candidates, how, line)
        assert found.slots[line].tolist() == wanted.slots + [-1] * (how.n - len(wanted.slots))
        assert found.trace[line].tolist() == trace_of(wanted, how)
        promoted += [(line, slot) for slot in wanted.promoted]
        for counts, slots in zip(asked, wanted.asked, strict=True):
            counts.update({(line, slot): 1 for slot in slots})
    assert sorted(map(tuple, found.promoted.tolist())) == sorted(promoted)
    for veto, counts in zip(how.vetoes, asked, strict=True):
        assert isinstance(veto, HashVeto)
        assert veto.asked() == counts


@given(batches_with_twins, any_rules)
def test_equals_judging_everything_first(batch: Batch, how: Rules) -> None:
    queries, candidates = batch
    found = select(queries, candidates, how, CORPUS)
    for line, slots in enumerate(found.slots):
        everything = one_by_one(queries, candidates, how, line, lazy=False)
        assert slots[slots >= 0].tolist() == everything.slots


@given(batches_with_twins, any_rules)
def test_the_trace_adds_up_and_what_is_chosen_is_allowed(batch: Batch, how: Rules) -> None:
    queries, candidates = batch
    found = select(queries, candidates, how, CORPUS)
    names = trace_names(how)
    assert len(set(names)) == len(names)
    assert found.trace.dtype == np.int32
    taken = [n.startswith(("drop:", "promote:")) or n in ("unused", "chosen") for n in names]
    assert (found.trace[:, taken].sum(axis=1) == found.trace[:, 0]).all()
    assert (found.trace >= 0).all()
    for line, slots in enumerate(found.slots):
        own = slots[slots >= 0]
        assert candidates.filled[line, own].all()
        keys = candidates.document_keys[line, own].tolist()
        assert len(set(keys)) == len(keys)
        known = slice(queries.known_offsets[line], queries.known_offsets[line + 1])
        assert not set(keys) & set(queries.known_keys[known].tolist())
        assert not set(candidates.rows[line, own]) & set(queries.known_rows[known].tolist())
        assert (slots[len(own) :] == -1).all()


@given(batches_with_twins, any_rules)
def test_the_batch_and_its_order_are_of_no_influence(batch: Batch, how: Rules) -> None:
    queries, candidates = batch
    whole = select(queries, candidates, how, CORPUS)
    backwards = list(range(len(queries)))[::-1]
    for lines in (backwards, *([line] for line in backwards)):
        part = select(
            take_queries(queries, lines), take_candidates(queries, candidates, lines), how, CORPUS
        )
        assert np.array_equal(part.slots, whole.slots[lines])
        assert np.array_equal(part.trace, whole.trace[lines])


@given(batches, st.sampled_from([RandomSampler(), RankWindow(start=2, end=8)]), st.integers(0, 99))
def test_the_order_of_the_corpus_is_of_no_influence_on_noise(
    batch: Batch, sampler: Sampler, shuffle: int
) -> None:
    """Renumber the documents and shuffle the slots: the same texts are drawn in the same order."""
    queries, candidates = batch
    queries = without_positives(queries)
    how = rules(sampler=sampler, vetoes=(HashVeto(),))
    rng = np.random.default_rng(shuffle)
    numbers, slots = rng.permutation(len(DOCUMENT_KEYS)), rng.permutation(candidates.shape[1])
    rows = np.where(candidates.filled, numbers[candidates.rows], -1)
    moved = {name: getattr(candidates, name)[:, slots] for name in ("scores", "ranks", "sources")}
    shuffled = replace(
        candidates, rows=rows[:, slots], document_keys=candidates.document_keys[:, slots], **moved
    )

    def texts(given_candidates: Candidates) -> list[list[int]]:
        found = select(queries, given_candidates, how, CORPUS).slots
        lines = zip(given_candidates.document_keys, found, strict=True)
        return [keys[own[own >= 0]].tolist() for keys, own in lines]

    assert texts(shuffled) == texts(candidates)


@given(batches_with_twins, st.integers(1, 12))
def test_exactly_as_many_as_there_are(batch: Batch, n: int) -> None:
    queries, candidates = batch
    queries = without_positives(queries)
    found = select(queries, candidates, rules(sampler=RandomSampler(), n=n), CORPUS)
    for line, slots in enumerate(found.slots):
        texts = set(candidates.document_keys[line][candidates.filled[line]].tolist())
        assert np.count_nonzero(slots >= 0) == min(n, len(texts))


def plain(rows: list[int]) -> tuple[Queries, Candidates]:
    scores = [float(-place) for place in range(len(rows))]
    queries, candidates = make_batch([rows], [scores], [[0.0]])
    return without_positives(queries), candidates


def test_no_more_than_keep_top_k_are_asked_and_duplicates_cost_nothing() -> None:
    """Rows 0 and 17, 1 and 18 have the same text: the second is passed over unasked."""
    veto = HashVeto(keep=0.0, promote=0.0, keep_top_k=3)
    how = rules(vetoes=(veto,), n=2)
    found = select(*plain([0, 17, 1, 18, 2, 3, 4]), how, CORPUS)
    assert veto.asked() == {(0, 0): 1, (0, 2): 1, (0, 4): 1}
    assert dict(zip(trace_names(how), found.trace[0].tolist(), strict=True)) == {
        "retrieved": 7, "drop:known-positive": 0, "drop:positive-text": 0, "drop:query-text": 0,
        "drop:duplicate-text": 2, "ask:hash": 3, "drop:hash": 3, "promote:hash": 0, "unused": 2,
        "chosen": 0,
    }  # fmt: skip


def test_the_smallest_budget_of_several_vetoes_counts() -> None:
    one, two = HashVeto(keep=1.0, keep_top_k=2), HashVeto(keep=1.0, keep_top_k=5)
    found = select(*plain([0, 1, 2, 3, 4, 5, 6]), rules(vetoes=(one, two), n=6), CORPUS)
    assert found.slots.tolist() == [[0, 1, -1, -1, -1, -1]]


def test_a_veto_is_asked_in_batches_across_queries() -> None:
    """As many rounds as the slowest query needs, however many queries there are."""
    veto = HashVeto(keep=0.5, promote=0.0)
    queries, candidates = make_batch([list(range(16))] * 50, [[0.0] * 16] * 50, [[0.0]] * 50)
    found = select(without_positives(queries), candidates, rules(vetoes=(veto,), n=4), CORPUS)
    assert (found.slots >= 0).all(axis=1).sum() > 40
    assert len(veto._calls) <= 13
    assert len(veto._calls[0]) == 200


@pytest.mark.parametrize("rows", [[[]], [[], [], []]])
def test_nothing_retrieved_for_anyone(rows: list[list[int]]) -> None:
    queries, candidates = make_batch(rows, rows, [[0.0] for _ in rows])  # type: ignore[arg-type]
    found = select(queries, candidates, rules(vetoes=(HashVeto(),), n=2), CORPUS)
    assert found.slots.tolist() == [[-1, -1]] * len(rows)
    assert found.promoted.shape == (0, 2)
    assert chosen_rows(candidates, found.slots).tolist() == [[-1, -1]] * len(rows)


def test_all_dropped_more_asked_than_there_are_and_empty_texts() -> None:
    queries, candidates = plain([3, 4, 5])
    found = select(queries, candidates, rules(filters=(ScoreFilter(min_score=9),)), CORPUS)
    assert chosen_rows(candidates, found.slots).tolist() == [[-1] * 3]
    found = select(queries, candidates, rules(n=7), CORPUS)
    assert chosen_rows(candidates, found.slots).tolist() == [[3, 4, 5, -1, -1, -1, -1]]
    empty = replace(candidates, document_keys=np.array([[1, EMPTY_TEXT_KEY, 2]], dtype=np.uint64))
    found = select(queries, empty, rules(), CORPUS)
    assert chosen_rows(candidates, found.slots).tolist() == [[3, 5, -1]]


def test_the_clock_hears_of_every_stage() -> None:
    heard: dict[str, float] = {}

    def clock(name: str, seconds: float) -> None:
        heard[name] = heard.get(name, 0.0) + seconds

    how = rules(filters=(OddRanks(),), vetoes=(HashVeto(),), sampler=RandomSampler())
    select(*plain([1, 2, 3]), how, Corpus(["any"]), clock)
    names = {"known-positive", "positive-text", "query-text", "odd", "hash", "random"}
    assert set(heard) == names
    assert all(seconds >= 0 for seconds in heard.values())


def test_the_stages_of_these_tests_keep_their_contracts() -> None:
    queries, candidates = plain([1, 2, 3, 4])
    check_sampler(RankWindow(), queries, candidates)
    check_filter(OddRanks(), queries, candidates)
    assert isinstance(select(queries, candidates, rules(), CORPUS), Selection)


@given(batches_with_twins, any_rules)
def test_outcomes_say_of_each_candidate_what_the_trace_counts(batch: Batch, how: Rules) -> None:
    queries, candidates = batch
    plain = select(queries, candidates, how, CORPUS)
    told = select(queries, candidates, how, CORPUS, with_outcomes=True)
    assert plain.outcomes is None
    assert (told.slots == plain.slots).all()
    assert (told.trace == plain.trace).all()
    outcomes, names = told.outcomes, trace_names(how)
    assert outcomes is not None
    assert ((outcomes == -1) == ~candidates.filled).all()
    for line in range(len(queries)):
        counts = np.bincount(outcomes[line][outcomes[line] >= 0], minlength=len(names))
        for place, name in enumerate(names):
            if name != "retrieved" and not name.startswith("ask:"):
                assert counts[place] == told.trace[line, place], name
        chosen = np.flatnonzero(outcomes[line] == len(names) - 1)
        assert set(chosen) == {slot for slot in told.slots[line] if slot >= 0}
        raised = {slot for mine, slot in told.promoted.tolist() if mine == line}
        said = {place for place, name in enumerate(names) if name.startswith("promote:")}
        assert {slot for slot, place in enumerate(outcomes[line]) if place in said} == raised
