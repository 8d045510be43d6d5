"""No stage that has a model, pretrained or fitted, is called free of models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from card_cases import Case
from datasets import Dataset
from test_every_stage import DOCUMENTS, RISK
from tiny_models import save_bi_encoder, save_cross_encoder

from hf_hardneg import OfflineMiner, registry
from hf_hardneg.hub.card import card_text
from hf_hardneg.hub.facts import CardFacts
from hf_hardneg.registry import registered
from hf_hardneg.retrievers import Retriever
from hf_hardneg.samplers import RandomSampler
from hf_hardneg.stage import Stage

NONE = "No model took part in it."
TOOK_PART = "Models took part in the choice"
ROWS = Dataset.from_dict({
    "query": [DOCUMENTS[4 * row] for row in range(28)],
    "positive": [[DOCUMENTS[4 * row + 1], DOCUMENTS[4 * row + 2]] for row in range(28)],
})  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "dense": save_bi_encoder(folder / "dense"),
        "one": save_cross_encoder(folder / "one"),
        "two": save_cross_encoder(folder / "two", seed=1),
    }


def card(facts: CardFacts, miner: OfflineMiner) -> str:
    told = replace(facts.report, strategy=miner.strategy)
    return card_text(replace(facts, report=told, recipe=miner.recipe()))


def mined(facts: CardFacts, strategy: str, tmp_path: Path) -> str:
    """The card of what a strategy has mined, as fitted to the data."""
    miner = OfflineMiner(strategy, corpus=DOCUMENTS, num_negatives=2, cache_dir=tmp_path)
    report = miner.report(miner.mine(ROWS))
    told = replace(facts.report, strategy=report.strategy)
    return card_text(replace(facts, report=told, recipe=miner.recipe()))


@pytest.mark.parametrize("strategy", ["bm25", "random+top", "bm25+margin+near-duplicate+diverse"])
def test_without_a_model(case: Case, strategy: str, tmp_path: Path) -> None:
    text = mined(case.facts, strategy, tmp_path)
    assert NONE in text
    assert TOOK_PART not in text


@pytest.mark.parametrize(
    "strategy",
    [
        "bm25@20+denoised(model={one!r})",
        "bm25@20+risk(least=2, cross_encoder={one!r})",
        "dense(model={dense!r})+near-duplicate(by='embedding')",
        "dense(model={dense!r})+diverse(by='embedding')",
        "dense(model={dense!r})+consistency",
        "bm25,dense(model={dense!r})+triangular",
    ],
)
def test_pretrained_models(
    case: Case, strategy: str, models: dict[str, Path], tmp_path: Path
) -> None:
    paths = {name: str(path) for name, path in models.items()}
    miner = OfflineMiner(strategy.format(**paths), corpus=DOCUMENTS, num_negatives=2)
    text = card(case.facts, miner)
    assert NONE not in text
    assert "weights=" in text
    assert TOOK_PART in text


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("bm25@30+risk(least=2)", "`risk` decides by a logistic regression on scores and "
         "similarities, fitted to hidden positives"),
        (f"bm25@30+risk(least=2, model={RISK!r})", "fitted to judgements"),
        ("bm25@30+noisy-pairs(negatives=20)", "`noisy-pairs` decides by a mixture of two"),
        ("bm25@30+rance", "`rance` decides by weights of ranks, fitted"),
    ],
)  # fmt: skip
def test_models_fitted_to_data(case: Case, strategy: str, said: str, tmp_path: Path) -> None:
    text = mined(case.facts, strategy, tmp_path)
    assert NONE not in text
    assert "names no pretrained model" in text
    assert said in text
    assert TOOK_PART in text


def test_candidates_of_an_earlier_retrieval(case: Case) -> None:
    told = replace(case.facts.report, strategy="run(run='x.trec')+top")
    text = card_text(replace(case.facts, report=told))
    assert NONE not in text
    assert "`run` are those of an earlier retrieval; whether a model took part" in text


def test_a_stage_that_is_not_known(case: Case) -> None:
    told = replace(case.facts.report, strategy="bm25+some-stage")
    text = card_text(replace(case.facts, report=told))
    assert NONE not in text
    assert "Whether models took part is not known" in text


class Foreign(RandomSampler):
    """A sampler of somebody else."""

    name: ClassVar[str] = "foreign"


def test_a_stage_of_another_package(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    known = registered()
    more = replace(known, selecting={**known.selecting, "foreign": Foreign})
    monkeypatch.setattr(registry, "registered", lambda: more)
    monkeypatch.setattr("hf_hardneg.strategy.registered", lambda: more)
    told = replace(case.facts.report, strategy="bm25+foreign")
    text = card_text(replace(case.facts, report=told))
    assert NONE not in text
    assert "`foreign` comes from another package and names no model" in text


def overrides(stage: type[Stage]) -> bool:
    return stage.models not in (Stage.models, Retriever.models)


def test_every_stage_that_takes_a_model_names_it() -> None:
    known = registered()
    every: dict[str, Any] = {**known.retrievers, **known.joiners, **known.selecting}
    takes = {name for name, stage in every.items()
             if {"model", "cross_encoder"} & set(stage.defaults())}  # fmt: skip
    assert {"dense", "denoised", "risk", "multi-vector", "sparse", "faiss"} <= takes
    assert not [name for name in takes if not overrides(every[name])]


def test_two_models_of_one_stage_both_stand_there(models: dict[str, Path]) -> None:
    one, two = str(models["one"]), str(models["two"])
    strategy = f"bm25@20+denoised(model={one!r})+denoised(model={two!r})"
    found = OfflineMiner(strategy, corpus=DOCUMENTS, num_negatives=2).recipe()["models"]
    assert {name: own["model"] for name, own in found.items()} == {
        "denoised": one, "denoised-2": two,
    }  # fmt: skip


def test_a_fitted_model_does_not_fill_the_card(case: Case) -> None:
    told = replace(case.facts.report, strategy=f"bm25@30+risk(least=2, model={RISK!r})")
    text = card_text(replace(case.facts, report=told))
    assert "penalty_from" not in text
    assert "`hardneg/report.json` has them whole" in text
