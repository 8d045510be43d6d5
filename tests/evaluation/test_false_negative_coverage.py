"""The estimators on collections whose judgements go deep, over seeded repetitions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import shared
from datasets import Dataset

from hf_hardneg import OfflineMiner
from hf_hardneg.evaluation.false_negatives import (
    hidden_positive_rate,
    judge_rate,
    judged_rate,
    label_rate,
)
from hf_hardneg.evaluation.judgements import Judgements
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.query_sources import load_queries
from hf_hardneg.rates import Rate

REPEATS = 20
pytestmark = pytest.mark.slow


class World:
    """A collection with one positive of each query known."""

    def __init__(self, name: str, strategy: str) -> None:
        folder = shared("data", name)
        self.rows = load_queries(folder).rows
        self.all = [list(ids) for ids in self.rows["positive_ids"]]
        self.judgements = Judgements.read(folder / "qrels" / "test.tsv", complete=True)
        self.miner = OfflineMiner(strategy, corpus=folder, num_negatives=5)

    def with_positives(self, positives: Sequence[Any]) -> Dataset:
        return self.rows.remove_columns("positive_ids").add_column("positive_ids", list(positives))

    def repetitions(self) -> Iterator[tuple[int, list[list[str]], MinedSet, float]]:
        for seed in range(REPEATS):
            rng = np.random.default_rng(seed)
            order = [list(rng.permutation(ids)) for ids in self.all]
            mined = MinedSet.of(self.miner.mine(self.with_positives([ids[:1] for ids in order])))
            rate = judged_rate(mined, self.judgements).rate
            assert rate is not None
            yield seed, order, mined, rate

    def labels(self, mined: MinedSet, seed: int) -> Labels:
        rows = [
            Label(
                query_id=row["query_id"],
                query=row["query"],
                document_id=name,
                document=text,
                label="false_negative"
                if name in self.judgements.relevant(row["query_id"])
                else "true_negative",
            )
            for row in mined.rows
            for name, text in zip(row["hard_negative_ids"], row["hard_negatives"], strict=True)
        ]
        drawn = np.random.default_rng(seed).permutation(len(rows))[:100]
        return Labels([rows[place] for place in drawn])


def holds(rate: Rate, truth: float) -> bool:
    assert rate.low is not None
    assert rate.high is not None
    return rate.low <= truth <= rate.high


CASES = [(name, strategy) for name in ("vaswani", "cacm") for strategy in ("bm25", "dense")]


@pytest.fixture(params=CASES, ids="-".join)
def world(request: pytest.FixtureRequest) -> World:
    name, strategy = request.param
    model = str(shared("models", "potion-4m-static"))
    return World(name, f"dense(model={model!r})" if strategy == "dense" else strategy)


def test_hidden_positives_of_half_the_queries_cover_the_rate_of_all(world: World) -> None:
    held = 0
    for seed, order, _, truth in world.repetitions():
        half = np.random.default_rng(seed + 1_000).permutation(len(order)) % 2 == 0
        some = [ids if own else ids[:1] for ids, own in zip(order, half, strict=True)]
        rate = hidden_positive_rate(world.miner, world.with_positives(some), seed=seed)
        held += holds(rate, truth)
    assert held >= 0.9 * REPEATS


def test_few_known_positives_make_it_too_low(world: World) -> None:
    """What the documentation says: it only sees the known ones."""
    for seed, order, _, _ in world.repetitions():
        known = world.with_positives([ids[:3] for ids in order])
        truth = judged_rate(MinedSet.of(world.miner.mine(known)), world.judgements).rate
        rate = hidden_positive_rate(world.miner, known, seed=seed)
        assert truth is not None
        assert rate.high is not None
        assert rate.high < truth
        if seed == 2:
            break


def test_labels_cover_with_a_judge_and_without(world: World, cross_encoder_path: Path) -> None:
    assert world.miner.corpus is not None
    alone = together = 0
    for seed, _, mined, truth in world.repetitions():
        labels = world.labels(mined, seed)
        alone += holds(label_rate(labels), truth)
        rate = judge_rate(
            mined, cross_encoder_path, corpus=world.miner.corpus, seed=seed, labels=labels
        )
        together += holds(rate, truth)
    assert alone >= 0.9 * REPEATS
    assert together >= 0.9 * REPEATS


def test_random_documents_make_a_judge_too_sure(world: World, cross_encoder_path: Path) -> None:
    """Why there is only a limit: the corrected value is far above the truth."""
    assert world.miner.corpus is not None
    for seed, _, mined, truth in world.repetitions():
        rate = judge_rate(mined, cross_encoder_path, corpus=world.miner.corpus, seed=seed)
        assert rate.rate is None
        assert rate.details["corrected"]["low"] > truth
        assert rate.high is None or rate.high >= truth
        if seed == 2:
            break
