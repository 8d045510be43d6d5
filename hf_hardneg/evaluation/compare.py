"""Several strategies on the same data: what each mines, and what training on it is worth."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from datasets import Dataset

from hf_hardneg.cache import cache_root
from hf_hardneg.checks import whole_number
from hf_hardneg.columns import QueryColumns
from hf_hardneg.corpus import Corpus
from hf_hardneg.cost import HOUR, duration
from hf_hardneg.distributed import processes
from hf_hardneg.errors import CostError, HardNegError, ParameterError, QueryError, listing
from hf_hardneg.evaluation.compare_figures import check_estimators, usual_estimators
from hf_hardneg.evaluation.compare_mining import MiningJob
from hf_hardneg.evaluation.compare_training import BASELINES, Say, TrainingJob
from hf_hardneg.evaluation.comparison import ComparisonTable, StrategyFigures, Trained
from hf_hardneg.evaluation.held_out import HeldOut
from hf_hardneg.evaluation.strategy_list import strategy_list, with_settings
from hf_hardneg.evaluation.training import Training
from hf_hardneg.evaluation.training_device import training_device
from hf_hardneg.foreseen import QUICK, WORTH_SAYING
from hf_hardneg.locations import is_location
from hf_hardneg.models import model_fingerprint
from hf_hardneg.run import corpus_note

__all__ = ["compare"]

PACKAGES = ("hf-hardneg", "sentence-transformers", "torch", "transformers")


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
    estimators: Sequence[str] | None = None,
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
            :data:`~hf_hardneg.evaluation.compare_figures.ESTIMATORS`; the first is shown. Default:
            ``judged`` where there are judgements, else ``hidden``.
        train: how models are trained; default: none is.
        held_out: what they are scored on; needed with ``train``.
        baselines: of ``untrained``, the start model, and ``in-batch``, trained without hard
            negatives.
        columns: names of the query columns.
        cache_dir: see :func:`hf_hardneg.cache.cache_root`.
        num_proc: worker processes of mining; no influence on the result.
        resume: use the finished parts and runs of an earlier call.
        max_hours: refuse work that is expected to take longer on this machine.
        say: is told what is being done, line by line.

    Returns:
        The table.

    Raises:
        StrategyError, ParameterError: a strategy that cannot be read, or several processes; before
            any work.
        QueryError: held-out queries that are training queries, unless they are allowed.
        CostError: it is expected to take longer than ``max_hours``.
    """
    _one_process()
    names = strategy_list(strategies)
    texts = with_settings(names, settings or {})
    estimators = estimators or usual_estimators(judgements)
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
        trial = TrainingJob.prepared(job, train, held_out, baselines, say)
    _ask_first(job, texts, trial, max_hours, say)
    found = [
        _mined(job, name, text, f"{place + 1} of {len(texts)}", say)
        for place, (name, text) in enumerate(zip(names, texts, strict=True))
    ]
    trained: list[Trained] = []
    if trial is not None:
        found, trained = trial.all(found, texts)
    return ComparisonTable(found, trained, _settings(job, trial, texts), _notes(found, trial))


def _one_process() -> None:
    """Refuse to be one of several processes.

    Each would train every model, with its share of every batch, so that batches, and with them the
    in-batch negatives, would not be those that were asked for; and each would write the table.
    """
    number = processes()
    if number > 1:
        raise ParameterError(
            f"compare was started as {number} processes, by torchrun or accelerate launch; "
            "expected one. Start it without a launcher. To share the work of encoding the corpus, "
            "let 'hf-hardneg mine' run in several processes first: the vectors are in the cache "
            "then."
        )


def _check(train: Training | None, held_out: HeldOut | None, baselines: Sequence[str]) -> None:
    if train is not None and held_out is None:
        raise QueryError(
            "there are no held-out queries to score the trained models on. Give them as "
            "held_out=load_held_out(...), on the command line as --eval-queries."
        )
    unknown = [name for name in baselines if name not in BASELINES]
    if unknown:
        raise ParameterError(f"baselines: {unknown[0]!r}; expected some of {listing(BASELINES)}.")


def _ask_first(
    job: MiningJob,
    texts: Sequence[str],
    trial: TrainingJob | None,
    max_hours: float | None,
    say: Say,
) -> None:
    """Say what all of it is expected to take, and refuse it where that is too much.

    Raises:
        CostError: it takes too much.
    """
    training = 0.0 if trial is None else trial.seconds(len(texts))
    if max_hours is None:
        return
    mining = _mining_seconds(job, texts)
    if mining > WORTH_SAYING:
        say(f"Mining: at most about {duration(mining)}; strategies share what they can.")
    if mining + training > max_hours * HOUR:
        raise CostError(
            f"not begun, because it is expected to take {duration(mining + training)} on this "
            f"machine (training {duration(training)}, mining at most {duration(mining)}). Take "
            "fewer steps, a smaller model or fewer strategies. To do it all the same, add --yes; "
            f"the limit is --max-hours {max_hours:g}."
        )


def _mining_seconds(job: MiningJob, texts: Sequence[str]) -> float:
    """Return what mining is expected to take, each strategy as if it were alone."""
    seconds = 0.0
    for text in texts:
        try:
            miner = job.miner(text)
            if miner.corpus is None:  # the positives become the corpus
                miner = miner.knowing(job.dataset)
            if miner.may_take_long(len(job.dataset)):
                seconds += miner.estimate(job.dataset, budget=QUICK).seconds
        except HardNegError:
            continue  # mining it will fail alike, and that stands in the table
    return seconds


def _mined(job: MiningJob, name: str, text: str, place: str, say: Say) -> StrategyFigures:
    """Return a strategy's figures, or its error."""
    say(f"Mining {name} ({place}).")
    try:
        return job.figures(name, text)
    except HardNegError as error:
        say(f"{name} failed: {error}")
        return StrategyFigures(name, error=f"{type(error).__name__}: {error}")


def _settings(job: MiningJob, trial: TrainingJob | None, texts: Sequence[str]) -> dict[str, Any]:
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
        "device": training_device(training.device),
        "steps": trial.steps,
        "seeds": list(training.seeds),
        "short_rows": training.short_rows,
        "rows": len(trial.pairs),
        "held_out_queries": len(trial.held_out.ids),
        "held_out_queries_seen_in_training": trial.seen,
    }
    return values


def _notes(found: Sequence[StrategyFigures], trial: TrainingJob | None) -> list[str]:
    """Return what a reader of the table should know."""
    notes = [
        "Seconds are those of the first time; strategies that share a pool show the time of the "
        "pool that the first of them made, and a pair that a cross-encoder has scored before "
        "costs no time again. Cross-encoder calls count it all the same.",
        "Hardness is the mean of a negative's score relative to the lowest of its row's positives, "
        "by the strategy's own retriever: compare it between strategies with the same pool.",
    ]
    if trial is None:
        return notes
    notes.append(
        f"± is half of the 95% interval by Student's t over {len(trial.training.seeds)} seeds of "
        "training (none is shown where they all came to the same, or there is one); negatives are "
        "mined once. p is of a two-sided paired randomisation test over "
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
