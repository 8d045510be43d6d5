from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import assert_drawn, draws, line, order_of, softmax
from hypothesis import given, settings
from mining import word_documents, word_rows
from scipy.stats import chisquare
from stage_data import Batch, batches

from hf_hardneg import ImportanceSampler, OfflineMiner, RandomSampler, TopSampler
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.testing import check_sampler


@pytest.mark.parametrize("temperature", [0.1, 2.0, 1e-300, 1e300])
@settings(max_examples=10)
@given(batch=batches)
def test_keeps_the_contract(temperature: float, batch: Batch) -> None:
    if temperature > 1e-9:
        check_sampler(ImportanceSampler(temperature=temperature), *batch)
        return
    keys = ImportanceSampler(temperature=temperature).keys(*batch, 0)
    assert np.isfinite(keys[batch[1].filled]).all()


@pytest.mark.parametrize("temperature", [None, 0.05, 0.3, 4.0])
def test_the_draws_follow_the_formula(temperature: float | None) -> None:
    scores = np.array([0.9, 0.85, 0.6, 0.55, 0.1], dtype=np.float32).astype(float)
    options = {} if temperature is None else {"temperature": temperature}
    shares = softmax(scores / (0.1 if temperature is None else temperature))
    assert_drawn(ImportanceSampler(**options), line(scores), shares)


def test_the_second_is_drawn_from_what_is_left() -> None:
    shares = softmax(np.array([1.0, 0.5, 0.0]))
    order = draws(ImportanceSampler(temperature=1), line([1.0, 0.5, 0.0]))
    after = order[order[:, 0] == 0, 1]
    counts = np.bincount(after, minlength=3)[1:]
    assert chisquare(counts, len(after) * shares[1:] / shares[1:].sum()).pvalue > 1e-4


@given(batches)
def test_cold_is_top(batch: Batch) -> None:
    scores = batch[1].scores
    for temperature in (1e-6, 1e-300):
        order = order_of(ImportanceSampler(temperature=temperature), batch)
        top = order_of(TopSampler(), batch)
        taken = top >= 0
        assert np.array_equal(order >= 0, taken)
        if temperature == 1e-6:  # ties are drawn here, and there go by rank
            own, best = (
                np.take_along_axis(scores, np.maximum(slots, 0), axis=1) for slots in (order, top)
            )
            assert np.array_equal(own[taken], best[taken])


@given(batches)
def test_hot_is_random(batch: Batch) -> None:
    hot = ImportanceSampler(temperature=1e300).keys(*batch, 2)
    assert np.array_equal(hot, RandomSampler().keys(*batch, 2))


@pytest.mark.parametrize("temperature", [0, -1, float("inf"), float("nan"), "0.1", True])
def test_a_temperature_that_is_refused(temperature: Any) -> None:
    said = f"temperature={temperature!r}; expected a finite number above 0 .0.1 is usual for cosine"
    with pytest.raises(ParameterError, match=said):
        ImportanceSampler(temperature=temperature)


def test_in_a_strategy() -> None:
    documents = word_documents(60)
    rows = word_rows(documents, 20)

    def mined(strategy: str, **options: Any) -> list[list[str]]:
        miner = OfflineMiner(strategy, corpus=documents, num_negatives=3, **options)
        return list(miner.mine(rows)["hard_negative_ids"])

    drawn = mined("bm25@30+importance(temperature=2)")
    assert drawn == mined("bm25@30+importance", temperature=2)
    assert drawn != mined("bm25@30+importance(temperature=2)", seed=1)
    assert mined("bm25@30+importance(temperature=1e300)") == mined("bm25@30+random")
    with pytest.raises(StrategyError, match="'importance' needs scores"):
        OfflineMiner("random@9+importance", corpus=documents)
