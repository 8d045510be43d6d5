"""What the tests of samplers share: draws against closed forms, and mining in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from drawing import DRAWS, SURE, draws, line
from mining import assert_same_rows, word_documents, word_rows
from scipy.stats import chisquare
from tiny_models import WORDS

from hf_hardneg import OfflineMiner, Report
from hf_hardneg.samplers import Sampler

DOCUMENTS = word_documents(150, words=WORDS[:12])
"""Few words, so that BM25 finds more than 60 of them for every query."""
ROWS = word_rows(DOCUMENTS, 30)


def draws_over(sampler: Sampler, k: int, scores: Sequence[float] | None = None) -> np.ndarray:
    """Order of the slots of many queries over the same k candidates, at most 17."""
    return draws(sampler, line(scores or [1.0] * k))


def assert_drawn_by(order: np.ndarray, weights: Sequence[float]) -> None:
    """The first is i, the second j, with probability w_i/W * w_j/(W - w_i): the closed form."""
    share = np.array(weights, dtype=np.float64) / np.sum(weights)
    k = len(share)
    wanted = np.outer(share / (1 - share), share)
    np.fill_diagonal(wanted, 0)
    assert np.isclose(wanted.sum(), 1)
    counts = np.bincount(order[:, 0] * k + order[:, 1], minlength=k * k).reshape(k, k)
    possible = wanted > 0
    assert counts[~possible].sum() == 0
    # Pairs that are next to impossible are too few for the test: they are counted together.
    rare = possible & (wanted * DRAWS < 10)
    seen = [*counts[possible & ~rare], counts[rare].sum()]
    expected = [*wanted[possible & ~rare] * DRAWS, wanted[rare].sum() * DRAWS]
    if expected[-1] < 5:
        few_expected, few_seen = expected.pop(), seen.pop()
        expected[-1] += few_expected
        seen[-1] += few_seen
    assert chisquare(seen, expected).pvalue > SURE
    first = np.bincount(order[:, 0], minlength=k)
    assert chisquare(first[share > 0], DRAWS * share[share > 0]).pvalue > SURE


def miner(strategy: str, **options: Any) -> OfflineMiner:
    return OfflineMiner(strategy, **{"corpus": DOCUMENTS, "num_negatives": 6, **options})


def mined_alike(strategy: str, **options: Any) -> tuple[Dataset, Report]:
    """Mine; two processes, another order of rows and other batches must give the same bytes."""
    one = miner(strategy, **options)
    mined = one.mine(ROWS)
    assert_same_rows(mined, one.mine(ROWS, num_proc=2, resume=False))
    order = np.random.default_rng(0).permutation(len(ROWS)).tolist()
    assert_same_rows(one.mine(ROWS.select(order)), mined.select(order))
    report = one.report(mined)
    print(report)
    assert not report.underfilled
    # The canonical string says it all.
    assert_same_rows(miner(report.strategy, **options).mine(ROWS, resume=False), mined)
    other = miner(strategy, **{**options, "seed": 1}).mine(ROWS)
    moved = other["hard_negative_ids"] != mined["hard_negative_ids"]
    assert moved == one._need_strategy().sampler.noisy, "the seed changes what is drawn"
    return mined, report
