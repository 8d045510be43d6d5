"""Training on what each strategy mined, and what it comes to beside the baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from datasets import Dataset

from hf_hardneg.columns import find_columns
from hf_hardneg.corpus import Corpus
from hf_hardneg.cost import duration
from hf_hardneg.errors import HardNegError, QueryError, listing
from hf_hardneg.evaluation.compare_mining import MiningJob
from hf_hardneg.evaluation.comparison import StrategyFigures, Trained
from hf_hardneg.evaluation.held_out import HeldOut, seen_queries
from hf_hardneg.evaluation.training import Outcome, Training, steps_of
from hf_hardneg.evaluation.training_figures import measured
from hf_hardneg.evaluation.training_runs import KeptRuns, seconds_of_a_run

__all__ = ["BASELINES", "IN_BATCH", "UNTRAINED", "Say", "TrainingJob"]

UNTRAINED, IN_BATCH = "untrained", "in-batch"
BASELINES = (UNTRAINED, IN_BATCH)

Say = Callable[[str], object]


@dataclass(frozen=True)
class TrainingJob:
    """Training on what the strategies mined.

    Attributes:
        job: what was mined, and how.
        training: how models are trained.
        held_out: what they are scored on.
        baselines: names of the baselines that are wanted.
        pairs: all rows without negatives, columns ``anchor`` and ``positive``.
        corpus: the documents that are ranked.
        steps: of every run.
        seen: held-out queries that are training queries.
        runs: makes and keeps the runs.
        say: is told what is being done.
    """

    job: MiningJob
    training: Training
    held_out: HeldOut
    baselines: Sequence[str]
    pairs: Dataset
    corpus: Corpus
    steps: int
    seen: int
    runs: KeptRuns
    say: Say

    @classmethod
    def prepared(
        cls,
        job: MiningJob,
        training: Training,
        held_out: HeldOut,
        baselines: Sequence[str],
        say: Say,
    ) -> TrainingJob:
        """Check everything that can be checked before any work.

        Raises:
            QueryError: held-out queries that are training queries, or without documents.
        """
        found = find_columns(job.dataset.column_names, job.columns)
        seen = seen_queries(held_out, job.dataset, str(found.query))
        if seen and not training.allow_seen:
            raise QueryError(
                f"{len(seen):,} of {len(held_out.ids):,} held-out queries are training queries "
                f"too (the same normalised text), for example {listing(map(repr, seen), 3)}: "
                "scores on them say nothing of new queries. Give other queries, or allow it with "
                "--allow-seen-queries (Training(allow_seen=True))."
            )
        corpus = job.miner("random").knowing(job.dataset).corpus
        if corpus is None:
            raise QueryError("there is no corpus to rank.")
        held_out.check(corpus)
        pairs = job.pairs()
        home = job.home / "runs"
        runs = KeptRuns(home, held_out, corpus, training, resume=job.resume)
        steps = steps_of(training, len(pairs))
        return cls(job, training, held_out, baselines, pairs, corpus, steps, len(seen), runs, say)

    def seconds(self, strategies: int) -> float:
        """Say what training is expected to take, from a few steps of it, and return the seconds.

        Nothing is tried where runs of an earlier call are found.
        """
        seeds = self.training.seeds
        number = len(seeds) * (strategies + (IN_BATCH in self.baselines))
        own = [self.runs.folder(self.pairs, seed, self.steps) for seed in seeds]
        if IN_BATCH in self.baselines and all(map(self.runs.kept, own)):
            self.say(f"Going on with {number} runs of {self.steps:,} steps; some are finished.")
            return 0.0
        one = seconds_of_a_run(
            self.pairs,
            self.held_out,
            self.corpus,
            self.training,
            num_negatives=self.job.num_negatives,
            steps=self.steps,
        )
        self.say(
            f"Training: {number} runs of {self.steps:,} steps, about {duration(one)} each, at "
            f"most {duration(one * number)} in all. Mining comes before that."
        )
        return one * number

    def all(
        self, found: Sequence[StrategyFigures], texts: Sequence[str]
    ) -> tuple[list[StrategyFigures], list[Trained]]:
        """Train on everything; return the figures, with errors, and what training came to."""
        figures, outcomes, sets = [], {}, {}
        for one, text in zip(found, texts, strict=True):
            if not one.error:
                try:
                    rows, filled = self.job.training_rows(text, self.training.short_rows)
                    outcomes[one.strategy] = self._seeds(one.strategy, rows)
                    sets[one.strategy] = (len(rows), filled)
                except HardNegError as error:
                    self.say(f"{one.strategy} was not trained: {error}")
                    one = replace(one, training_error=f"{type(error).__name__}: {error}")
            figures.append(one)
        first = outcomes.get(figures[0].strategy)
        entries = [*self._baselines(first)]
        for name, runs in outcomes.items():
            against = None if name == figures[0].strategy else first
            entries.append(self._entry(name, runs, against, *sets[name]))
        return figures, entries

    def _baselines(self, first: Sequence[Outcome] | None) -> list[Trained]:
        made = []
        if UNTRAINED in self.baselines:
            self.say(f"Scoring {self.training.model} untrained.")
            made.append(self._entry(UNTRAINED, [self.runs.run(UNTRAINED, None)], first, 0, 0))
        if IN_BATCH in self.baselines:
            runs = self._seeds(IN_BATCH, self.pairs)
            made.append(self._entry(IN_BATCH, runs, first, len(self.pairs), 0))
        return made

    def _seeds(self, name: str, rows: Dataset) -> list[Outcome]:
        made = []
        for place, seed in enumerate(self.training.seeds):
            title = f"{name}, seed {seed} ({place + 1} of {len(self.training.seeds)})"
            outcome = self.runs.run(title, rows, seed=seed, steps=self.steps)
            means = ", ".join(f"{key} {own.mean():.4f}" for key, own in outcome.values.items())
            self.say(f"{title}: {means}; {duration(sum(outcome.seconds.values()))}")
            made.append(outcome)
        return made

    def _entry(
        self,
        name: str,
        runs: Sequence[Outcome],
        first: Sequence[Outcome] | None,
        rows: int,
        filled: int,
    ) -> Trained:
        return Trained(
            name=name,
            measures=measured(runs, first, seed=self.job.seed),
            rows=rows,
            filled=filled,
            left_out=len(self.pairs) - rows if rows else 0,
            steps=runs[0].steps,
            seconds={
                part: round(sum(run.seconds[part] for run in runs), 3)
                for part in ("train", "score")
            },
        )
