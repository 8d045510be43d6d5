"""The band below the positive, and how three filters part the candidates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import word_documents, word_rows
from stage_data import Batch, batches, make_batch

from hf_hardneg import MarginFilter, OfflineMiner, SemiHardFilter
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.strategy import check, parse
from hf_hardneg.testing import check_filter

NAN = float("nan")
LARGEST = float(np.float32(3e38))
floats = st.floats(-LARGEST, LARGEST, width=32)
kinds = st.one_of(
    st.just({}),
    st.builds(lambda margin: {"margin": margin}, st.floats(0, 1e39)),
    st.builds(lambda relative: {"relative": relative}, st.floats(0, 1)),
)


def kept(rule: SemiHardFilter, scores: list[float], positives: list[float]) -> list[float]:
    queries, candidates = make_batch([list(range(len(scores)))], [scores], [positives])
    result = rule(queries, candidates)
    return result.scores[result.filled].tolist()


@settings(max_examples=25)
@given(batches, st.sampled_from([{}, {"margin": 0.5}, {"margin": 2.0}, {"relative": 0.5}]))
def test_brute_force(batch: Batch, how: dict[str, float]) -> None:
    queries, candidates = batch
    rule = SemiHardFilter(**how)
    check_filter(rule, queries, candidates)
    found = rule(queries, candidates).rows
    for line, rows in enumerate(candidates.rows.tolist()):
        own = candidates.positive_scores[queries.offsets[line] : queries.offsets[line + 1]]
        if len(own) == 0 or np.isnan(own).any():
            assert (found[line] == -1).all()
            continue
        lowest = float(own.min())
        width = how["relative"] * abs(lowest) if "relative" in how else how.get("margin", 0.1)
        scores = candidates.scores[line].tolist()
        wanted = [
            row if lowest - width <= score < lowest else -1
            for row, score in zip(rows, scores, strict=True)
        ]
        assert found[line].tolist() == wanted


@settings(max_examples=60)
@given(
    st.lists(floats, min_size=1, max_size=8),
    st.lists(floats, min_size=1, max_size=4),
    kinds,
    st.sampled_from(["min", "max", "mean"]),
    st.data(),
)
def test_the_three_part_the_candidates(
    scores: list[float],
    positives: list[float],
    how: dict[str, float],
    against: str,
    data: st.DataObject,
) -> None:
    """Below the margin, inside it, harder than the positive: exactly one, at boundaries too."""
    margin = how if how else {"margin": 0.1}
    own = np.array(positives, dtype=np.float32).astype(np.float64)
    positive = {"min": own.min, "max": own.max, "mean": own.mean}[against]()
    width = margin["margin"] if "margin" in margin else margin["relative"] * abs(positive)
    # The boundaries themselves, and the nearest floats on both sides.
    for edge in (positive, positive - width):
        if abs(edge) < LARGEST:
            near = np.float32(edge)
            scores += [float(near), float(np.nextafter(near, np.float32(-np.inf)))]
            scores += [float(np.nextafter(near, np.float32(np.inf)))]
    scores = data.draw(st.permutations([score for score in scores if abs(score) <= LARGEST]))
    queries, candidates = make_batch([list(range(len(scores)))], [scores], [positives])
    below = MarginFilter(**margin, against=against).mask(queries, candidates)
    inside = SemiHardFilter(**how, against=against).mask(queries, candidates)
    stands_for = candidates.positive_score(queries, against)
    harder = candidates.scores.astype(np.float64) >= stands_for[:, None]
    together = below.astype(int) + inside.astype(int) + harder.astype(int)
    assert (together == 1).all()


def test_the_band_at_its_edges() -> None:
    rule = SemiHardFilter(margin=0.5)
    assert kept(rule, [1.25, 1.0, 0.75, 0.5, 0.25], [1.0]) == [0.75, 0.5]
    assert kept(rule, [-1.0, -1.25, -1.5, -1.75], [-1.0]) == [-1.25, -1.5]
    assert kept(SemiHardFilter(relative=0.5), [-2.0, -2.5, -3.0, -3.5], [-2.0]) == [-2.5, -3.0]
    assert kept(SemiHardFilter(margin=0), [1.0, 0.5], [1.0]) == []
    assert kept(SemiHardFilter(relative=0), [1.0, 0.5], [1.0]) == []
    assert kept(SemiHardFilter(margin=9), [1.0, 0.5], [NAN]) == []
    assert kept(SemiHardFilter(margin=9), [1.0, 0.5], [2.0, NAN]) == []


def test_the_default_is_facenet_s_margin_of_squared_distances() -> None:
    """On unit vectors, alpha = 0.2 on squared distances is 0.1 on cosines."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    anchor, positive, *others = vectors
    distance = np.sum((anchor - np.array(others)) ** 2, axis=1)
    own = float(np.sum((anchor - positive) ** 2))
    scores = (np.array(others) @ anchor).astype(np.float32)
    wanted = (own < distance) & (distance < own + 0.2)
    clear = (abs(distance - own) > 1e-5) & (abs(distance - own - 0.2) > 1e-5)
    queries, candidates = make_batch(
        [list(np.arange(len(others)) % 17)], [scores.tolist()], [[float(anchor @ positive)]]
    )
    [found] = SemiHardFilter().mask(queries, candidates)
    assert np.array_equal(found[clear], wanted[clear])
    assert wanted.sum() > 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"margin": 1, "relative": 0.1}, "margin and relative are both given"),
        ({"margin": -1}, "margin=-1"),
        ({"margin": NAN}, "margin=nan"),
        ({"relative": 1.1}, "relative=1.1.*from 0 to 1"),
        ({"against": "most"}, "against='most'; expected one of min, max, mean, own"),
    ],
)
def test_parameters_that_cannot_be(options: dict[str, float], said: str) -> None:
    with pytest.raises(ParameterError, match=f"semi-hard: .*{said}"):
        SemiHardFilter(**options)


def test_in_a_strategy_string() -> None:
    documents = word_documents(80)
    rows = word_rows(documents, 30)
    miner = OfflineMiner("bm25@60+semi-hard(margin=1.5)", corpus=documents, num_negatives=3)
    mined = miner.mine(rows)
    found = 0
    for row in mined:
        [positive] = row["hard_negative_positive_scores"]
        for score in row["hard_negative_scores"]:
            assert positive - 1.5 <= score < positive
            found += 1
    assert found > 20
    assert miner.strategy == "bm25@60+semi-hard(margin=1.5)"
    assert [call.name for call in parse(miner.strategy).stages] == ["semi-hard"]
    below = OfflineMiner("bm25@60+margin(margin=1.5)", corpus=documents, num_negatives=60)
    band = OfflineMiner("bm25@60+semi-hard(margin=1.5)", corpus=documents, num_negatives=60)
    for one, two in zip(below.mine(rows), band.mine(rows), strict=True):
        assert not set(one["hard_negative_ids"]) & set(two["hard_negative_ids"])
    with pytest.raises(StrategyError, match="'semi-hard' needs scores"):
        check("random@9+semi-hard", {})
