"""Training a bi-encoder on mined rows, and scoring it on held-out queries.

Everything but the negatives is the same for every strategy: start weights, number of steps, batch
size, learning rate and its schedule, and the seeds of row order and dropout.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.checks import one_of, whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ModelError, ParameterError
from hf_hardneg.evaluation.held_out import HeldOut
from hf_hardneg.evaluation.training_scores import score
from hf_hardneg.hashing import exact_keys

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hf_hardneg.evaluation.training_progress import Steps
from hf_hardneg.workers import steady_torch_threads

__all__ = [
    "LOSSES",
    "PRECISIONS",
    "Outcome",
    "Training",
    "load_model",
    "no_bars",
    "rows_fingerprint",
    "steps_of",
    "train",
    "train_and_score",
]

LOSSES = ("MultipleNegativesRankingLoss", "CachedMultipleNegativesRankingLoss")
"""Losses of sentence-transformers that read rows of a query, a positive and n negatives."""
PRECISIONS = ("float32", "bfloat16")
SHORT_ROWS = ("fill", "drop")
ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Training:
    """How models are trained and scored.

    Attributes:
        model: a path or a name on the Hub: the weights that every run starts from.
        steps: of every run; default: what ``epochs`` makes of all rows.
        epochs: passes over all rows.
        batch_size: rows in a step.
        learning_rate: the highest; from there it falls to 0 in a straight line.
        warmup: share of the steps in which it rises to that, from 0 and in a straight line.
        seeds: one run each; of the order of rows and of dropout.
        loss: one of :data:`LOSSES`, with the scale and similarity that it has by default.
        short_rows: rows with fewer negatives than asked: ``fill`` them with random documents, so
            that every strategy is trained on the same queries in the same batches, or ``drop``.
        max_length: tokens of a text that are used; default: the model's own limit.
        precision: of training: ``float32``, or ``bfloat16`` (mixed: the weights stay float32).
        score_precision: of scoring: ``float32`` or ``bfloat16``.
        device: as in PyTorch; default: the best there is. Of several GPUs it is the first that
            the process sees.
        allow_seen: score on held-out queries that are training queries too.
    """

    model: str
    steps: int | None = None
    epochs: float = 1.0
    batch_size: int = 64
    learning_rate: float = 5e-5
    warmup: float = 0.1
    seeds: Sequence[int] = (0, 1, 2)
    loss: str = LOSSES[0]
    short_rows: str = "fill"
    max_length: int | None = None
    precision: str = "float32"
    score_precision: str = "float32"
    device: str | None = None
    allow_seen: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without the model.

        Raises:
            ParameterError: a value out of range.
        """
        if self.steps is not None:
            whole_number("training", "steps", self.steps, 1)
        whole_number("training", "batch_size", self.batch_size, 2)
        for name in ("epochs", "learning_rate"):
            value = getattr(self, name)
            if not np.isfinite(value) or value <= 0:
                raise ParameterError(f"training: {name}={value!r}; expected a number above 0.")
        if not 0 <= self.warmup < 1:
            raise ParameterError(
                f"training: warmup={self.warmup!r}; expected a share of the steps, 0 to below 1."
            )
        if self.max_length is not None:
            whole_number("training", "max_length", self.max_length, 1)
        one_of("training", "loss", self.loss, LOSSES)
        one_of("training", "short_rows", self.short_rows, SHORT_ROWS)
        one_of("training", "precision", self.precision, PRECISIONS)
        one_of("training", "score_precision", self.score_precision, PRECISIONS)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ParameterError(
                f"training: seeds={list(self.seeds)!r}; expected one or more, each once."
            )
        for seed in self.seeds:
            whole_number("training", "seeds", seed, 0)

    def recipe(self) -> dict[str, Any]:
        """Return what decides a run beside its rows, its seed and the start weights."""
        values = asdict(self)
        for name in ("model", "seeds", "allow_seen", "short_rows", "steps", "epochs", "device"):
            del values[name]
        return values


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        values: of each measure, one value a held-out query, in their order.
        steps: that were trained.
        rows: of the training set.
        seconds: ``train`` and ``score``.
    """

    values: Mapping[str, NDArray[np.float64]]
    steps: int
    rows: int
    seconds: Mapping[str, float] = field(default_factory=dict)


def steps_of(training: Training, rows: int) -> int:
    """Return the number of steps of every run, given the rows of the whole training set."""
    if training.steps is not None:
        return training.steps
    return max(int(np.ceil(training.epochs * -(-rows // training.batch_size))), 1)


def rows_fingerprint(rows: Dataset) -> str:
    """Return a hash of all texts of a training set and their order, whatever made them."""
    hasher = xxhash.xxh3_128("\n".join(rows.column_names).encode())
    for batch in rows.with_format(None).iter(ROWS_AT_ONCE):
        for name in rows.column_names:
            hasher.update(exact_keys(batch[name]).tobytes())
    return str(hasher.hexdigest())


@contextmanager
def no_bars() -> Iterator[None]:
    """Keep transformers and datasets from showing a bar for every model that is loaded."""
    import datasets
    from transformers.utils import logging

    shown, mapped = logging.is_progress_bar_enabled(), datasets.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        if mapped:
            datasets.enable_progress_bars()


def load_model(training: Training) -> SentenceTransformer:
    """Return a copy of the start model of its own.

    Raises:
        ModelError: there is no such model, or its length cannot be set.
    """
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(training.model, device=training.device)
    except Exception as error:  # the loaders below have no common base for their failures
        raise ModelError(
            f"the model {training.model!r} cannot be loaded for training: {error}"
        ) from error
    if training.max_length is not None:
        try:
            model.max_seq_length = training.max_length
        except AttributeError as error:
            raise ModelError(
                f"the model {training.model!r} has no maximum length that could be set, as is "
                "usual for static embeddings. Leave max_length out."
            ) from error
    return model


def _loss(name: str) -> Callable[[SentenceTransformer], Any]:
    """Return a loss of sentence-transformers, which has moved them in version 6."""
    moved = find_spec("sentence_transformers.sentence_transformer") is not None
    place = "sentence_transformer.losses" if moved else "losses"
    made: Callable[[SentenceTransformer], Any] = getattr(
        import_module(f"sentence_transformers.{place}"), name
    )
    return made


def train(
    model: SentenceTransformer,
    rows: Dataset,
    training: Training,
    *,
    seed: int,
    steps: int,
    progress: Steps | None = None,
) -> None:
    """Train a model in place.

    Args:
        model: the start model; it is changed.
        rows: query, positive, and any number of negatives, a text a column.
        training: how.
        seed: of the order of rows and of dropout.
        steps: how many.
        progress: is told of every step.

    Raises:
        ParameterError: there are no rows.
    """
    from sentence_transformers import (
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from transformers import PrinterCallback, ProgressCallback

    if len(rows) == 0:
        raise ParameterError(
            "there are no rows to train on: the strategy left none with enough negatives."
        )
    # The trainer looks for examples for a model card, which nobody writes here, unless it has some.
    model.model_card_data.widget = [{"text": ""}]
    with tempfile.TemporaryDirectory(prefix="hf-hardneg-train-") as scratch:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=scratch,
            max_steps=steps,
            per_device_train_batch_size=training.batch_size,
            learning_rate=training.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=int(np.ceil(training.warmup * steps)),
            seed=seed,
            data_seed=seed,
            bf16=training.precision == "bfloat16",
            use_cpu=model.device.type == "cpu",
            dataloader_pin_memory=False,
            dataloader_num_workers=0,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        if arguments.n_gpu > 1:
            # The trainer would spread each step over all GPUs, with so many times the batch size.
            arguments._n_gpu = 1
        trainer = SentenceTransformerTrainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            loss=_loss(training.loss)(model),
            callbacks=None if progress is None else [progress.callback()],
        )
        for printing in (PrinterCallback, ProgressCallback):  # both write to standard output
            trainer.remove_callback(printing)
        trainer.train()


def train_and_score(
    rows: Dataset | None,
    held_out: HeldOut,
    corpus: Corpus,
    training: Training,
    *,
    seed: int = 0,
    steps: int = 0,
    progress: Steps | None = None,
) -> Outcome:
    """Train a fresh copy of the start model and score it on held-out queries.

    On one machine, with the same versions and number of threads, the same arguments give the same
    values.

    Args:
        rows: query, positive, and any number of negatives; ``None`` to score the start model.
        held_out: queries with judgements.
        corpus: the documents that are ranked.
        training: how.
        seed: of the order of rows and of dropout.
        steps: how many; 0 without rows.
        progress: is told of every step.

    Returns:
        MRR@10 and nDCG@10 of every query.

    Raises:
        ModelError: there is no such model.
        ParameterError: there are no rows.
    """
    started = time.perf_counter()
    steady_torch_threads()
    with no_bars():
        model = load_model(training)
        if rows is not None:
            train(model, rows, training, seed=seed, steps=steps, progress=progress)
        trained = time.perf_counter()
        values = score(model, held_out, corpus, training.score_precision)
    seconds = {
        "train": round(trained - started, 3) if rows is not None else 0.0,
        "score": round(time.perf_counter() - trained, 3),
    }
    return Outcome(values, steps, 0 if rows is None else len(rows), seconds)
