"""A whole mining job from files to files, as the command line runs it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from hf_hardneg.cache import cache_root
from hf_hardneg.columns import QueryColumns
from hf_hardneg.cost import Estimate
from hf_hardneg.distributed import world
from hf_hardneg.errors import OutputError, ParameterError, did_you_mean, listing
from hf_hardneg.evaluation.audit_rates import rate_by_labels
from hf_hardneg.evaluation.compare_figures import Case, corpus_of, rate_of
from hf_hardneg.evaluation.judgements import Grades, grades_in
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.foreseen import ask_first
from hf_hardneg.formats.output import OUTPUT_FORMATS
from hf_hardneg.formats.writers import WRITERS, Written
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.miner import OfflineMiner
from hf_hardneg.outputs import FILE_FORMATS, check_output, report_sidecars, write_mined
from hf_hardneg.pool_files import pool_files
from hf_hardneg.query_sources import load_queries
from hf_hardneg.rates import Rate
from hf_hardneg.report import Report
from hf_hardneg.sources import beir_corpus_file
from hf_hardneg.stages import TRACE

__all__ = ["MineJob", "dry_run_report", "estimate_job", "run_mine"]

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class MineJob:
    """What ``hf-hardneg mine`` is asked to do; the fields are its options.

    With ``judgements``, deeper ones than the known positives, ``hidden_positives``, or files of
    ``labels`` the rate of false negatives is estimated after mining, and stands in the report.

    With ``max_hours`` the work is tried for some seconds first, and refused if it is expected to
    take longer, or more memory or disk than there is.
    """

    queries: str
    output: Path | None = None
    corpus: str | None = None
    qrels: str | None = None
    split: str | None = None
    strategy: str = "bm25"
    num_negatives: int | None = None
    output_format: str = "columns"
    file_format: str = "arrow"
    settings: dict[str, Any] = field(default_factory=dict)
    underfilled: str | None = None
    seed: int = 0
    num_proc: int | None = None
    query_column: str | None = None
    positive_column: str | None = None
    positive_ids_column: str | None = None
    query_id_column: str | None = None
    cache_dir: Path | None = None
    resume: bool = False
    overwrite: bool = False
    max_hours: float | None = None
    judgements: Path | None = None
    hidden_positives: bool = False
    pool: bool = False
    labels: tuple[Path, ...] = ()

    @property
    def trainer_format(self) -> str | None:
        """The other trainer's format that is asked for, if it is one."""
        return self.output_format if self.output_format in WRITERS else None

    @property
    def columns(self) -> QueryColumns:
        """The names of the query columns."""
        return QueryColumns(
            self.query_column, self.positive_column, self.positive_ids_column, self.query_id_column
        )


def _check(job: MineJob) -> None:
    """Refuse what cannot end well before any file is read."""
    known = [*OUTPUT_FORMATS, *(name for name in WRITERS if name not in FILE_FORMATS)]
    if job.output_format not in known:
        raise ParameterError(
            f"output_format={job.output_format!r}; expected one of {listing(known, 40)}."
            f"{did_you_mean(job.output_format, known)} (A data set is saved as JSONL or Parquet by "
            "--file-format.)"
        )
    if job.trainer_format and job.file_format != "arrow":
        raise ParameterError(
            f"file_format={job.file_format!r} does not go with output_format="
            f"{job.output_format!r}, which has files of its own. Leave one of the two out."
        )
    _check_settings(job.settings)


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings that are parameters of the miner and not of a stage."""
    options = {entry.name for entry in fields(MineJob)}
    own = {"self", *inspect.signature(OfflineMiner).parameters} - {"options"}
    for name in settings:
        if name in options:
            option = "--" + name.replace("_", "-")
            raise ParameterError(
                f"{name!r} is no parameter of a stage, but an option of its own: {option}."
            )
        if name in own:
            raise ParameterError(
                f"{name!r} is no parameter of a stage. Name filters and the sampler in the "
                "strategy: --strategy bm25+denoised+random."
            )


def _check_output(job: MineJob) -> Path:
    """Return the output folder, once it is sure that nothing else of the job is in it."""
    if job.output is None:
        raise OutputError("there is no output folder: give --output, or --dry-run to only look.")
    check_output(job.output, overwrite=job.overwrite)
    output = job.output.expanduser().resolve()
    used = {
        "queries": job.queries,
        "corpus": job.corpus,
        "judgements": job.qrels,
        "cache": cache_root(job.cache_dir),
    }
    for what, place in used.items():
        path = Path(place or "").expanduser()
        # A name on the Hub is no place here; the cache may be made later.
        if not place or not (what == "cache" or os.path.exists(path)):
            continue
        path = path.resolve()
        if path == output or output in path.parents:
            raise OutputError(
                f"the output folder {str(output)!r} holds the {what} of this run ({str(place)!r}), "
                "and an output folder is replaced as a whole. Choose a folder of its own."
            )
    return job.output


def _prepared(job: MineJob) -> tuple[OfflineMiner, Dataset, list[str]]:
    """Load the queries and make the miner."""
    loaded = load_queries(job.queries, job.qrels, job.split)
    corpus, folder = job.corpus, Path(job.queries).expanduser()
    if corpus is None and os.path.isdir(folder) and beir_corpus_file(folder):
        corpus = job.queries
    miner = OfflineMiner(
        job.strategy,
        corpus=corpus,
        num_negatives=job.num_negatives,
        seed=job.seed,
        underfilled=job.underfilled,
        query_column=job.query_column,
        positive_column=job.positive_column,
        positive_ids_column=job.positive_ids_column,
        query_id_column=job.query_id_column,
        cache_dir=job.cache_dir,
        **job.settings,
    )
    return miner, loaded.rows, loaded.notes


def estimate_job(job: MineJob) -> Estimate:
    """Return what a job is expected to take.

    Raises:
        HardNegError: anything that is wrong with the input, one clear message.
    """
    _check(job)
    miner, rows, _ = _prepared(job)
    return miner.estimate(rows)


def run_mine(job: MineJob, say: Say | None = None) -> Report:
    """Mine, write, and return the report.

    Args:
        job: what to do.
        say: is told what the job is expected to take, if that is more than a minute.

    Raises:
        CostError: the job would take more than ``max_hours``, or more than this machine has.
        HardNegError: anything that is wrong with the input or the output, one clear message.
    """
    _check(job)
    output = _check_output(job)
    world().need_shared(cache_root(job.cache_dir))
    miner, rows, notes = _prepared(job)
    miner = miner.knowing(rows)
    ask_first(miner, rows, job.max_hours, say)
    form = "columns" if job.trainer_format else job.output_format
    grades = None if job.judgements is None else grades_in(job.judgements)
    labels = Labels.read_all(job.labels) if job.labels else None
    mined = miner.mine(rows, form, num_proc=job.num_proc, resume=job.resume)
    rates = list(_rates(job, miner, rows, mined, grades, labels))
    report = _with_notes(miner.report(mined, false_negatives=rates), notes)
    recipe = {**miner.recipe(), "output_format": job.output_format}

    def final_report(written: Written) -> Report:
        left_out = written.rows_in - written.rows_written
        if not left_out:
            return report
        note = f"{left_out:,} rows have no place in the format {job.output_format}: not written."
        return _with_notes(report, [note])

    beside: Mapping[str, Dataset] = {}
    if job.pool:
        pool = miner.retrieve(rows, num_proc=job.num_proc, resume=job.resume)
        beside = pool_files(miner, pool, num_proc=job.num_proc, resume=job.resume)
    everyone = world()
    if not everyone.main:  # one writes, the others wait for it
        everyone.wait()
        return report
    written = write_mined(
        mined,
        output,
        job.trainer_format or job.file_format,
        corpus=miner.corpus,
        num_negatives=miner.num_negatives,
        overwrite=job.overwrite,
        columns=job.columns,
        sidecars=lambda written: report_sidecars(final_report(written).to_json(), recipe),
        beside=beside,
    )
    everyone.wait()
    return final_report(written)


def _rates(
    job: MineJob,
    miner: OfflineMiner,
    rows: Dataset,
    mined: Dataset,
    grades: Grades | None,
    labels: Labels | None,
) -> Iterator[Rate]:
    """Yield the rates that are asked for; one that cannot be had says why, and nothing is lost."""
    wanted = {"judged": grades is not None, "hidden": job.hidden_positives}
    names = [name for name, asked in wanted.items() if asked]
    if not names and labels is None:
        return
    if TRACE not in mined.features:  # other formats may lack the ids that judgements are about
        mined = miner.mine(rows, num_proc=job.num_proc, resume=job.resume)
    if not len(mined):
        named = [*names, *(["labels"] if labels is not None else [])]
        yield from (Rate(name, None, None, None, 0, why="no row was mined") for name in named)
        return
    case = Case(
        miner, rows, MinedSet.of(mined, columns=job.columns), corpus_of(miner), grades, job.seed
    )
    for name in names:
        yield rate_of(name, case)
    if labels is not None:
        yield rate_by_labels(case.mined, labels, miner.strategy)


def _with_notes(report: Report, notes: list[str]) -> Report:
    """Return the report with more to say."""
    return replace(report, notes=[*report.notes, *notes])


def dry_run_report(job: MineJob, sample: int) -> Report:
    """Mine a sample of rows, spread evenly over the data, and write no output.

    The index of the corpus is built and kept in the cache, so that the real run finds it there.

    Raises:
        CostError: that alone would take more than ``max_hours``, or more than this machine has.
    """
    _check(job)
    miner, rows, notes = _prepared(job)
    size = min(sample, len(rows))
    picked = rows.select([place * len(rows) // size for place in range(size)] if size else [])
    known = miner.knowing(rows)
    ask_first(known, picked, job.max_hours)
    grades = None if job.judgements is None else grades_in(job.judgements)
    labels = Labels.read_all(job.labels) if job.labels else None
    mined = known.mine(picked, "columns", num_proc=job.num_proc)
    rates = list(_rates(job, known, picked, mined, grades, labels))
    report = known.report(mined, false_negatives=rates)
    if size < len(rows):
        notes = [*notes, f"a sample of {size:,} of {len(rows):,} rows."]
    return _with_notes(report, notes)
