"""A small collection with a small model, and comparisons over it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import small_collection
from small_collection import Collection
from tiny_models import WORDS

from hf_hardneg.evaluation.compare import compare
from hf_hardneg.evaluation.comparison import ComparisonTable
from hf_hardneg.evaluation.held_out import load_held_out
from hf_hardneg.evaluation.training import Training

STRATEGIES = "random; bm25; bm25,dense+random"
N = 2


def known_words(folder: Path) -> Collection:
    """Write the small collection in words that the tiny models know."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_collection, "WORDS", WORDS)
        return small_collection.write_collection(folder)


@dataclass(frozen=True)
class Setting:
    """What every comparison here works on."""

    collection: Collection
    model: Path
    cache: Path

    def training(self, **changes: Any) -> Training:
        """Return a training of few steps that moves the weights visibly."""
        values = {"model": str(self.model), "steps": 2, "batch_size": 4, "learning_rate": 0.02}
        return Training(**{**values, "seeds": (0, 1), **changes})

    def compared(self, strategies: str = STRATEGIES, **changes: Any) -> ComparisonTable:
        """Compare over the training queries."""
        # Of q0 all but the positives is judged: whatever is mined for it, there is a rate.
        judged = {f"d{number}": int(number == 20) for number in range(1, 39)}
        values: dict[str, Any] = {
            "num_negatives": N, "settings": {"dense.model": str(self.model)},
            "cache_dir": self.cache, "judgements": {"q0": judged},
        }  # fmt: skip
        if "train" in changes:
            values["held_out"] = load_held_out(self.collection.folder, split="test")
        if "dense" not in strategies:
            del values["settings"]
        return compare(
            strategies, self.collection.rows(), self.collection.folder, **{**values, **changes}
        )

    def kept_runs(self) -> set[Path]:
        """Return the files of all finished runs."""
        return set((self.cache / "compare" / "runs").glob("*/run.json"))


def without_seconds(values: Any) -> Any:
    """Return values without what stands under ``seconds``."""
    if isinstance(values, dict):
        return {key: without_seconds(own) for key, own in values.items() if key != "seconds"}
    if isinstance(values, list):
        return [without_seconds(own) for own in values]
    return values
