"""A whole comparison from files to files, as the command line runs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hf_hardneg.beir import queries_file
from hf_hardneg.columns import QueryColumns
from hf_hardneg.errors import OutputError, QueryError
from hf_hardneg.evaluation.compare import compare
from hf_hardneg.evaluation.compare_figures import check_estimators
from hf_hardneg.evaluation.compare_outputs import write_comparison
from hf_hardneg.evaluation.compare_plot import require_matplotlib
from hf_hardneg.evaluation.comparison import ComparisonTable
from hf_hardneg.evaluation.held_out import HeldOut, held_out_split, load_held_out
from hf_hardneg.evaluation.judgements import grades_in
from hf_hardneg.evaluation.strategy_list import strategy_list
from hf_hardneg.evaluation.training import Training
from hf_hardneg.outputs import check_output
from hf_hardneg.query_sources import load_queries
from hf_hardneg.sources import beir_corpus_file

__all__ = ["CompareJob", "run_compare"]


@dataclass(frozen=True)
class CompareJob:
    """What ``hf-hardneg compare`` is asked to do; the fields are its options."""

    queries: str
    strategies: str
    corpus: str | None = None
    qrels: str | None = None
    split: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    num_negatives: int = 1
    judgements: Path | None = None
    estimators: tuple[str, ...] = ()
    training: Training | None = None
    eval_queries: str | None = None
    eval_qrels: Path | None = None
    eval_split: str | None = None
    output: Path | None = None
    seed: int = 0
    num_proc: int | None = None
    columns: QueryColumns = field(default_factory=QueryColumns)
    cache_dir: Path | None = None
    resume: bool = False
    overwrite: bool = False
    max_hours: float | None = None


def run_compare(job: CompareJob, say: Callable[[str], object]) -> ComparisonTable:
    """Compare, write what was asked for, and return the table.

    Args:
        job: what to do.
        say: is told what is being done.

    Raises:
        HardNegError: anything that is wrong with the input or the output, one clear message.
    """
    strategy_list(job.strategies)
    check_estimators(job.estimators)
    if job.output is not None:
        _check_output(job)
    loaded = load_queries(job.queries, job.qrels, job.split)
    corpus, folder = job.corpus, Path(job.queries).expanduser()
    if corpus is None and os.path.isdir(folder) and beir_corpus_file(folder):
        corpus = job.queries
    table = compare(
        job.strategies,
        loaded.rows,
        corpus,
        num_negatives=job.num_negatives,
        seed=job.seed,
        settings=job.settings,
        judgements=None if job.judgements is None else grades_in(job.judgements),
        train=job.training,
        estimators=job.estimators,
        held_out=None if job.training is None else _held_out(job),
        columns=job.columns,
        cache_dir=job.cache_dir,
        num_proc=job.num_proc,
        resume=job.resume,
        max_hours=job.max_hours,
        say=say,
    )
    table = ComparisonTable(
        table.strategies, table.trained, table.settings, [*table.notes, *loaded.notes]
    )
    if job.output is not None:
        write_comparison(table, job.output, overwrite=job.overwrite)
    return table


def _check_output(job: CompareJob) -> None:
    """Refuse an output folder that cannot be written before any work is done for it.

    Raises:
        OutputError: it is not empty, or something of the job is in it.
        MissingExtraError: there is to be a drawing, and matplotlib is not installed.
    """
    if job.output is None:
        return
    check_output(job.output, overwrite=job.overwrite)
    output = job.output.expanduser().resolve()
    for place in (job.queries, job.corpus, job.qrels, job.judgements, job.eval_queries):
        path = Path(place or "").expanduser()
        if not place or not os.path.exists(path):
            continue
        path = path.resolve()
        if path == output or output in path.parents:
            raise OutputError(
                f"the output folder {str(output)!r} holds an input of this run ({str(place)!r}), "
                "and an output folder is replaced as a whole. Choose a folder of its own."
            )
    if job.training is not None and job.judgements is not None:
        require_matplotlib()


def _held_out(job: CompareJob) -> HeldOut:
    """Return the held-out queries: those named, else another split of the BEIR folder."""
    if job.eval_queries is not None:
        split = job.eval_split
        return load_held_out(job.eval_queries, qrels=job.eval_qrels, split=split)
    folder = Path(job.queries).expanduser()
    if job.eval_qrels is not None:
        return load_held_out(folder, qrels=job.eval_qrels)
    if not (os.path.isdir(folder) and queries_file(folder)):
        raise QueryError(
            f"--train needs held-out queries, and {job.queries!r} is no folder in BEIR layout, "
            "which has a split of them. Give them with --eval-queries and --eval-qrels."
        )
    split = job.eval_split or held_out_split(folder, job.split)
    return load_held_out(folder, split=split)
