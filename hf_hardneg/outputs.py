"""Writing a mined set to a folder, whole or not at all."""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from filelock import FileLock

from hf_hardneg.arrow import flat_list
from hf_hardneg.cache import explain_os_error, staging_folder
from hf_hardneg.candidates import NO_ROW
from hf_hardneg.columns import QueryColumns, find_columns, read_batch
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ColumnError, FormatError, OutputError, did_you_mean, listing
from hf_hardneg.formats.mined_row import Document, MinedRow
from hf_hardneg.formats.output import made_query_id
from hf_hardneg.formats.writers import WRITERS, Written, find_writer, write_rows
from hf_hardneg.queries import to_queries
from hf_hardneg.stages import POSITIVE_SCORES, SCORES

__all__ = [
    "DOCUMENTS",
    "FILE_FORMATS",
    "POOL",
    "RECIPE",
    "SIDECARS",
    "check_file",
    "check_output",
    "mined_rows",
    "output_folder",
    "report_sidecars",
    "strategy_beside",
    "write_file",
    "write_mined",
]

FILE_FORMATS = ("arrow", "parquet", "jsonl")
"""Formats of a data set as it is; the others are those of other trainers."""

SIDECARS = "hardneg"
RECIPE = f"{SIDECARS}/recipe.json"
"""Where a mined set says how it was made."""
POOL, DOCUMENTS = "pool.parquet", "documents.parquet"
"""Beside it, where they were asked for: its candidates, and the documents that these are."""

READ_BATCH = 1_000
LOCK = ".hf-hardneg.lock"


@contextmanager
def output_folder(folder: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give a staging folder that becomes ``folder`` when the block ends well.

    Until then an old folder of that name is untouched. With ``overwrite`` it is put aside first
    and removed last, so that a kill at any moment leaves the old or the new result; what a killed
    run left is removed by the next one.

    Raises:
        OutputError: the folder is there and not empty, is a file, or cannot be written.
    """
    final = _place(folder)
    check_output(final, overwrite=overwrite)
    with staging_folder(final.parent, final.name) as scratch, FileLock(scratch / LOCK):
        _sweep(final)
        staging = scratch / "new"
        staging.mkdir()
        try:
            yield staging
            _replace(final, staging, scratch)
        finally:
            _clear(scratch)


def _place(folder: str | os.PathLike[str]) -> Path:
    """Return the absolute path of an output folder; behind a link it is the link's target."""
    try:
        return Path(folder).expanduser().resolve()
    except (OSError, RuntimeError) as error:  # a loop of links, or no such user's home
        raise OutputError(f"{str(folder)!r} is no place for an output folder: {error}.") from error


def _aside(final: Path) -> Path:
    """Return where the old result is between the two renames of :func:`_replace`."""
    return final.with_name(f".{final.name}.replaced")


def _replace(final: Path, staging: Path, scratch: Path) -> None:
    """Put the new result into the place of the old one, which goes with ``scratch``.

    The old one is moved before it is removed: half of it must never be taken for a result.
    """
    aside = _aside(final)
    try:
        if aside.exists():
            os.rename(aside, scratch / "older")
        if final.exists():
            os.rename(final, aside)
        os.rename(staging, final)
        if aside.exists():
            os.rename(aside, scratch / "old")
    except OSError as error:
        _restore(final)
        raise explain_os_error(error, final) from error


def _restore(final: Path) -> None:
    """Put the old result back where a run was killed between its two renames."""
    aside = _aside(final)
    if not aside.exists() or final.exists():
        return
    try:
        os.rename(aside, final)
    except OSError as error:
        raise explain_os_error(error, final) from error


def _clear(scratch: Path) -> None:
    """Remove what is in a staging folder; the lock goes last, so that the rest is found again."""
    for entry in scratch.iterdir():
        if entry.name != LOCK:
            shutil.rmtree(entry, ignore_errors=True)


def _sweep(final: Path) -> None:
    """Remove the staging folders of killed runs; those of runs that live are locked."""
    for left in final.parent.glob(f".{glob.escape(final.name)}.????????"):
        if not (left / LOCK).is_file():
            continue
        try:
            with FileLock(left / LOCK, timeout=0):
                _clear(left)
        except OSError:  # locked, or another user's
            continue
        shutil.rmtree(left, ignore_errors=True)


def check_output(folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Refuse an output folder before any work is done for it.

    If a run was killed while it replaced the folder, the old result is put back first.

    Raises:
        OutputError: it is there and not empty, is a file, or is the current folder.
    """
    final = _place(folder)
    _restore(final)
    if final == Path.cwd() or final in Path.cwd().parents:
        raise OutputError(
            f"the output folder {str(final)!r} is the current folder or one above it, and would "
            "be replaced as a whole. Choose a folder of its own."
        )
    if final.is_dir():
        if any(final.iterdir()) and not overwrite:
            raise OutputError(
                f"the output folder {str(final)!r} exists and is not empty. Choose another, or "
                "replace it with --overwrite (overwrite=True)."
            )
    elif final.exists():
        raise OutputError(f"{str(final)!r} is a file; the output is a folder. Choose another name.")


def check_file(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Refuse an output file before any work is done for it.

    Raises:
        OutputError: it is there, or is a folder.
    """
    final = _place(path)
    if final.is_dir():
        raise OutputError(f"{str(final)!r} is a folder; the output is a file. Choose another name.")
    if final.exists() and not overwrite:
        raise OutputError(
            f"the output file {str(final)!r} exists. Choose another, or replace it with "
            "--overwrite (overwrite=True)."
        )


def write_file(path: str | os.PathLike[str], text: str, *, overwrite: bool = False) -> None:
    """Write a text file, whole or not at all.

    Raises:
        OutputError: it is there, is a folder, or cannot be written.
    """
    check_file(path, overwrite=overwrite)
    final = _place(path)
    with staging_folder(final.parent, final.name) as staging:
        (staging / "text").write_text(text, encoding="utf-8", newline="\n")
        os.replace(staging / "text", final)


def write_mined(
    mined: Dataset,
    folder: str | os.PathLike[str],
    format: str = "arrow",
    *,
    corpus: Any = None,  # noqa: ANN401
    num_negatives: int | None = None,
    overwrite: bool = False,
    columns: QueryColumns | None = None,
    sidecars: Callable[[Written], Mapping[str, str]] | None = None,
    beside: Mapping[str, Dataset] | None = None,
) -> Written:
    """Write a mined set into a folder.

    Args:
        mined: what :meth:`OfflineMiner.mine` returned; for the formats of other trainers with
            ``output_format="columns"``, which has ids and scores.
        folder: must not exist, or be empty.
        format: ``arrow`` (opened again by ``load_from_disk``), ``parquet``, ``jsonl``, or one of
            ``flagembedding``, ``tevatron``, ``tevatron-ids``, ``colbert``, ``pylate``,
            ``pylate-contrastive``, ``beir``, ``trec``.
        corpus: the documents; needed by the formats of other trainers.
        num_negatives: width of the files that have a fixed one.
        overwrite: replace the folder if it is there.
        columns: names of the query columns, if they are not the usual ones.
        sidecars: makes further files, name -> text, that are put into ``hardneg/``.
        beside: further data sets, name -> rows, that are put there as Parquet.

    Returns:
        The files and how many rows were written or left out.

    Raises:
        OutputError: the folder is there and not empty, or the disk is full.
        FormatError: an unknown format, or rows that it cannot hold.
    """
    if format not in FILE_FORMATS and format not in WRITERS:
        known = [*FILE_FORMATS, *(name for name in WRITERS if name not in FILE_FORMATS)]
        raise FormatError(
            f"unknown format {format!r}.{did_you_mean(format, known)} Known: {listing(known)}."
        )
    with output_folder(folder, overwrite=overwrite) as staging:
        if format in FILE_FORMATS or "hard_negatives" not in mined.column_names:
            written = _write_data_set(mined, staging, format)
        else:
            written = _write_rows(mined, staging, format, corpus, num_negatives, columns)
        for name, text in (sidecars(written) if sidecars else {}).items():
            (staging / SIDECARS).mkdir(exist_ok=True)
            (staging / SIDECARS / name).write_text(text, encoding="utf-8")
        for name, rows in (beside or {}).items():
            (staging / SIDECARS).mkdir(exist_ok=True)
            rows.to_parquet(str(staging / SIDECARS / name))
        files = [Path(folder) / path.relative_to(staging) for path in written.files]
    return replace(written, files=files)


def _write_data_set(mined: Dataset, staging: Path, form: str) -> Written:
    """Save the data set as it is."""
    if form not in FILE_FORMATS:
        raise FormatError(
            f"the format {form!r} needs ids and scores, and this set has only "
            f"{listing(mined.column_names)}. Mine with output_format='columns'."
        )
    if form == "arrow":
        mined.save_to_disk(str(staging))
    elif form == "parquet":
        mined.to_parquet(str(staging / "train.parquet"))
    else:
        mined.to_json(str(staging / "train.jsonl"), lines=True, force_ascii=False)
    files = sorted(path for path in staging.rglob("*") if path.is_file())
    return Written(files, len(mined), len(mined), 0)


def _write_rows(
    mined: Dataset,
    staging: Path,
    form: str,
    corpus: Any,  # noqa: ANN401
    num_negatives: int | None,
    columns: QueryColumns | None,
) -> Written:
    """Write rows one by one in the format of another trainer."""
    writer = find_writer(form)
    if corpus is None:
        raise FormatError(f"the format {form!r} needs the documents' ids: give corpus=...")
    documents = Corpus.of(corpus)
    names = columns or QueryColumns()
    return write_rows(
        mined_rows(_grouped(mined, names), documents, names),
        staging,
        form,
        _documents(documents) if writer.needs_corpus else None,
        num_negatives=num_negatives,
    )


def _documents(corpus: Corpus) -> Iterator[Document]:
    for start in range(0, len(corpus), READ_BATCH):
        rows = range(start, min(start + READ_BATCH, len(corpus)))
        yield from map(Document, corpus.ids(rows), corpus.texts(rows))


def _query_ids(mined: Dataset, columns: QueryColumns) -> list[str]:
    """Return the user's ids of the queries, or ids made of their texts."""
    found = find_columns(mined.column_names, columns)
    if found.query_id is not None:
        return [str(value) for value in mined[found.query_id]]
    return [made_query_id(text) for text in mined[str(found.query)]]


def _grouped(mined: Dataset, columns: QueryColumns) -> Dataset:
    """Put the rows of a query beside each other, queries in the order of their first row."""
    ids = _query_ids(mined, columns)
    first = {identity: place for place, identity in reversed(list(enumerate(ids)))}
    order = np.argsort([first[identity] for identity in ids], kind="stable")
    if (order == np.arange(len(order))).all():
        return mined
    return mined.select(order.tolist())


def _scores(values: pa.Array) -> list[float | None]:
    """Return float32 scores as the shortest numbers that stand for them."""
    return [
        None if value is None else float(str(np.float32(value))) for value in values.to_pylist()
    ]


def mined_rows(mined: Dataset, corpus: Corpus, columns: QueryColumns) -> Iterator[MinedRow]:
    """Yield the rows of a set mined with ``output_format="columns"``, texts, ids and scores.

    Args:
        mined: the mined set.
        corpus: the documents that its ids belong to.
        columns: names of the query columns.

    Raises:
        ColumnError: the set lacks the columns that mining adds.
    """
    needed = ("hard_negatives", "hard_negative_ids", SCORES, POSITIVE_SCORES)
    missing = [name for name in needed if name not in mined.column_names]
    if missing:
        raise ColumnError(
            f"the set lacks {listing(missing)}; it has {listing(mined.column_names)}. Mine with "
            "output_format='columns'."
        )
    found = find_columns(mined.column_names, columns)
    for table in mined.with_format("arrow").iter(READ_BATCH):
        yield from _rows_of(table, corpus, found)


def _rows_of(table: pa.Table, corpus: Corpus, found: QueryColumns) -> Iterator[MinedRow]:
    raw = read_batch(table, found)
    queries = to_queries(raw, corpus, None, keys=False)
    known = queries.positive_rows != NO_ROW
    ids = np.full(len(known), "", dtype=object)
    ids[known] = corpus.ids(queries.positive_rows[known])
    texts = list(queries.positive_texts) or corpus.texts(queries.positive_rows)
    names = raw.query_ids or [made_query_id(text) for text in raw.queries]
    offsets, scores = flat_list(table[SCORES])
    flat, positive_scores = _scores(scores), _scores(flat_list(table[POSITIVE_SCORES])[1])
    negatives, negative_ids = (
        table[name].to_pylist() for name in ("hard_negatives", "hard_negative_ids")
    )
    for line, text in enumerate(raw.queries):
        own = slice(int(queries.offsets[line]), int(queries.offsets[line + 1]))
        yield MinedRow(
            names[line],
            text,
            ids[own].tolist(),
            texts[own],
            positive_scores[own],
            negative_ids[line],
            negatives[line],
            flat[offsets[line] : offsets[line + 1]],
        )


def report_sidecars(report_json: str, recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return the files that stand beside a mined set: its report and its recipe."""
    return {
        "report.json": report_json + "\n",
        "recipe.json": json.dumps(recipe, indent=1, sort_keys=True, ensure_ascii=False) + "\n",
    }


def strategy_beside(data: str | os.PathLike[str]) -> str:
    """Return the strategy that ``hf-hardneg mine`` noted beside a set; empty where it did not.

    Args:
        data: the folder that it wrote, or a file in it.
    """
    place = Path(data).expanduser()
    folder = place if place.is_dir() else place.parent
    path = folder / SIDECARS / "report.json"
    if not (place.exists() and path.is_file()):
        return ""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    found = found.get("report", found) if isinstance(found, dict) else {}
    return str(found.get("strategy", "")) if isinstance(found, dict) else ""
