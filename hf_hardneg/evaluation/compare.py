"""Several strategies on the same data: what each mines, and what training on it is worth."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from datasets import Dataset

from hf_hardneg.cache import cache_root
from hf_hardneg.checks import whole_number
from hf_hardneg.columns import QueryColumns, find_columns
from hf_hardneg.corpus import Corpus
from hf_hardneg.cost import HOUR, duration
from hf_hardneg.errors import CostError, HardNegError, QueryError, listing
from hf_hardneg.evaluation.compare_figures import check_estimators
from hf_hardneg.evaluation.compare_mining import MiningJob
from hf_hardneg.evaluation.comparison import ComparisonTable, StrategyFigures, Trained
from hf_hardneg.evaluation.held_out import HeldOut, seen_queries
from hf_hardneg.evaluation.strategy_list import strategy_list, with_settings
from hf_hardneg.evaluation.training import Outcome, Training, steps_of
from hf_hardneg.evaluation.training_figures import measured
from hf_hardneg.evaluation.training_runs import KeptRuns, seconds_of_a_run
from hf_hardneg.locations import is_location
from hf_hardneg.models import model_fingerprint
from hf_hardneg.run import corpus_note

__all__ = ["IN_BATCH", "UNTRAINED", "compare"]

UNTRAINED, IN_BATCH = "untrained", "in-batch"
BASELINES = (UNTRAINED, IN_BATCH)
WORTH_SAYING = 60.0
PACKAGES = ("hf-hardneg", "sentence-transformers", "torch", "transformers")

Say = Callable[[str], object]


def _silent(text: str) -> None:
    """Say nothing."""


def compare(
    strategies: str | Sequence[str],
    dataset: Dataset,
    corpus: Any = None,  # noqa: ANN401
    *,
    num_negatives: int = 1,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    judgements: Mapping[str, Mapping[str, int]] | None = None,
    estimators: Sequence[str] = ("judged",),
    train: Training | None = None,
    held_out: HeldOut | None = None,
    baselines: Sequence[str] = BASELINES,
    columns: QueryColumns | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    num_proc: int | None = None,
    resume: bool = True,
    max_hours: float | None = None,
    say: Say = _silent,
) -> ComparisonTable:
    """Compare strategies: the same queries, corpus, pools, and number of negatives.

    With ``train`` a copy of one model is trained on each strategy's negatives, from the same
    weights, for the same number of steps, once for each seed, and scored on held-out queries.

    A strategy that fails stands in the table with its error; the others go on, and what is
    finished is kept in the cache.

    Args:
        strategies: strategy strings, or one string that separates them by ``;``. The first is the
            one that the others are tested against.
        dataset: queries and their positives.
        corpus: the documents, as for the miner; default: the positives.
        num_negatives: for each row, whatever a preset's source takes.
        seed: of all sampling.
        settings: parameters of stages, see
            :func:`~hf_hardneg.evaluation.strategy_list.with_settings`.
        judgements: deeper ones than the positives: grades by document id, by query id.
        estimators: of the false-negative rate, names of
            :data:`~hf_hardneg.evaluation.compare_figures.ESTIMATORS`; the first is shown.
        train: how models are trained; default: none is.
        held_out: what they are scored on; needed with ``train``.
        baselines: of ``untrained``, the start model, and ``in-batch``, trained without hard
            negatives.
        columns: names of the query columns.
        cache_dir: see :func:`hf_hardneg.cache.cache_root`.
        num_proc: worker processes of mining; no influence on the result.
        resume: use the finished parts and runs of an earlier call.
        max_hours: refuse training that is expected to take longer on this machine.
        say: is told what is being done, line by line.

    Returns:
        The table.

    Raises:
        StrategyError, ParameterError: a strategy that cannot be read; before any work.
        QueryError: held-out queries that are training queries, unless they are allowed.
        CostError: training is expected to take longer than ``max_hours``.
    """
    names = strategy_list(strategies)
    texts = with_settings(names, settings or {})
    check_estimators(estimators)
    _check(train, held_out, baselines)
    if corpus is not None and not is_location(corpus):
        corpus = Corpus.of(corpus, cache_dir)
    job = MiningJob(
        dataset=dataset,
        corpus=corpus,
        num_negatives=whole_number("compare", "num_negatives", num_negatives, 1),
        seed=whole_number("compare", "seed", seed, 0),
        columns=columns or QueryColumns(),
        judgements=judgements,
        estimators=estimators,
        home=cache_root(cache_dir) / "compare",
        cache_dir=cache_dir,
        num_proc=num_proc,
        resume=resume,
    )
    trial = None
    if train is not None and held_out is not None:
        trial = _Trial.prepared(job, train, held_out, baselines, say)
        trial.ask_first(len(texts), max_hours)
    found = [
        _mined(job, name, text, f"{place + 1} of {len(texts)}", say)
        for place, (name, text) in enumerate(zip(names, texts, strict=True))
    ]
    trained: list[Trained] = []
    if trial is not None:
        found, trained = trial.all(found, texts)
    return ComparisonTable(found, trained, _settings(job, trial, texts), _notes(found, trial))


def _check(train: Training | None, held_out: HeldOut | None, baselines: Sequence[str]) -> None:
    if train is not None and held_out is None:
        raise QueryError(
            "there are no held-out queries to score the trained models on. Give them as "
            "held_out=load_held_out(...), on the command line as --eval-queries."
        )
    unknown = [name for name in baselines if name not in BASELINES]
    if unknown:
        raise QueryError(f"baselines: {unknown[0]!r}; expected some of {listing(BASELINES)}.")


def _mined(job: MiningJob, name: str, text: str, place: str, say: Say) -> StrategyFigures:
    """Return a strategy's figures, or its error."""
    say(f"Mining {name} ({place}).")
    try:
        return job.figures(name, text)
    except HardNegError as error:
        say(f"{name} failed: {error}")
        return StrategyFigures(name, error=f"{type(error).__name__}: {error}")


@dataclass(frozen=True)
class _Trial:
    """Training on what the strategies mined."""

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
    ) -> _Trial:
        """Check everything that can be checked before any work.

        Raises:
            QueryError: held-out queries that are training queries, or without documents.
        """
        found = find_columns(job.dataset.column_names, job.columns)
        seen = seen_queries(held_out, job.dataset[found.query][:])
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

    def ask_first(self, strategies: int, max_hours: float | None) -> None:
        """Say what training is expected to take, and refuse it where that is too much.

        Raises:
            CostError: it takes too much.
        """
        seeds = len(self.training.seeds)
        number = seeds * (strategies + (IN_BATCH in self.baselines))
        own = [self.runs.folder(self.pairs, seed, self.steps) for seed in self.training.seeds]
        if all(map(self.runs.kept, own)):
            self.say(f"Going on with {number} runs of {self.steps:,} steps; some are finished.")
            return
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
        if max_hours is not None and one * number > max_hours * HOUR:
            raise CostError(
                f"not begun, because training is expected to take {duration(one * number)} on "
                f"this machine ({number} runs of {duration(one)}). Train fewer steps, a smaller "
                "model or fewer strategies. To do it all the same, add --yes; the limit is "
                f"--max-hours {max_hours:g}."
            )

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


def _settings(job: MiningJob, trial: _Trial | None, texts: Sequence[str]) -> dict[str, Any]:
    """Return all that the figures depend on."""
    values: dict[str, Any] = {
        "strategies": list(texts),
        "num_negatives": job.num_negatives,
        "seed": job.seed,
        "rows": len(job.dataset),
        "estimators": list(job.estimators),
        "versions": {name: version(name) for name in PACKAGES},
    }
    if isinstance(job.corpus, Corpus):
        values["corpus"] = corpus_note(job.corpus)
    if trial is None:
        return values
    training = trial.training
    values["corpus"] = corpus_note(trial.corpus)
    values["training"] = {
        **training.recipe(),
        "model": training.model,
        "weights": model_fingerprint(training.model),
        "steps": trial.steps,
        "seeds": list(training.seeds),
        "short_rows": training.short_rows,
        "rows": len(trial.pairs),
        "held_out_queries": len(trial.held_out.ids),
        "held_out_queries_seen_in_training": trial.seen,
    }
    return values


def _notes(found: Sequence[StrategyFigures], trial: _Trial | None) -> list[str]:
    """Return what a reader of the table should know."""
    notes = [
        "Seconds are those of the first time; strategies that share a pool show the time of the "
        "pool that the first of them made, and a pair that a cross-encoder has scored before "
        "costs no time again. Cross-encoder calls count it all the same.",
        "Hardness is the mean of a negative's score over the lowest score of its row's positives, "
        "by the strategy's own retriever: compare it between strategies with the same pool.",
    ]
    if trial is None:
        return notes
    notes.append(
        f"± is half of the 95% interval by Student's t over {len(trial.training.seeds)} seeds of "
        "training; negatives are mined once. p is of a two-sided paired randomisation test over "
        f"{len(trial.held_out.ids):,} held-out queries against {found[0].strategy!r}, not "
        "corrected for the number of strategies."
    )
    if trial.training.short_rows == "fill":
        notes.append(
            "All strategies are trained on the same rows in the same batches: where a strategy "
            "found too few negatives, random documents fill the row. Yield and false-negative "
            "rates are of what the strategy itself found."
        )
    else:
        notes.append(
            "Rows with too few negatives are left out of training, so that strategies with a "
            "lower yield are trained on fewer queries, the same number of steps."
        )
    notes.extend(trial.held_out.notes)
    if trial.seen:
        notes.append(f"{trial.seen:,} held-out queries are training queries too, as was allowed.")
    if found[0].error or found[0].training_error:
        notes.append(f"The first strategy, {found[0].strategy!r}, failed: no gains, no tests.")
    return notes
