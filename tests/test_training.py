"""One step of training on what was mined from a real collection, with the trainers themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_hardneg import Corpus, OfflineMiner
from hf_hardneg.query_sources import load_queries

ROWS, BATCH = 24, 8


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the tests of this file share: one index is enough."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def collection(scifact: Path, home: Path) -> tuple[Dataset, OfflineMiner]:
    """Return some judged queries of SciFact, and a miner over all of its documents."""
    rows = load_queries(scifact, split="test").rows.select(range(ROWS))
    return rows, OfflineMiner("bm25", corpus=scifact, num_negatives=3, cache_dir=home)


@pytest.fixture
def static_model(cross_encoder_path: Path) -> Any:
    """Return a small real bi-encoder."""
    from sentence_transformers import SentenceTransformer

    path = cross_encoder_path.with_name("potion-4m-static")
    if not path.exists():
        pytest.skip(f"{path.name} is not beside this checkout")
    return SentenceTransformer(str(path), device="cpu")


@pytest.fixture
def cross_encoder(cross_encoder_path: Path) -> Any:
    """Return a small real cross-encoder."""
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(cross_encoder_path), num_labels=1, max_length=64, device="cpu")


def options(folder: Path) -> dict[str, Any]:
    """Return what both trainers are told: one step, nothing written, nothing reported."""
    return {
        "output_dir": str(folder),
        "max_steps": 1,
        "per_device_train_batch_size": BATCH,
        "learning_rate": 1e-2,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
        "seed": 1,
    }


def weights(model: Any) -> Any:
    """Return a copy of all parameters as one vector."""
    import torch

    return torch.cat([value.detach().flatten().clone() for value in model.parameters()])


def one_step(trainer: Any, model: Any) -> None:
    """Train one step; it must have a finite loss and move the weights."""
    import torch

    before = weights(model)
    result = trainer.train()
    assert result.global_step == 1
    assert torch.isfinite(torch.tensor(result.training_loss))
    assert result.training_loss > 0
    assert not torch.equal(before, weights(model))


def train_bi_encoder(model: Any, rows: Dataset, folder: Path) -> None:
    from sentence_transformers import (
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(**options(folder)),
        train_dataset=rows,
        loss=MultipleNegativesRankingLoss(model),
    )
    one_step(trainer, model)


def train_cross_encoder(model: Any, rows: Dataset, loss: Any, folder: Path) -> None:
    from sentence_transformers import CrossEncoderTrainer, CrossEncoderTrainingArguments

    trainer = CrossEncoderTrainer(
        model=model,
        args=CrossEncoderTrainingArguments(**options(folder)),
        train_dataset=rows,
        loss=loss,
    )
    one_step(trainer, model)


@pytest.mark.parametrize("form", ["n-tuple", "triplet"])
def test_tuples_train_a_bi_encoder(
    form: str, collection: tuple[Dataset, OfflineMiner], static_model: Any, tmp_path: Path
) -> None:
    rows, miner = collection
    mined = miner.mine(rows, form)
    assert len(mined) >= ROWS
    train_bi_encoder(static_model, mined, tmp_path)


def test_ids_train_a_bi_encoder(
    collection: tuple[Dataset, OfflineMiner], static_model: Any, tmp_path: Path
) -> None:
    from sentence_transformers.util import resolve_ids

    rows, miner = collection
    # A loss takes every column after the positive for a negative, so a row has one positive.
    rows = rows.filter(lambda row: len(row["positive_ids"]) == 1)
    mined, expected = miner.mine(rows, "ids"), miner.mine(rows, "n-tuple")
    corpus = miner.corpus
    assert isinstance(corpus, Corpus)
    every = range(len(corpus))
    documents = Dataset.from_dict({"id": corpus.ids(every), "document": corpus.texts(every)})
    queries = Dataset.from_dict({"id": rows["query_id"][:], "query": rows["query"][:]})
    lookups = {"query_id": queries, "positive_ids": documents, "negative_ids": documents}
    resolved = mined.map(resolve_ids(lookups), batched=True, remove_columns=list(lookups))
    assert [list(row.values()) for row in resolved] == [list(row.values()) for row in expected]
    train_bi_encoder(static_model, resolved, tmp_path)


def test_labeled_pairs_train_a_cross_encoder(
    collection: tuple[Dataset, OfflineMiner], cross_encoder: Any, tmp_path: Path
) -> None:
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    rows, miner = collection
    mined = miner.mine(rows, "labeled-pair")
    assert set(mined["label"]) == {0, 1}
    train_cross_encoder(cross_encoder, mined, BinaryCrossEntropyLoss(cross_encoder), tmp_path)


def test_labeled_lists_train_a_cross_encoder(
    collection: tuple[Dataset, OfflineMiner], cross_encoder: Any, tmp_path: Path
) -> None:
    from sentence_transformers.cross_encoder.losses import LambdaLoss

    rows, miner = collection
    mined = miner.mine(rows, "labeled-list")
    train_cross_encoder(cross_encoder, mined, LambdaLoss(cross_encoder), tmp_path)


def test_denoised_tuples_train_a_bi_encoder(
    collection: tuple[Dataset, OfflineMiner],
    scifact: Path,
    cross_encoder_path: Path,
    static_model: Any,
    home: Path,
    tmp_path: Path,
) -> None:
    rows, _ = collection
    miner = OfflineMiner(
        "bm25@20+denoised(max_length=64)",
        corpus=scifact,
        num_negatives=3,
        model=str(cross_encoder_path),
        cache_dir=home,
    )
    mined = miner.mine(rows, "n-tuple")
    report = miner.report(mined)
    assert report.stages[-1].asked is not None
    assert report.rows_out == len(mined) >= BATCH
    train_bi_encoder(static_model, mined, tmp_path)
