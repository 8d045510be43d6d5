"""Opening a mined set to be looked at: any format, with its pool and report where it has them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset

from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import FormatError, HardNegError, PoolError
from hf_hardneg.inspection.places import Parts, parts_of
from hf_hardneg.inspection.pool_fit import pool_fit
from hf_hardneg.inspection.pool_rows import PoolRows
from hf_hardneg.inspection.row_views import row_view
from hf_hardneg.inspection.views import RowView
from hf_hardneg.mined_files import open_file, text_lookup
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.mined_sources import MinedColumns, load_mined
from hf_hardneg.query_sources import one_split, saved_rows
from hf_hardneg.report import Report

__all__ = ["InspectedSet", "open_inspected"]


@dataclass(frozen=True, slots=True)
class InspectedSet:
    """A mined set that is looked at.

    Attributes:
        name: what it is called; the last part of a path, the whole name of a set on the Hub.
        mined: its rows.
        pool: candidates and outcomes of its queries; ``None`` where it has none.
        corpus: documents by id; ``None`` where they are not known.
        report: what the mining reported; ``None`` where it wrote nothing.
        recipe: how it was mined, as it was written down; empty where it was not.
        config: of a published set, the config that is shown.
        configs: those that could be shown.
        notes: what a reader should know of how it was read.
    """

    name: str
    mined: MinedSet
    pool: PoolRows | None = None
    corpus: Corpus | None = None
    report: Report | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    config: str = ""
    configs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.mined)

    @property
    def strategy(self) -> str:
        """The strategy string; empty where it is not known."""
        if self.report is not None:
            return self.report.strategy
        mining = self.recipe.get("mining", self.recipe)
        return str(mining.get("strategy", "")) if isinstance(mining, Mapping) else ""

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that may take a candidate out, in their order."""
        return () if self.report is None else tuple(one.stage for one in self.report.stages)

    @property
    def asked(self) -> int | None:
        """How many negatives a row was to have; ``None`` where it is not known."""
        if self.mined.one_negative_a_row:
            return 1  # a triplet, whatever was asked for a query
        return None if self.report is None else self.report.num_negatives

    def row(self, number: int) -> RowView:
        """Return one row with its documents.

        Args:
            number: of the row, from 0.

        Raises:
            FormatError: there is no such row.
        """
        if not 0 <= number < len(self):
            raise FormatError(
                f"{self.name} has no row {number:,}; expected one from 0 to {len(self) - 1:,}."
            )
        return row_view(number, self.mined.at(number), self.pool, self.corpus, self.stages)


def open_inspected(
    data: str | os.PathLike[str] | Dataset | MinedSet,
    *,
    config: str | None = None,
    corpus: object = None,
    queries: object = None,
    pool: str | os.PathLike[str] | Dataset | None = None,
    split: str | None = None,
    columns: MinedColumns | None = None,
    name: str = "",
) -> InspectedSet:
    """Open a mined set.

    Texts are read from disk as they are asked for. The first time, files are copied into the
    cache in a form that can be read at any place; then opening takes no time.

    Args:
        data: a folder of ``hf-hardneg run`` or ``hf-hardneg mine``, or whatever
            :func:`hf_hardneg.mined_sources.load_mined` takes. (A set on the Hub that
            ``hf-hardneg run`` published is opened with its pool by
            :func:`hf_hardneg.inspection.remote.open_from_hub`.)
        config: of a published set, the config to show; default: ``ids`` with its texts, else the
            first there is.
        corpus: the documents, where they are not beside the rows.
        queries: the queries' texts, for rows with their ids alone.
        pool: candidates and outcomes, where they are not beside the rows: a Parquet file, a folder
            of ``save_to_disk``, or a Dataset.
        split: of a data set that has several.
        columns: names of the columns, where they are unusual.
        name: what to call it; default: the last part of its path.

    Raises:
        FormatError: there is no such set, its form is not known, or it is damaged.
        ColumnError: its columns are those of no known layout.
        PoolError: the pool is none, or that of another set.
    """
    parts = Parts()
    shown = name or "the data set"
    if isinstance(data, str | os.PathLike):
        path = Path(data).expanduser()
        shown = name or (path.resolve().name if os.path.exists(path) else str(data))
        if os.path.isdir(path):
            parts = parts_of(path, config)
        elif config:
            raise FormatError(
                f"{shown!r} is a file or not there, so it has no config {config!r}. Leave it out."
            )
    documents = _documents(parts, corpus)
    mined = _rows(data, parts, documents, corpus, queries, split, columns)
    found, said = _fitting(mined, _pool(parts, pool), given=pool is not None)
    notes = [*mined.notes, *said, *_lacking(found, documents or mined.corpus)]
    return InspectedSet(
        shown, mined, found, documents or mined.corpus, _report(parts, shown), parts.recipe,
        parts.config, parts.configs, tuple(notes),
    )  # fmt: skip


def _documents(parts: Parts, corpus: object) -> Corpus | None:
    if corpus is not None:
        return text_lookup(corpus)
    return text_lookup(open_file(parts.corpus)) if parts.corpus else None


def _rows(
    data: Any,  # noqa: ANN401
    parts: Parts,
    documents: Corpus | None,
    corpus: object,
    queries: object,
    split: str | None,
    columns: MinedColumns | None,
) -> MinedSet:
    if parts.numbered and parts.corpus and corpus is None:
        # The numbers that the rows have in place of ids are not ids of the pool and its documents.
        own = load_mined(data, queries=queries, split=split, columns=columns).by_text()
        return own if documents is None else own.joined(documents)
    if not parts.rows:
        return load_mined(data, corpus=_needed(data, documents), queries=queries, split=split,
                          columns=columns)  # fmt: skip
    if queries is None and parts.queries:
        queries = open_file(parts.queries)
    return load_mined(open_file(parts.rows), corpus=documents, queries=queries, columns=columns)


def _needed(data: Any, documents: Corpus | None) -> Corpus | None:  # noqa: ANN401
    """Return the documents where the rows can use them."""
    return None if isinstance(data, MinedSet) else documents


def _pool(parts: Parts, pool: str | os.PathLike[str] | Dataset | None) -> PoolRows | None:
    if isinstance(pool, Dataset):
        return PoolRows(pool)
    if pool is not None:
        path = Path(pool).expanduser()
        if os.path.isdir(path):
            return PoolRows(one_split(saved_rows(path), None, path.name), path.name)
        if not path.is_file():
            raise FormatError(f"there is no pool {str(pool)!r}; expected a file or a folder.")
        return PoolRows(open_file([path]), path.name)
    return PoolRows(open_file(parts.pool)) if parts.pool else None


def _fitting(
    mined: MinedSet, pool: PoolRows | None, *, given: bool
) -> tuple[PoolRows | None, list[str]]:
    """Return the pool if it may be that of the set, and what to say of it."""
    if pool is None:
        return None, []
    fit = pool_fit(mined, pool)
    if not fit.problem:
        return pool, list(fit.notes())
    said = f"{pool.name} is not that of the set: {fit.problem}."
    if given:
        raise PoolError(f"{said} Give the pool that the set was mined from.")
    return None, [f"{said} It is not shown."]


def _report(parts: Parts, name: str) -> Report | None:
    if parts.report is None:
        return None
    try:
        return Report.from_dict(parts.report)
    except (TypeError, KeyError, ValueError, AttributeError, HardNegError) as error:
        raise FormatError(
            f"the report of {name} (hardneg/report.json) is not one of this version of hf-hardneg: "
            f"{error}. Mine again, or move it away: without it the rows are shown alone."
        ) from error


def _lacking(pool: PoolRows | None, documents: Corpus | None) -> Sequence[str]:
    if pool is None:
        return [
            "The set has no pool, so candidates that were rejected cannot be shown. hf-hardneg run "
            "publishes one (outputs: [..., pool]), hf-hardneg mine --pool writes one."
        ]
    if documents is None:
        return ["The documents are not known, so candidates of the pool are shown by their ids."]
    return []
