"""Runs that are kept as they end, and what the ones still to come will take."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from hf_hardneg.cache import content_hash, published_folder
from hf_hardneg.corpus import Corpus
from hf_hardneg.evaluation.compare_figures import MEASURES
from hf_hardneg.evaluation.held_out import HeldOut
from hf_hardneg.evaluation.training import (
    Outcome,
    Training,
    load_model,
    no_bars,
    rows_fingerprint,
    train,
    train_and_score,
)
from hf_hardneg.evaluation.training_device import training_device
from hf_hardneg.evaluation.training_progress import Steps
from hf_hardneg.models import model_fingerprint

__all__ = ["KeptRuns", "seconds_of_a_run", "trial_rows"]

RUN_VERSION = 1
"""Raised when the same key would stand for other values."""
PACKAGES = ("torch", "transformers", "sentence-transformers", "ir-measures")
FILE = "run.json"
TRIED_STEPS, TRIED_DOCUMENTS, TRIED_QUERIES = 3, 512, 64
DIGITS = 9


class KeptRuns:
    """Trains and scores, and keeps what every run came to, so that no run is made twice.

    A run is known by all that decides its values: the texts it is trained on and their order, the
    start weights, the settings, the seed, the held-out queries with their judgements, the corpus,
    the versions of the packages that train, and the device, see
    :func:`~hf_hardneg.evaluation.training_device.training_device`. It is written whole or not at
    all.

    Args:
        home: a folder of the cache.
        held_out: queries with judgements.
        corpus: the documents that are ranked.
        training: how.
        resume: use the runs of an earlier call; without it they are made anew.
    """

    def __init__(
        self, home: Path, held_out: HeldOut, corpus: Corpus, training: Training, *, resume: bool
    ) -> None:
        """Work out what all runs share."""
        self._home, self._resume = home, resume
        self._held_out, self._corpus, self._training = held_out, corpus, training
        self._common = [
            RUN_VERSION,
            model_fingerprint(training.model),
            training.recipe(),
            held_out.fingerprint(),
            corpus.fingerprint,
            {name: version(name) for name in PACKAGES},
            training_device(training.device),
        ]
        self._made: set[Path] = set()

    def folder(self, rows: Dataset | None, seed: int, steps: int) -> Path:
        """Return where a run is kept."""
        texts = None if rows is None else rows_fingerprint(rows)
        return self._home / content_hash(self._common, texts, seed, steps)

    def kept(self, folder: Path) -> bool:
        """Return whether a run need not be made."""
        return (self._resume or folder in self._made) and (folder / FILE).exists()

    def run(self, title: str, rows: Dataset | None, *, seed: int = 0, steps: int = 0) -> Outcome:
        """Return what a run came to, from an earlier call or made now.

        Args:
            title: shown beside the progress bar.
            rows: query, positive and negatives; ``None`` to score the start model.
            seed: of the run.
            steps: how many.

        Raises:
            ModelError, ParameterError: as :func:`train_and_score`.
        """
        folder = self.folder(rows, seed, steps)
        if not self.kept(folder):
            with Steps(title, steps) as progress:
                made = train_and_score(
                    rows,
                    self._held_out,
                    self._corpus,
                    self._training,
                    seed=seed,
                    steps=steps,
                    progress=progress,
                )
            shutil.rmtree(folder, ignore_errors=True)  # that of an earlier call, made anew
            published_folder(folder, lambda staging: _write(staging / FILE, made))
            self._made.add(folder)
        return _read(folder / FILE)


def _write(path: Path, outcome: Outcome) -> None:
    values = {name: np.round(own, DIGITS).tolist() for name, own in outcome.values.items()}
    kept: dict[str, Any] = {
        "values": values,
        "steps": outcome.steps,
        "rows": outcome.rows,
        "seconds": dict(outcome.seconds),
    }
    path.write_text(json.dumps(kept, allow_nan=False) + "\n", encoding="utf-8")


def _read(path: Path) -> Outcome:
    kept = json.loads(path.read_text(encoding="utf-8"))
    values = {name: np.array(kept["values"][name]) for name in MEASURES}
    return Outcome(values, kept["steps"], kept["rows"], kept["seconds"])


def trial_rows(rows: Dataset, num_negatives: int, size: int) -> Dataset:
    """Return rows as long as those to come: the positives of other rows stand for negatives.

    Args:
        rows: columns ``anchor`` and ``positive``.
        num_negatives: columns of negatives.
        size: rows.
    """
    picked = rows.select([place * len(rows) // size for place in range(size)])
    positives = picked["positive"][:]
    for number in range(1, num_negatives + 1):
        turned = positives[number % size :] + positives[: number % size]
        picked = picked.add_column(f"negative_{number}", turned)
    return picked


def seconds_of_a_run(
    rows: Dataset,
    held_out: HeldOut,
    corpus: Corpus,
    training: Training,
    *,
    num_negatives: int,
    steps: int,
) -> float:
    """Return the seconds that a run is expected to take, from a few steps of it.

    Args:
        rows: columns ``anchor`` and ``positive``: of these some are trained on.
        held_out: of these some are scored.
        corpus: of these some documents are encoded.
        training: how.
        num_negatives: of each row.
        steps: of a run.
    """
    size = min(training.batch_size, len(rows))
    tried = trial_rows(rows, num_negatives, size)
    brief, few = replace(training, batch_size=size), min(TRIED_STEPS, steps)
    number = min(TRIED_DOCUMENTS, len(corpus))
    documents = corpus.texts([place * len(corpus) // number for place in range(number)])
    texts = [*documents, *held_out.texts[:TRIED_QUERIES]]
    with no_bars():
        model = load_model(training)
        train(model, tried, brief, seed=0, steps=1)  # the first step is slower than all others
        started = time.perf_counter()
        train(model, tried, brief, seed=0, steps=few)
        trained = time.perf_counter()
        if training.score_precision == "bfloat16":
            model.bfloat16()
        model.encode(texts, show_progress_bar=False, convert_to_tensor=True)
    step = (trained - started) / few
    text = (time.perf_counter() - trained) / len(texts)
    return step * steps + text * (len(corpus) + len(held_out.ids))
