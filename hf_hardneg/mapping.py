"""``Dataset.map`` in parts that are kept as they are finished, so that a killed run resumes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from datasets import Dataset, Features, concatenate_datasets
from datasets.fingerprint import Hasher

from hf_hardneg.cache import content_hash, explain_os_error

__all__ = ["BatchStage", "map_in_parts"]

PART_ROWS = 50_000
MAPPING_VERSION = 1


class BatchStage(Protocol):
    """A function of Arrow tables with a stable pickle: its hash names the kept parts."""

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the table with which the batch is replaced."""
        ...


def map_in_parts(
    rows: Dataset,
    stage: BatchStage,
    features: Features,
    *,
    home: Path,
    title: str,
    batch_size: int,
    num_proc: int | None,
    resume: bool,
    part_rows: int = PART_ROWS,
) -> Dataset:
    """Map ``stage`` over ``rows`` in parts, each kept on disk as soon as it is done.

    A finished map is found again by its key, a hash of the rows and the stage. With ``resume``
    the finished parts of an interrupted map are used; without it they are made anew.

    Args:
        rows: the input.
        stage: Arrow table in, Arrow table out.
        features: of the output.
        home: folder of all maps.
        title: shown on the progress bar.
        batch_size: rows in a call of the stage; no influence on the result.
        num_proc: worker processes, as in ``Dataset.map``.
        resume: use the finished parts of an interrupted map.
        part_rows: rows in a part; what a kill can lose.
    """
    key = content_hash(MAPPING_VERSION, rows._fingerprint, Hasher.hash(stage), part_rows)
    folder, done = home / key, home / key / "complete"
    if folder.exists() and not done.exists() and not resume:
        shutil.rmtree(folder, ignore_errors=True)
    table = rows.with_format("arrow")
    starts = range(0, max(len(rows), 1), part_rows)
    parts = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, start in enumerate(starts):
            part = table.select(range(start, min(start + part_rows, len(rows))))
            label = title if len(starts) == 1 else f"{title} ({number + 1} of {len(starts)})"
            parts.append(
                part.map(
                    stage,
                    batched=True,
                    batch_size=batch_size,
                    features=features,
                    remove_columns=rows.column_names,
                    cache_file_name=str(folder / f"part-{number:05d}.arrow"),
                    load_from_cache_file=True,
                    new_fingerprint=f"{key}-{number}",
                    num_proc=_workers(num_proc, len(part)),
                    desc=label,
                )
            )
        done.touch()
    except OSError as error:
        raise explain_os_error(error, folder) from error
    whole = concatenate_datasets(parts) if len(parts) > 1 else parts[0]
    whole = whole.with_format(None)
    # The formats of the parts make the fingerprint of their concatenation; the key says more.
    whole._fingerprint = key
    return whole


def _workers(num_proc: int | None, rows: int) -> int | None:
    """Return no more workers than rows, and none for a single one."""
    workers = min(num_proc or 1, max(rows, 1))
    return workers if workers > 1 else None
