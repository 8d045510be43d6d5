"""The steps of mining as functions of Arrow tables, ready for ``Dataset.map``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Features, List, Value
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list, list_array, nullable_floats, padded, ragged
from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.columns import (
    QueryColumns,
    find_columns,
    read_batch,
    read_further,
    refuse_missing,
)
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import UnderfilledError
from hf_hardneg.formats.output import Chosen, OutputFormat
from hf_hardneg.pool import POOL_FEATURES, SOURCE_RANKS, candidates_of, pool_columns
from hf_hardneg.positives import KnownPositives
from hf_hardneg.queries import to_queries
from hf_hardneg.random_fill import fill
from hf_hardneg.retrievers.base import Retriever
from hf_hardneg.selection import Rules, chosen_rows, select, trace_names
from hf_hardneg.single_positives import by_positive, one_positive_a_row

__all__ = [
    "OWN_COLUMNS", "UNDERFILLED", "DecideStage", "QueryBatches", "Reader", "RetrieveStage",
    "TimedStage", "WriteStage", "decision_features",
    "rejected",
]  # fmt: skip

UNDERFILLED = ("keep", "drop", "error", "fill")
TRACE = "hard_negative_trace"
ROWS = "hard_negative_rows"
SCORES = "hard_negative_scores"
RANKS = "hard_negative_ranks"
POSITIVE_SCORES = "hard_negative_positive_scores"
FILLED = "hard_negative_filled"
STRATA = "hard_negative_strata"
FLAGS = "hard_negative_flags"
PROMOTED_ROWS = "promoted_rows"
OWN_COLUMNS = frozenset(
    {"hard_negatives", "hard_negative_ids", TRACE, ROWS, SCORES, RANKS, POSITIVE_SCORES, FILLED,
     STRATA, FLAGS, PROMOTED_ROWS, "promoted_ids", *POOL_FEATURES, *SOURCE_RANKS}
)  # fmt: skip
"""Columns that mining writes. Those of an earlier mining are replaced, never mixed."""

TRACE_FEATURE = List({"stage": Value("string"), "slots": Value("int32")})


class Stopwatch:
    """Seconds by stage, of this process alone; no part of any recipe."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def __call__(self, name: str, seconds: float) -> None:
        self.seconds[name] += seconds  # type: ignore[assignment]


@dataclass(frozen=True)
class Reader:
    """Turns batches into queries; what every step shares.

    Attributes:
        columns: names of the columns, as the user gave them.
        corpus: the documents.
        known: positives of all rows, ``None`` where they are not known.
        further: further columns that stages read, with the name of the stage.
    """

    columns: QueryColumns
    corpus: Corpus
    known: KnownPositives | None
    further: Mapping[str, str] = field(default_factory=dict)

    @property
    def bare(self) -> Reader:
        """The same without what only a decision needs: it changes neither a pool nor a format."""
        return replace(self, known=None, further={})

    def queries(self, table: pa.Table, *, keys: bool = True, find: bool = True) -> Queries:
        """Read and resolve one batch; see :func:`~hf_hardneg.queries.to_queries`."""
        raw = read_batch(table, find_columns(table.column_names, self.columns))
        refuse_missing(table.column_names, self.further)
        further = {name: read_further(table, name) for name in self.further}
        return to_queries(raw, self.corpus, self.known, keys=keys, find=find, further=further)


@dataclass(frozen=True)
class QueryBatches:
    """All queries of a data set, batch by batch, as often as they are asked for.

    Attributes:
        reader: reads the batches.
        rows: the data set.
        size: rows in a batch.
        keys: whether the queries' keys are needed.
    """

    reader: Reader
    rows: Dataset
    size: int
    keys: bool

    def __iter__(self) -> Iterator[Queries]:
        for table in self.rows.with_format("arrow").iter(self.size):
            yield self.reader.queries(without(table, OWN_COLUMNS), keys=self.keys)


def without(table: pa.Table, names: frozenset[str]) -> pa.Table:
    """Return the table without those of ``names`` that it has."""
    return table.select([name for name in table.column_names if name not in names])


def _with_columns(table: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table


class TimedStage:
    """A step that is pickled and hashed by its recipe; its stopwatch stays behind."""

    def __init__(self) -> None:
        self.stopwatch = Stopwatch()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "stopwatch"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.stopwatch = Stopwatch()


class RetrieveStage(TimedStage):
    """Adds the pool columns.

    Args:
        reader: reads the batches.
        retriever: finds the candidates.
    """

    def __init__(self, reader: Reader, retriever: Retriever) -> None:
        """Keep the recipe."""
        super().__init__()
        # Known positives do not change what is retrieved: another set of rows, same pool.
        self._reader = reader.bare
        self._retriever = retriever

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the batch with its candidates."""
        table = without(table, OWN_COLUMNS)
        started = time.perf_counter()
        queries = self._reader.queries(table, keys=self._retriever.reads_keys)
        self.stopwatch("read", time.perf_counter() - started)
        started = time.perf_counter()
        candidates = self._retriever.retrieve(queries)
        self.stopwatch(self._retriever.name, time.perf_counter() - started)
        return _with_columns(table, pool_columns(queries, candidates))


class DecideStage(TimedStage):
    """Replaces the pool columns by the chosen rows, their scores, and the trace.

    Args:
        reader: reads the batches.
        rules: how candidates become negatives.
        underfilled: what happens to a row with fewer than n negatives.
        source_names: names of the retrievers of the pool.
    """

    def __init__(
        self, reader: Reader, rules: Rules, underfilled: str, source_names: tuple[str, ...]
    ) -> None:
        """Keep the recipe."""
        super().__init__()
        self._reader, self._rules = reader, rules
        self._underfilled, self._source_names = underfilled, source_names

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the batch with its negatives."""
        started = time.perf_counter()
        if by_positive(self._rules):
            table = one_positive_a_row(table, self._reader.columns)
        queries = self._reader.queries(table)
        candidates = candidates_of(table, queries, self._reader.corpus, self._source_names)
        self.stopwatch("read", time.perf_counter() - started)
        corpus = self._reader.corpus
        chosen = select(queries, candidates, self._rules, corpus, self.stopwatch)
        rows = chosen_rows(candidates, chosen.slots)
        slots = np.maximum(chosen.slots, 0)
        scores = np.take_along_axis(candidates.scores, slots, axis=1)
        ranks = np.take_along_axis(candidates.ranks, slots, axis=1)
        marks, strata = chosen.filled, chosen.strata
        dropped = dropped_rows(chosen.flags, self._rules)
        if self._underfilled == "error":
            _refuse_short(queries, rows, self._rules.n, dropped)
        if self._underfilled == "fill":
            before = rows != NO_ROW
            scores = np.where(before, scores, np.float32(np.nan))
            ranks = np.where(before, ranks, np.int32(0))
            rows = fill(queries, candidates, rows, self._rules, corpus, ~dropped)
            marks = marks | ~before
        filled = rows != NO_ROW
        offsets = ragged(filled)
        columns: dict[str, pa.Array] = {
            ROWS: list_array(offsets, pa.array(rows[filled].astype(np.int32))),
            SCORES: list_array(offsets, nullable_floats(scores[filled])),
            RANKS: list_array(offsets, pa.array(ranks[filled], mask=ranks[filled] < 1)),
            POSITIVE_SCORES: list_array(
                queries.offsets.astype(np.int32), nullable_floats(candidates.positive_scores)
            ),
            FILLED: list_array(offsets, pa.array(marks[filled])),
            STRATA: list_array(offsets, _named(strata[filled], self._rules.sampler.stratum_names)),
            FLAGS: _flags(chosen.flags, self._rules),
            TRACE: _trace(chosen.trace, trace_names(self._rules)),
        }
        if promotes(self._rules):
            columns[PROMOTED_ROWS] = _promoted(candidates, chosen.promoted)
        order = decision_features(self._rules, self._underfilled)
        kept = without(table, OWN_COLUMNS)
        return _with_columns(kept, {name: columns[name] for name in order})


def dropped_rows(flags: NDArray[np.bool_], rules: Rules) -> NDArray[np.bool_]:
    """Return which rows a row filter drops, shape (batch,)."""
    dropping = [rule.action == "drop" for rule in rules.row_filters]
    return np.asarray(flags[:, dropping].any(axis=1))


def _flags(flags: NDArray[np.bool_], rules: Rules) -> pa.ListArray:
    """Return the names of the row filters that flagged each row."""
    places = np.broadcast_to(np.arange(flags.shape[1]), flags.shape)[flags]
    return list_array(ragged(flags), _named(places, [rule.name for rule in rules.row_filters]))


def _named(places: NDArray[np.integer[Any]], names: Sequence[str]) -> pa.Array:
    """Return a name for each place in ``names``; none where the place is negative."""
    codes = pa.array(places.astype(np.int32), mask=places < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(list(names), pa.string())).cast(
        pa.string()
    )


def promotes(rules: Rules) -> bool:
    """Return whether any veto writes out what it promotes."""
    return any(veto.promotes for veto in rules.vetoes)


def decision_features(rules: Rules, underfilled: str) -> Features:
    """Return the columns that :class:`DecideStage` adds: the same whatever survives."""
    features = {
        ROWS: List(Value("int32")),
        SCORES: List(Value("float32")),
        RANKS: List(Value("int32")),
        POSITIVE_SCORES: List(Value("float32")),
    }
    if underfilled == "fill" or rules.fill_beyond is not None:
        features[FILLED] = List(Value("bool"))
    if rules.sampler.stratum_names:
        features[STRATA] = List(Value("string"))
    if rules.row_filters:
        features[FLAGS] = List(Value("string"))
    if promotes(rules):
        features[PROMOTED_ROWS] = List(Value("int32"))
    return Features({**features, TRACE: TRACE_FEATURE})


def _refuse_short(
    queries: Queries, rows: NDArray[np.int64], n: int, dropped: NDArray[np.bool_]
) -> None:
    counts = np.count_nonzero(rows != NO_ROW, axis=1)
    short = np.flatnonzero((counts < n) & ~dropped)
    if len(short):
        line = int(short[0])
        raise UnderfilledError(
            f"{len(short)} of {len(queries)} queries of this batch have fewer than {n} negatives, "
            f"for example {queries.texts[line]!r} with {counts[line]}. Retrieve deeper "
            "('bm25@500'), filter less, or choose underfilled='keep', 'drop' or 'fill'."
        )


def _promoted(candidates: Candidates, promoted: NDArray[np.int64]) -> pa.ListArray:
    """Return the promoted rows as lists, one a query."""
    order = np.argsort(promoted[:, 0], kind="stable")
    lines, slots = promoted[order].T
    counts = np.bincount(lines, minlength=candidates.shape[0])
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return list_array(offsets, pa.array(candidates.rows[lines, slots].astype(np.int32)))


def _trace(trace: NDArray[np.int32], names: list[str]) -> pa.ListArray:
    """Return the trace as lists of {stage, slots}."""
    batch, width = trace.shape
    codes = pa.array(np.tile(np.arange(width, dtype=np.int32), batch))
    stages = pa.DictionaryArray.from_arrays(codes, pa.array(names)).cast(pa.string())
    pairs = pa.StructArray.from_arrays([stages, pa.array(trace.ravel())], ["stage", "slots"])
    offsets = (np.arange(batch + 1) * width).astype(np.int32)
    return list_array(offsets, pairs)


def rejected(flags: pa.ChunkedArray, dropping: Sequence[str]) -> NDArray[np.bool_]:
    """Return which rows have one of the names among their flags, shape (rows,)."""
    offsets, names = flat_list(flags)
    hit = pc.is_in(names, value_set=pa.array(list(dropping), pa.string()))
    counts = np.concatenate([[0], np.cumsum(hit.to_numpy(zero_copy_only=False))])
    return np.diff(counts[offsets]) > 0


class WriteStage(TimedStage):
    """Turns decisions into the columns of an output format.

    Args:
        reader: reads the batches.
        form: the output format.
        n: negatives for each query.
        underfilled: ``drop`` leaves rows out that have fewer.
        dropping: names of the row filters whose flagged rows are left out.
        kept: other columns of the input that stand beside.
        order: all columns of the output, in order.
    """

    def __init__(
        self,
        reader: Reader,
        form: OutputFormat,
        n: int,
        underfilled: str,
        dropping: tuple[str, ...],
        kept: tuple[str, ...],
        order: tuple[str, ...],
    ) -> None:
        """Keep the recipe."""
        super().__init__()
        self._reader, self._form, self._n = reader.bare, form.name, n
        self._underfilled, self._kept, self._order = underfilled, kept, order
        self._dropping = dropping

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the batch in its output format."""
        from hf_hardneg.formats.output import OUTPUT_FORMATS

        form = OUTPUT_FORMATS[self._form]
        if self._dropping:
            table = table.filter(pa.array(~rejected(table[FLAGS], self._dropping)))
        offsets, values = flat_list(table[ROWS])
        if self._underfilled == "drop" or form.needs_full_rows:
            full = np.flatnonzero(np.diff(offsets) == self._n)
            table = table.take(pa.array(full))
            offsets, values = flat_list(table[ROWS])
        rows = padded(offsets, values.to_numpy().astype(np.int64), self._n, NO_ROW)
        _, scores = flat_list(table[SCORES])
        floats = padded(offsets, scores.to_numpy(zero_copy_only=False), self._n, np.float32(np.nan))
        # Columns that stand beside the input repeat nothing of it, so it need not be read again.
        beside_input = table.slice(0, 0) if form.keeps_columns else table
        queries = self._reader.queries(beside_input, keys=False, find=form.names_positives)
        chosen = Chosen(queries, rows, floats, self._reader.corpus)
        columns, lines = form.columns(chosen)
        beside = table if lines is None else table.take(pa.array(lines))
        out = {name: beside[name] for name in self._kept}
        out.update(columns)
        if PROMOTED_ROWS in beside.column_names and form.keeps_columns:
            place, promoted = flat_list(beside[PROMOTED_ROWS])
            ids = self._reader.corpus.id_array(promoted.to_numpy().astype(np.int64))
            out["promoted_ids"] = list_array(place.astype(np.int32), ids)
        return pa.table({name: out[name] for name in self._order})
