"""Running a plan over a data set: retrieve, decide, write, and report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset, IterableDataset

from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import PoolError
from hf_hardneg.fitting import fitted
from hf_hardneg.mapping import Step, finished, map_steps
from hf_hardneg.outcomes import OutcomeStage, outcome_features
from hf_hardneg.plan import Plan
from hf_hardneg.pool import check_pool_columns, describe, description_of
from hf_hardneg.queries import column_names, query_texts, rows_with_several
from hf_hardneg.report import report_of
from hf_hardneg.single_positives import by_positive
from hf_hardneg.stages import TRACE, TimedStage
from hf_hardneg.strategy import Strategy
from hf_hardneg.tally import totals_of

__all__ = ["Run", "check_pool", "corpus_note", "mine_stream"]


@dataclass
class Run:
    """One run of a plan.

    Attributes:
        home: folder in which the parts of all maps are kept.
        num_proc: worker processes; no influence on the result.
        resume: use the finished parts of an interrupted run.
        seconds: by stage, for the report.
    """

    home: Path
    num_proc: int | None
    resume: bool
    seconds: dict[str, float] = field(default_factory=dict)

    def retrieve(self, plan: Plan, rows: Dataset) -> Dataset:
        """Return the pool of ``rows``."""
        self._build_index(plan, rows)
        [pool] = self._map(rows, [plan.retrieve_step(rows.features, wanted=True)])
        retriever = plan.strategy.retriever
        note = {
            "kind": "pool",
            "corpus": retriever.corpus.fingerprint,
            "sources": list(retriever.source_names),
            "strategy": str(Strategy(retriever)),
            "notes": list(retriever.notes()),
        }
        return describe(pool, note)

    def select(self, plan: Plan, pool: Dataset) -> Dataset:
        """Return the mined set of a pool."""
        if plan.needs_fit:
            started = time.perf_counter()
            plan = fitted(plan, pool, _sources(plan, pool))
            self.seconds["fit"] = time.perf_counter() - started
        return self._decide(plan, [], pool)

    def outcomes(self, plan: Plan, pool: Dataset) -> Dataset:
        """Return the pool with what became of each candidate."""
        sources = _sources(plan, pool)
        if plan.needs_fit:
            plan = fitted(plan, pool, sources)
        stage = OutcomeStage(plan.reader, plan.rules, sources)
        step = Step(stage, outcome_features(plan.rules), "Explaining", plan.decide_batch)
        [explained] = self._map(pool, [step])
        return explained

    def mine(self, plan: Plan, rows: Dataset) -> Dataset:
        """Return the mined set of ``rows``."""
        if plan.needs_fit:
            return self.select(plan, self.retrieve(plan, rows))
        self._build_index(plan, rows)
        # The pool is not wanted for itself, so its parts are closed as soon as they are used.
        return self._decide(plan, [plan.retrieve_step(rows.features, wanted=False)], rows)

    def _build_index(self, plan: Plan, rows: Dataset) -> None:
        """Build the index, and let the retriever see all queries before workers are started."""
        started = time.perf_counter()
        retriever = plan.strategy.retriever
        retriever.prepare()
        self.seconds[f"{retriever.name} index"] = time.perf_counter() - started
        if retriever.encodes_queries:
            started = time.perf_counter()
            retriever.prepare_queries(query_texts(rows, plan.reader.columns))
            self.seconds[f"{retriever.name} queries"] = time.perf_counter() - started
        if retriever.encodes_candidates:
            started = time.perf_counter()
            step = plan.retrieve_step(rows.features, wanted=True)
            if not finished(rows, [step], home=self.home, num_proc=self.num_proc):
                retriever.prepare_candidates(plan.query_batches(rows))
            self.seconds[f"{retriever.name} candidates"] = time.perf_counter() - started

    def _decide(self, plan: Plan, before: list[Step], rows: Dataset) -> Dataset:
        """Choose and write; ``before`` are the steps that make the pool, if there is none yet."""
        notes = plan.strategy.retriever.notes() if before else description_of(rows).get("notes", ())
        steps = [*before, *plan.decide_steps(rows.features, _sources(plan, rows))]
        decided, mined = self._map(rows, steps)
        totals = totals_of(decided, plan.dropping, hardness=True)
        report = report_of(
            decided,
            totals=totals,
            strategy=str(plan.strategy),
            num_negatives=plan.n,
            seed=plan.seed,
            rows_out=len(mined),
            needed=plan.needed,
            dropping=plan.dropping,
            seconds={name: round(value, 3) for name, value in self.seconds.items()},
            corpus=corpus_note(plan.reader.corpus),
            notes=(*notes, *plan.strategy.notes(), *_by_positive_note(plan, rows, len(decided))),
        )
        mark = None
        if TRACE in mined.features:  # of the same rows the totals are the same
            mark = (totals if len(mined) == len(decided) else totals_of(mined)).mark
        return describe(mined, {"kind": "mined", "mark": mark, "report": report.to_dict()})

    def _map(self, rows: Dataset, steps: Sequence[Step]) -> list[Dataset]:
        """Run a chain of steps and take their times."""
        results = map_steps(rows, steps, home=self.home, num_proc=self.num_proc, resume=self.resume)
        for step in steps:
            if isinstance(step.stage, TimedStage):
                self.seconds.update(step.stage.stopwatch.seconds)
        return results


def _by_positive_note(plan: Plan, rows: Dataset, made: int) -> tuple[str, ...]:
    """Say how many rows became several, one for each of their positives."""
    if not by_positive(plan.rules):
        return ()
    several = rows_with_several(rows, plan.reader.columns)
    return (
        f"against='own': {several:,} of {len(rows):,} input rows have several positives; each "
        f"positive is a row of its own, which makes {made:,} rows. All counts are of these.",
    )


def _sources(plan: Plan, rows: Dataset) -> tuple[str, ...]:
    """Return the names of the retrievers of a pool, or of what is still to be retrieved."""
    return tuple(description_of(rows).get("sources", plan.strategy.retriever.source_names))


def corpus_note(corpus: Corpus) -> dict[str, Any]:
    """Return what a report says of the corpus."""
    return {
        "documents": len(corpus),
        "empty_texts": corpus.empty_texts,
        "fingerprint": corpus.fingerprint,
    }


def check_pool(pool: Dataset, corpus: Corpus | None) -> None:
    """Refuse what is not a pool, and a pool whose row numbers belong to another corpus.

    Raises:
        PoolError: a column is missing, or the fingerprints differ.
    """
    if not isinstance(pool, Dataset):
        raise PoolError(
            f"a pool is one Dataset, as miner.retrieve(dataset) returns it, and this is of type "
            f"{type(pool).__name__}."
        )
    check_pool_columns(pool.column_names)
    made_on = description_of(pool).get("corpus")
    if corpus is not None and made_on is not None and made_on != corpus.fingerprint:
        raise PoolError(
            f"the pool was made on a corpus with the fingerprint {made_on}; this one has "
            f"{corpus.fingerprint}. Its row numbers would name other documents: give the corpus "
            "of the pool, or retrieve again."
        )


def mine_stream(plan: Plan, stream: IterableDataset) -> IterableDataset:
    """Return the stream with every batch mined as it comes."""
    plan.refuse_unfitted()
    plan.strategy.retriever.prepare()
    features = None if stream.features is None else plan.output_features(stream.features)
    return stream.map(
        plan,
        batched=True,
        batch_size=plan.strategy.retriever.batch_rows,
        remove_columns=column_names(stream),
        features=features,
    )
