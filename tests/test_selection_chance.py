"""Asking a veto lazily does not change how likely any draw is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2
from selection_reference import HashVeto
from stage_data import make_batch, query_keys, without_positives
from tiny_models import WORDS, save_cross_encoder

from hf_hardneg import Corpus, CrossEncoderDenoiser, RandomRetriever, RandomSampler, TopSampler
from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.filters import Verdict
from hf_hardneg.selection import Rules, select
from hf_hardneg.testing import make_queries

DRAWS = 100_000
K = 6
SURE = 1e-4  # of fair draws, one in ten thousand looks less fair; seeds are fixed
CORPUS: Any = None


def many_queries() -> tuple[Queries, Candidates]:
    """The same six documents for each of many queries: as many independent draws."""
    queries, candidates = make_batch([list(range(K))], [[1.0] * K], [[0.0]])
    repeated = {
        name: np.repeat(getattr(candidates, name), DRAWS, axis=0)
        for name in ("rows", "scores", "ranks", "sources", "document_keys")
    }
    keys = query_keys(DRAWS)
    offsets = np.zeros(DRAWS + 1, dtype=np.int64)
    queries = replace(without_positives(queries), keys=keys, offsets=offsets, known_offsets=offsets)
    return queries, replace(candidates, **repeated, positive_scores=np.empty(0, np.float32))


def chi_square(survivors: np.ndarray, draws: np.ndarray, outcomes: int) -> tuple[float, int]:
    """Of draws that should be uniform over as many outcomes as their set of survivors allows."""
    total, freedom = 0.0, 0
    for pattern in np.unique(survivors):
        counts = np.unique(draws[survivors == pattern], return_counts=True)[1]
        size = bin(int(pattern)).count("1")
        wanted = int(np.prod([size - place for place in range(outcomes)]))
        if wanted > 1:
            expected = counts.sum() / wanted
            total += float(((counts - expected) ** 2).sum() / expected)
            total += expected * (wanted - len(counts))
            freedom += wanted - 1
    return total, freedom


@pytest.mark.parametrize("keep", [0.3, 0.7])
@pytest.mark.parametrize("n", [1, 2])
def test_a_random_draw_with_a_random_veto(keep: float, n: int) -> None:
    """Every ordered choice of n survivors is as likely as if the others had been gone before."""
    queries, candidates = many_queries()
    veto = HashVeto(keep=keep, promote=0.1)
    found = select(queries, candidates, Rules((), (veto,), RandomSampler(), n, 11), CORPUS)
    kept = veto.verdicts(queries.keys[:, None], candidates.document_keys) == Verdict.KEEP
    survivors = kept @ (1 << np.arange(K))
    enough = kept.sum(axis=1) >= n
    assert ((found.slots >= 0).sum(axis=1) == np.minimum(kept.sum(axis=1), n)).all()
    assert kept[np.flatnonzero(enough)[:, None], found.slots[enough]].all()
    draws = found.slots[enough] @ (K ** np.arange(n))
    statistic, freedom = chi_square(survivors[enough], draws, n)
    assert freedom > 100
    assert chi2.sf(statistic, freedom) > SURE
    assert sum(len(call) for call in veto._calls) < 0.85 * DRAWS * K


def test_a_cross_encoder_asked_lazily(tmp_path: Path) -> None:
    """The same negatives for a part of the pairs."""
    model = save_cross_encoder(tmp_path / "model")
    rng = np.random.default_rng(0)
    documents = [" ".join(rng.choice(WORDS, 6)) for _ in range(60)]
    corpus = Corpus(documents)
    questions = [" ".join(rng.choice(WORDS, 4)) for _ in range(8)]
    queries = make_queries(corpus, questions, [["outside"]] * 8)
    candidates = RandomRetriever(corpus, top_k=40).retrieve(queries)
    veto = CrossEncoderDenoiser(model, threshold=0.8, promote_above=0.99)
    everything = CrossEncoderDenoiser(
        model, threshold=0.8, promote_above=0.99, keep_top_k=40, cache_dir=tmp_path / "other"
    )
    for sampler in (TopSampler(), RandomSampler()):
        found = select(queries, candidates, Rules((), (veto,), sampler, 5, 0), corpus).slots
        lines, slots = np.nonzero(candidates.filled)
        verdicts = everything.judge(queries, candidates, lines, slots, corpus).reshape(8, -1)
        keys = np.where(verdicts == Verdict.KEEP, sampler.keys(queries, candidates, 0), -np.inf)
        order = np.argsort(-keys, axis=1, kind="stable")[:, :5]
        alive = np.take_along_axis(keys, order, axis=1) > -np.inf
        assert np.array_equal(found, np.where(alive, order, -1))
        assert (found >= 0).all(axis=1).sum() >= 4
    assert everything.pairs_scored == 8 * 40
    assert veto.pairs_scored < everything.pairs_scored * 0.8
