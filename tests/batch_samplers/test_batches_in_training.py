"""Trainers take the samplers: as a class, with options, for one data set and for several."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_rows import every_row
from datasets import Dataset, DatasetDict
from tiny_models import save_bi_encoder

from hf_hardneg import ConflictFreeBatchSampler, TopicAwareBatchSampler

ROWS = 21
SEEN: list[tuple[int, list[list[int]]]] = []
"""Of each iteration over a recording sampler: the epoch and the batches."""


class RecordingConflictFree(ConflictFreeBatchSampler):
    def __iter__(self) -> Iterator[list[int]]:
        SEEN.append((self.epoch, []))
        for batch in super().__iter__():
            SEEN[-1][1].append(batch)
            yield batch


class RecordingTopicAware(TopicAwareBatchSampler):
    def __iter__(self) -> Iterator[list[int]]:
        SEEN.append((self.epoch, []))
        for batch in super().__iter__():
            SEEN[-1][1].append(batch)
            yield batch


def training_rows(number: int = ROWS) -> Dataset:
    words = ["red", "blue", "green", "fast", "slow", "car", "boat"]
    return Dataset.from_dict(
        {
            "anchor": [f"query {words[row % 7]} {words[row // 7 % 7]}" for row in range(number)],
            "positive": [f"{words[row % 7]} {words[row % 3]} one" for row in range(number)],
            "negative_1": [f"{words[(row + 3) % 7]} river" for row in range(number)],
        }
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bi_encoder(tmp_path_factory.mktemp("model"))


def trainer_of(path: Path, folder: Path, rows: Any, sampler: Any, **more: Any) -> Any:
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    model = SentenceTransformer(str(path), device="cpu")
    return SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(folder), per_device_train_batch_size=4, per_device_eval_batch_size=4,
            batch_sampler=sampler, report_to="none", use_cpu=True, learning_rate=1e-2,
            dataloader_pin_memory=False, disable_tqdm=True, seed=1, **more,
        ),
        train_dataset=rows,
        eval_dataset=rows if more.get("eval_strategy") else None,
        loss=MultipleNegativesRankingLoss(model),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["conflict-free", "topic-aware"])
def test_two_epochs_of_training(kind: str, path: Path, tmp_path: Path) -> None:
    import torch

    SEEN.clear()
    sampler = (
        RecordingConflictFree
        if kind == "conflict-free"
        else partial(RecordingTopicAware, model=str(path), clusters=3, device="cpu")
    )
    trainer = trainer_of(
        path, tmp_path, training_rows(), sampler, num_train_epochs=2, save_strategy="epoch"
    )
    before = torch.cat([value.detach().flatten().clone() for value in trainer.model.parameters()])
    result = trainer.train()
    after = torch.cat([value.detach().flatten() for value in trainer.model.parameters()])
    assert torch.isfinite(torch.tensor(result.training_loss))
    assert result.training_loss > 0
    assert not torch.equal(before, after)
    assert [epoch for epoch, _ in SEEN] == [0, 1]
    (_, first), (_, second) = SEEN
    assert first != second
    assert every_row(first) == every_row(second) == list(range(ROWS))
    assert result.global_step == len(first) + len(second)
    # A checkpoint keeps the arguments with the sampler in them.
    kept = torch.load(sorted(tmp_path.glob("checkpoint-*/training_args.bin"))[0],
                      weights_only=False)  # fmt: skip
    assert callable(kept.batch_sampler)


def test_evaluation_has_a_sampler_of_its_own(path: Path, tmp_path: Path) -> None:
    sampler = partial(TopicAwareBatchSampler, model=str(path), device="cpu", conflict_free=True)
    trainer = trainer_of(
        path, tmp_path, training_rows(), sampler, max_steps=1, save_strategy="no",
        eval_strategy="steps", eval_steps=1,
    )  # fmt: skip
    trainer.train()
    assert any("eval_loss" in entry for entry in trainer.state.log_history)


@pytest.mark.parametrize("order", ["proportional", "round_robin"])
def test_several_data_sets(order: str, path: Path, tmp_path: Path) -> None:
    rows = DatasetDict({"a": training_rows(), "b": training_rows(10)})
    trainer = trainer_of(
        path, tmp_path, rows, ConflictFreeBatchSampler, num_train_epochs=1, save_strategy="no",
        multi_dataset_batch_sampler=order,
    )  # fmt: skip
    result = trainer.train()
    assert result.global_step == len(trainer.get_train_dataloader())
    assert np.isfinite(result.training_loss)


def test_a_resumed_run_goes_on_in_the_middle_of_its_epoch(path: Path, tmp_path: Path) -> None:
    def run(folder: Path, **more: Any) -> list[tuple[int, list[list[int]]]]:
        SEEN.clear()
        trainer = trainer_of(
            path, folder, training_rows(), RecordingConflictFree, num_train_epochs=2,
            save_strategy="steps", save_steps=8,
        )  # fmt: skip
        trainer.train(**more)
        return [(epoch, list(batches)) for epoch, batches in SEEN]

    whole = run(tmp_path / "whole")
    rest = run(tmp_path / "whole", resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-8"))
    assert len(whole[0][1]) < 8 < len(whole[0][1]) + len(whole[1][1])
    assert rest == [whole[1]]  # the skipped batches are drawn, and not trained on
