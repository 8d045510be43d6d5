"""``Dataset.map`` in parts that are kept as they are finished, so that a killed run resumes."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from datasets import Dataset, Features, concatenate_datasets
from datasets.fingerprint import Hasher

from hf_hardneg.cache import content_hash, explain_os_error
from hf_hardneg.distributed import world
from hf_hardneg.errors import HardNegError

__all__ = ["BatchStage", "Step", "finished", "map_steps"]

PART_ROWS = 50_000
MAPPING_VERSION = 2
DONE = "complete"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class BatchStage(Protocol):
    """A function of Arrow tables with a stable pickle: its hash names the kept parts."""

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the table with which the batch is replaced."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One map of a chain.

    Attributes:
        stage: Arrow table in, Arrow table out.
        features: columns of the output.
        title: shown on the progress bar.
        batch_size: rows in a call of the stage; no influence on the result.
        wanted: whether the caller wants the result. The parts of the others are closed as soon
            as the next step has read them, so that they take no memory.
    """

    stage: BatchStage
    features: Features
    title: str
    batch_size: int
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class _Kept:
    """Where a step keeps its parts, and the key of its result."""

    key: str
    folder: Path


def map_steps(
    rows: Dataset,
    steps: Sequence[Step],
    *,
    home: Path,
    num_proc: int | None,
    resume: bool,
    part_rows: int | None = None,
) -> list[Dataset]:
    """Map a chain of steps over ``rows``, part by part, each part kept on disk when it is done.

    A step's result has a key, a hash of the rows, the steps before it, its own recipe and its
    columns; it is the fingerprint of the result, and finished parts are found again by it.

    Args:
        rows: the input.
        steps: the chain.
        home: folder of all maps.
        num_proc: worker processes, as in ``Dataset.map``; no influence on the result.
        resume: use the finished parts of an interrupted run; without it they are made anew.
        part_rows: rows in a part for each process; what a kill can lose. Default: ``PART_ROWS``.

    Returns:
        The results of the steps that are wanted, in their order.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    everyone, size = world(), _part_size(rows, num_proc, part_rows)
    if everyone.main:
        _sweep(rows, steps, home, size, resume=resume)
    everyone.wait()
    kept = _places(rows, steps, home, size)
    numbers = range(-(-max(len(rows), 1) // size))
    parts: list[list[Dataset]] = [[] for _ in steps]
    try:
        if everyone.size > 1:  # each makes its own parts, and then finds all of them made
            for number in filter(everyone.mine, numbers):
                _map_chain(rows, steps, kept, number, len(numbers), size, num_proc)
            everyone.wait()
        for number in numbers:
            made = _map_chain(rows, steps, kept, number, len(numbers), size, num_proc)
            for place, part in enumerate(made):
                if part is not None:
                    parts[place].append(part)
        for entry in kept:
            (entry.folder / DONE).touch()
    except Exception as error:
        reason = _writing_error(error)
        if reason is None:
            raise
        raise explain_os_error(reason, home) from error
    return [
        _whole(parts[place], kept[place].key) for place, step in enumerate(steps) if step.wanted
    ]


def finished(rows: Dataset, steps: Sequence[Step], *, home: Path, num_proc: int | None) -> bool:
    """Return whether :meth:`map_steps` would find everything made already."""
    places = _places(rows, steps, home, _part_size(rows, num_proc, None))
    return all((kept.folder / DONE).exists() for kept in places)


def _part_size(rows: Dataset, num_proc: int | None, part_rows: int | None) -> int:
    """Return the number of rows in a part."""
    size, processes = (part_rows or PART_ROWS) * max(num_proc or 1, 1), world().size
    if processes > 1:  # so that each process has a part
        size = max(min(size, -(-len(rows) // processes)), 1)
    return size


def _writing_error(error: BaseException) -> OSError | None:
    """Return the error of the operating system that stopped the writing, if one did.

    On a full disk ``datasets`` fails a second time while it closes its file, and that error is
    the one that arrives here. What a stage raises itself says more, and stays as it is.
    """
    if isinstance(error, HardNegError | ConnectionError | TimeoutError):
        return None
    if isinstance(error, OSError):
        return error
    before = error.__context__
    while before is not None:
        if isinstance(before, OSError) and before.errno in NO_SPACE:
            return before
        before = before.__context__
    return None


def _places(rows: Dataset, steps: Sequence[Step], home: Path, size: int) -> list[_Kept]:
    """Return where each step keeps its parts."""
    key = str(rows._fingerprint)
    places = []
    for step in steps:
        # The columns too: another version of the same stage may write others.
        columns = str(step.features.arrow_schema)
        key = content_hash(MAPPING_VERSION, key, Hasher.hash(step.stage), columns)
        folder = home / f"{key}-{size}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, folder) from error
        places.append(_Kept(key, folder))
    return places


def _sweep(rows: Dataset, steps: Sequence[Step], home: Path, size: int, *, resume: bool) -> None:
    """Remove the parts of unfinished runs, unless they are to be used."""
    for kept in [] if resume else _places(rows, steps, home, size):
        if not (kept.folder / DONE).exists():
            shutil.rmtree(kept.folder, ignore_errors=True)


def _map_chain(
    rows: Dataset,
    steps: Sequence[Step],
    kept: Sequence[_Kept],
    number: int,
    parts: int,
    size: int,
    num_proc: int | None,
) -> list[Dataset | None]:
    """Return what each step makes of one part of the rows, ``None`` for what is not wanted."""
    start = number * size
    part = rows.with_format("arrow").select(range(start, min(start + size, len(rows))))
    count = f" {number + 1}/{parts}" if parts > 1 else ""
    made: list[Dataset | None] = []
    for place, step in enumerate(steps):
        part = _map_part(part, step, kept[place], number, count, num_proc)
        made.append(part if step.wanted else None)
    return made


def _map_part(
    part: Dataset, step: Step, kept: _Kept, number: int, count: str, num_proc: int | None
) -> Dataset:
    if not len(part):  # ``Dataset.map`` would leave the columns as they are
        return Dataset(
            step.features.arrow_schema.empty_table(), fingerprint=f"{kept.key}-{number}"
        ).with_format("arrow")
    workers = min(num_proc or 1, len(part))
    return part.map(
        step.stage,
        batched=True,
        batch_size=step.batch_size,
        writer_batch_size=step.batch_size,
        features=step.features,
        remove_columns=part.column_names,
        cache_file_name=str(kept.folder / f"part-{number:05d}.arrow"),
        load_from_cache_file=True,
        new_fingerprint=f"{kept.key}-{number}",
        num_proc=workers if workers > 1 else None,
        desc=step.title + count,
    )


def _whole(parts: list[Dataset], key: str) -> Dataset:
    """Join the parts under a fingerprint that does not depend on how they were cut."""
    whole = concatenate_datasets(parts) if len(parts) > 1 else parts[0]
    whole = whole.with_format(None)
    whole._fingerprint = key
    return whole
