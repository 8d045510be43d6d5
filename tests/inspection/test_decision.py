"""Another decision over a pool: the set's own sliders give the set, others what mining would."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspection.decision_cases import Mined, again, docstring_corpus, docstring_rows, mine
from mining import MINING, Collection, collections
from tiny_models import save_cross_encoder

from hf_hardneg.errors import FormatError, ParameterError, PoolError, StrategyError
from hf_hardneg.inspection.decision import Decision, decide
from hf_hardneg.inspection.pool_rows import PoolRows
from hf_hardneg.inspection.sliders import (
    Sliders,
    own_sliders,
    slider_ranges,
    strategy_string,
)

PLAIN = (
    "bm25@40",
    "bm25@40+margin",
    "bm25@40+margin(margin=2.0, against='max')+rank(range_min=3, range_max=30)",
    "bm25@40+rank(range_min=2)+rank(range_max=12)+score(min_score=3.0)+margin(percentile=0.8)",
    "bm25@40+margin+random",
    "bm25@40+score(max_score=20.0)+cl-drd",
    "bm25@40+importance",
)
"""Strategies all of whose stages are decided anew."""
RECORDED = (
    "bm25@40+near-duplicate(threshold=0.3)+margin",
    "bm25@40+rank(range_min=2)+diverse(threshold=0.2)",
    "bm25@40+noisy-pairs(action='drop')+margin",
    "bm25@20,random@5+margin+random",
)


def chosen(decision: Decision) -> list[list[str]]:
    return [list(row.chosen) for row in decision.rows]


@pytest.fixture(scope="module", params=[*PLAIN, *RECORDED])
def case(request: pytest.FixtureRequest) -> Mined:
    return mine(request.param, docstring_rows(), docstring_corpus())


@pytest.fixture(scope="module")
def plain() -> Mined:
    return mine("bm25@40+margin+rank(range_min=2)", docstring_rows(), docstring_corpus())


def test_its_own_sliders_give_the_set(case: Mined) -> None:
    found = decide(case.inspected, range(len(case.inspected)), own_sliders(case.inspected))
    assert chosen(found) == case.negatives
    assert found.added == found.removed == found.not_asked == 0
    assert found.kept == sum(map(len, case.negatives))
    assert (found.now, found.sampled, found.rates) == (found.before, False, ())
    assert found.now.a_row.low is None
    assert not any("cannot be used" in note for note in found.notes)


def test_others_give_what_mining_gives(case: Mined) -> None:
    """Where no stage is asked about what it never saw; then it is counted."""
    own = own_sliders(case.inspected)
    for sliders in (
        Sliders(num_negatives=own.num_negatives),
        Sliders(margin=0.3, relative=True, first_rank=4, last_rank=20, num_negatives=7),
        replace(own, margin=1.5, relative=False, lowest_score=4.0, highest_score=30.0),
    ):
        found = decide(case.inspected, range(len(case.inspected)), sliders)
        if "diverse" in found.strategy:  # what was alike stays out, alike to what is gone or not
            continue
        wanted = again(case, found.strategy, sliders.num_negatives)
        assert found.strategy == strategy_string(case.inspected, sliders)
        same = 0
        for row, names in zip(found.rows, wanted, strict=True):
            if not row.not_asked:
                assert list(row.chosen) == names
                same += 1
        assert same > len(wanted) / 8
        if not any("stays out" in note for note in found.notes):
            assert same == len(wanted)


def test_without_texts_the_best_are_the_same() -> None:
    case = mine("bm25@40+margin", docstring_rows(), docstring_corpus(), texts=False)
    own = own_sliders(case.inspected)
    found = decide(case.inspected, range(len(case.inspected)), own)
    assert chosen(found) == case.negatives
    assert any("copies" in note for note in found.notes)
    noisy = mine("bm25@40+margin+random", docstring_rows(), docstring_corpus(), texts=False)
    found = decide(noisy.inspected, range(len(case.rows)), own_sliders(noisy.inspected))
    same = [one == two for one, two in zip(chosen(found), case.negatives, strict=True)]
    assert sum(same) > 0.9 * len(same)  # a copy that was not needed then may be chosen now
    assert any("'random' cannot be used here" in note for note in found.notes)
    assert "random" not in found.strategy


def test_a_sampler_that_looks_at_all_rows_gives_way_to_the_best() -> None:
    case = mine("bm25@20,random@5+stratified", docstring_rows(), docstring_corpus())
    found = decide(case.inspected, 20, own_sliders(case.inspected))
    assert any("ranks in each retriever's list" in note for note in found.notes)


def by_hand(case: Mined, row: dict[str, Any], sliders: Sliders) -> list[str]:
    """Return what the sliders choose of a row, worked out candidate by candidate."""
    positives = list(row["positive_scores"])
    lowest = None if None in positives or not positives else min(positives)
    texts: set[str] = set()
    places = sorted(
        range(len(row["candidate_ids"])), key=lambda place: -row["candidate_scores"][place]
    )
    found: list[str] = []
    corpus = case.miner.corpus
    assert corpus is not None
    for place in places:
        score, rank = row["candidate_scores"][place], row["candidate_ranks"][place]
        if row["candidate_outcomes"][place] in ("known-positive", "positive-text", "query-text"):
            continue
        if sliders.margin is not None:
            away = sliders.margin * (abs(lowest or 0.0) if sliders.relative else 1.0)
            if lowest is None or not score < lowest - away:
                continue
        if rank < sliders.first_rank or rank > (sliders.last_rank or rank):
            continue
        name = row["candidate_ids"][place]
        [text] = corpus.texts(corpus.rows_of_ids([name]))
        if " ".join(text.casefold().split()) in texts:
            continue
        texts.add(" ".join(text.casefold().split()))
        found.append(name)
    return found[: sliders.num_negatives]


@MINING
@given(
    collections,
    st.sampled_from(["bm25@20", "bm25@20+margin", "bm25@20+rank(range_min=2)"]),
    st.one_of(st.none(), st.floats(0, 1, width=16)),
    st.booleans(),
    st.integers(1, 5),
    st.one_of(st.none(), st.integers(5, 15)),
    st.integers(1, 6),
)
def test_by_hand(
    collection: Collection,
    strategy: str,
    margin: float | None,
    relative: bool,
    first: int,
    last: int | None,
    n: int,
) -> None:
    sliders = Sliders(margin, relative, first, last, num_negatives=n)
    case = mine(strategy, collection.dataset("list"), collection.documents, num_negatives=3)
    pool = case.inspected.pool
    assert pool is not None
    found = decide(case.inspected, 1000, sliders)
    assert len(found.rows) == len(case.rows)
    for row in found.rows:
        own = pool.at(row.pool_row)
        assert list(row.chosen) == by_hand(case, own, sliders)
        before = {
            name
            for name, said in zip(own["candidate_ids"], own["candidate_outcomes"], strict=True)
            if said == "chosen"
        }
        assert set(row.kept) == before & set(row.chosen)
        assert set(row.added) == set(row.chosen) - before
        assert set(row.removed) == before - set(row.chosen)


@pytest.fixture(scope="module")
def denoised(tmp_path_factory: pytest.TempPathFactory) -> Mined:
    model = save_cross_encoder(tmp_path_factory.mktemp("model"))
    return mine(
        f"bm25@40+rank(range_min=2)+denoised(model={str(model)!r}, threshold=0.5, keep_top_k=9)",
        docstring_rows(60), docstring_corpus(),
    )  # fmt: skip


def test_the_threshold_of_a_model_is_a_slider(denoised: Mined) -> None:
    inspected, every = denoised.inspected, range(len(denoised.rows))
    own = own_sliders(inspected)
    assert (own.model_threshold, own.first_rank) == (0.5, 2)
    assert chosen(decide(inspected, every, own)) == denoised.negatives
    ranges = slider_ranges(inspected)
    assert ranges.model_scores is not None
    assert ranges.highest_threshold == 0.9
    changed = 0
    for threshold in np.linspace(*ranges.model_scores, 5)[1:-1].tolist():
        sliders = replace(own, model_threshold=min(threshold, 0.9))
        found = decide(inspected, every, sliders)
        for row, names in zip(
            found.rows, again(denoised, found.strategy, own.num_negatives), strict=True
        ):
            if not row.not_asked:
                assert list(row.chosen) == names
                changed += bool(row.added or row.removed)
        assert found.not_asked == sum(len(row.not_asked) for row in found.rows)
        if found.not_asked:
            assert any("never shown to denoised" in note for note in found.notes)
    assert changed
    with pytest.raises(ParameterError, match="promote_above"):
        decide(inspected, every, replace(own, model_threshold=0.95))


def test_what_fills_short_rows_stays(tmp_path: Path) -> None:
    model = save_cross_encoder(tmp_path / "model")
    case = mine(
        f"bm25@40+denoised(model={str(model)!r}, threshold=0.4, keep_top_k=6, fill_beyond=20)",
        docstring_rows(60), docstring_corpus(),
    )  # fmt: skip
    assert case.inspected.report is not None
    assert case.inspected.report.slots_filled
    found = decide(case.inspected, range(60), own_sliders(case.inspected))
    assert chosen(found) == case.negatives


def test_a_pool_without_the_scores_keeps_what_the_model_said(denoised: Mined) -> None:
    pool = denoised.inspected.pool
    assert pool is not None
    old = replace(
        denoised.inspected, pool=PoolRows(pool.rows.remove_columns("candidate_model_scores"))
    )
    own = own_sliders(old)
    assert own.model_threshold is None
    found = decide(old, range(len(denoised.rows)), own)
    assert chosen(found) == denoised.negatives
    assert any("denoised took out stays out" in note for note in found.notes)
    with pytest.raises(ParameterError, match="no scores of a cross-encoder"):
        decide(old, 5, replace(own, model_threshold=0.5))


def test_a_set_that_does_not_say_how_it_was_mined(plain: Mined) -> None:
    unknown = replace(plain.inspected, report=None, recipe={})
    own = own_sliders(unknown)
    assert own == Sliders(num_negatives=5)
    found = decide(unknown, range(len(plain.rows)), own)
    assert chosen(found) == plain.negatives
    assert found.strategy == ""
    assert any("not known" in note for note in found.notes)
    with pytest.raises(StrategyError, match="does not say how it was mined"):
        strategy_string(unknown, own)
    rated = decide(unknown, 50, own)
    assert [rate.rate for rate in rated.rates] == [None]
    unreadable = replace(unknown, recipe={"strategy": "bm25+nothing-such", "num_negatives": 5})
    assert "nothing-such" in " ".join(decide(unreadable, 5, own).notes)


def test_a_sample_is_the_same_for_a_seed_in_any_order(plain: Mined) -> None:
    pool = plain.inspected.pool
    assert pool is not None
    own = own_sliders(plain.inspected)
    mixed = pool.rows.shuffle(seed=3)
    other = replace(plain.inspected, pool=PoolRows(mixed))
    first, second = (
        {row.query_id: row.chosen for row in decide(one, 40, own, seed=4).rows}
        for one in (plain.inspected, other)
    )
    assert len(first) == 40
    assert first == second
    assert first.keys() != {row.query_id for row in decide(other, 40, own, seed=5).rows}


def test_figures_have_intervals(plain: Mined) -> None:
    own = own_sliders(plain.inspected)
    sliders = replace(own, margin=0.5, relative=True)
    found = decide(plain.inspected, 60, sliders)
    counts = [len(row.chosen) for row in found.rows]
    now = found.now
    assert (now.rows, now.negatives, now.empty) == (60, sum(counts), counts.count(0))
    assert now.a_row.value == sum(counts) / 60
    assert now.short.value == sum(count < 5 for count in counts) / 60
    for one in (now.a_row, now.short, now.mean_rank):
        assert one.value is not None
        assert one.low is not None
        assert one.high is not None
        assert one.low < one.value < one.high
    assert now.mean_rank.n == sum(counts)
    whole = decide(plain.inspected, 10_000, sliders).now
    assert whole.a_row.low == whole.a_row.value == whole.a_row.high
    json.dumps(found.to_dict(), allow_nan=False)
    nothing = decide(plain.inspected, 20, replace(own, lowest_score=1e6)).now
    assert (nothing.negatives, nothing.mean_rank.value, nothing.empty) == (0, None, 20)


def test_ranges_are_those_of_the_pool(plain: Mined) -> None:
    pool = plain.inspected.pool
    assert pool is not None
    found = slider_ranges(plain.inspected)
    scores = [score for row in pool.rows["candidate_scores"] for score in row]
    assert found.scores == (min(scores), max(scores))
    assert found.last_rank == max(rank for row in pool.rows["candidate_ranks"] for rank in row)
    assert found.most_negatives == max(map(len, pool.rows["candidate_ids"]))
    assert found.rows == len(pool.rows)
    assert found.own == Sliders(0.05, True, 2, num_negatives=5)
    assert found.model_scores is found.highest_threshold is None
    assert found.margins is not None
    widest = Sliders(margin=found.margins[1] + 0.01)
    assert decide(plain.inspected, 1000, widest).now.negatives == 0
    json.dumps(found.to_dict(), allow_nan=False)


def test_candidates_without_scores_have_no_ranges_of_scores() -> None:
    case = mine("random@20", docstring_rows(20), docstring_corpus())
    found = slider_ranges(case.inspected)
    assert found.scores is found.margins is None
    assert chosen(decide(case.inspected, range(20), found.own)) == case.negatives


@pytest.mark.parametrize(
    ("values", "message"),
    [({"num_negatives": 0}, "num_negatives"), ({"first_rank": 5, "last_rank": 4}, "range_max"),
     ({"margin": -1.0}, "margin"), ({"margin": 2.0, "relative": True}, "relative"),
     ({"lowest_score": 2.0, "highest_score": 1.0}, "min_score"), ({"first_rank": 0}, "range_min")],
)  # fmt: skip
def test_sliders_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Sliders(**values)


def test_what_is_not_there_is_refused(plain: Mined) -> None:
    own = own_sliders(plain.inspected)
    with pytest.raises(PoolError, match="no pool"):
        decide(replace(plain.inspected, pool=None), 5, own)
    with pytest.raises(FormatError, match="no row 1,000"):
        decide(plain.inspected, [1000], own)
    pool = plain.inspected.pool
    assert pool is not None
    half = replace(plain.inspected, pool=PoolRows(pool.rows.select(range(10))))
    with pytest.raises(PoolError, match="row 149"):
        decide(half, [149], own)
    with pytest.raises(ParameterError, match="rows"):
        decide(plain.inspected, 0, own)
