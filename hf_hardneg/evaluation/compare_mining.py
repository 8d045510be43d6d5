"""One strategy of a comparison: mined over the shared pool, and measured."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from hf_hardneg.cache import published_folder
from hf_hardneg.columns import QueryColumns
from hf_hardneg.evaluation.compare_figures import Case, corpus_of, diversity, hardness, rate_of
from hf_hardneg.evaluation.comparison import StrategyFigures
from hf_hardneg.evaluation.hardness import hardness_of
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.miner import OfflineMiner
from hf_hardneg.pool import description_of
from hf_hardneg.report import Report

__all__ = ["MiningJob"]

SECONDS = "seconds.json"


@dataclass(frozen=True)
class MiningJob:
    """What all strategies of a comparison share.

    Attributes:
        dataset: queries and their positives.
        corpus: the documents, or where they are.
        num_negatives: for each row.
        seed: of all sampling.
        columns: names of the query columns.
        judgements: grades by document id, by query id.
        estimators: names of false-negative rates.
        home: folder of the comparison in the cache.
        cache_dir: of the miner.
        num_proc: worker processes; no influence on the result.
        resume: use the finished parts of an interrupted run.
    """

    dataset: Dataset
    corpus: Any
    num_negatives: int
    seed: int
    columns: QueryColumns
    judgements: Mapping[str, Mapping[str, int]] | None
    estimators: Sequence[str]
    home: Path
    cache_dir: str | os.PathLike[str] | None = None
    num_proc: int | None = None
    resume: bool = True

    def miner(self, strategy: str, underfilled: str = "keep") -> OfflineMiner:
        """Return the miner of a strategy."""
        return OfflineMiner(
            strategy,
            corpus=self.corpus,
            num_negatives=self.num_negatives,
            seed=self.seed,
            underfilled=underfilled,
            query_column=self.columns.query,
            positive_column=self.columns.positive,
            positive_ids_column=self.columns.positive_ids,
            query_id_column=self.columns.query_id,
            cache_dir=self.cache_dir,
        )

    def figures(self, label: str, strategy: str) -> StrategyFigures:
        """Mine with one strategy and measure what comes out.

        The pool is retrieved unless a strategy with an equal retriever has retrieved it before.

        Args:
            label: what the strategy is called.
            strategy: the strategy string.

        Raises:
            HardNegError: whatever the miner raises.
        """
        miner = self.miner(strategy).knowing(self.dataset)
        started = time.perf_counter()
        pool = miner.retrieve(self.dataset, num_proc=self.num_proc, resume=self.resume)
        retrieved = time.perf_counter()
        mined = miner.select(pool, num_proc=self.num_proc, resume=self.resume)
        chosen = time.perf_counter()
        seconds = {
            "retrieve": self._when_first_made(pool, retrieved - started),
            "choose": self._when_first_made(mined, chosen - retrieved),
        }
        figures = self._measured(miner, mined)
        return replace(
            figures,
            strategy=label,
            pool=str(description_of(pool)["strategy"]),
            seconds=seconds,
        )

    def _measured(self, miner: OfflineMiner, mined: Dataset) -> StrategyFigures:
        report, corpus = miner.report(mined), corpus_of(miner)
        own = MinedSet.of(mined, columns=self.columns)
        described = hardness_of(own)
        case = Case(miner, self.dataset, own, corpus, self.judgements, self.seed)
        return StrategyFigures(
            strategy=miner.strategy,
            canonical=miner.strategy,
            rows=report.rows_in,
            rows_out=report.rows_out,
            asked=report.rows_in * self.num_negatives,
            negatives=report.slots_chosen,
            rows_short=sum(report.underfilled.values()),
            false_negatives={name: rate_of(name, case) for name in self.estimators},
            hardness=hardness(own, described),
            diversity=diversity(described),
            calls=_calls(miner, report),
            notes=tuple(report.notes),
        )

    def _when_first_made(self, data: Dataset, seconds: float) -> float:
        """Return how long something took when it was first made here, kept beside its name."""
        folder = published_folder(
            self.home / "seconds" / str(data._fingerprint),
            lambda staging: (staging / SECONDS).write_text(json.dumps(round(seconds, 3))),
        )
        return float(json.loads((folder / SECONDS).read_text()))

    def training_rows(self, strategy: str, short_rows: str) -> tuple[Dataset, int]:
        """Return rows to train on, and how many random documents stand for missing negatives.

        Args:
            strategy: the strategy string.
            short_rows: ``fill`` or ``drop``.

        Raises:
            HardNegError: whatever the miner raises.
        """
        miner = self.miner(strategy, short_rows).knowing(self.dataset)
        pool = miner.retrieve(self.dataset, num_proc=self.num_proc, resume=self.resume)
        rows = miner.select(
            pool, "n-tuple", keep_columns=False, num_proc=self.num_proc, resume=self.resume
        )
        return rows, miner.report(rows).slots_filled

    def pairs(self) -> Dataset:
        """Return all rows with an anchor and a positive, no negatives: the same for everybody."""
        depth = 2 * self.num_negatives + 10
        rows, _ = self.training_rows(f"random@{depth}", "fill")
        return rows.select_columns(["anchor", "positive"])


def _calls(miner: OfflineMiner, report: Report) -> int:
    """Return how many pairs models that read both texts at once were asked about."""
    models = miner.recipe()["models"]
    return sum(stage.asked or 0 for stage in report.stages if stage.stage in models)
