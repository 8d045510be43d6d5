"""A mining job as a value: what turns batches of rows into mined rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features, List, Value

from hf_hardneg.columns import find_columns, read_batch, read_further, refuse_missing
from hf_hardneg.errors import ParameterError, QueryError, StrategyError, did_you_mean, listing
from hf_hardneg.formats.output import OutputFormat, output_format
from hf_hardneg.mapping import Step
from hf_hardneg.pool import POOL_FEATURES, SOURCE_RANKS
from hf_hardneg.selection import Rules
from hf_hardneg.single_positives import by_positive, one_positive_a_row, one_positive_features
from hf_hardneg.stages import (
    FILLED,
    FLAGS,
    OWN_COLUMNS,
    POSITIVE_SCORES,
    RANKS,
    STRATA,
    TRACE,
    TRACE_FEATURE,
    DecideStage,
    QueryBatches,
    Reader,
    RetrieveStage,
    WriteStage,
    decision_features,
    promotes,
)
from hf_hardneg.strategy import Strategy

__all__ = ["Plan"]

DECIDE_BATCH = 5_000
VETO_BATCH = 250
WRITE_BATCH = 2_500

LINE = "hard_negative_line"

Keep = bool | Sequence[str] | None


@dataclass(frozen=True)
class Plan:
    """Everything that decides what is mined, and nothing else: this is what workers get.

    Attributes:
        reader: reads batches.
        strategy: the stages.
        n: negatives for each query.
        seed: of all sampling.
        underfilled: what happens to short rows; ``None`` for the format's default.
        form: the output format.
        keep: which other columns of the input stand in the output; ``None`` for the format's
            default.
    """

    reader: Reader
    strategy: Strategy
    n: int
    seed: int
    underfilled: str | None
    form: str = "columns"
    keep: Keep = None

    def __post_init__(self) -> None:
        """Refuse a format that has no place for short rows when they are to be kept."""
        if self.output.needs_full_rows and self.underfilled == "keep":
            raise ParameterError(
                f"underfilled='keep' does not go with {self.form!r}, which has a column for each "
                f"of the {self.n} negatives. Use 'drop', 'fill' or 'error', or another format."
            )

    def __call__(self, batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """Mine a dict of lists; rows may be left out or multiplied. For streams.

        Columns that stand beside are taken as they are: they may hold what Arrow cannot.
        """
        kept = self._kept(list(batch))
        mined = replace(self, keep=[LINE]).table(_numbered(batch, self.reader))
        lines = mined[LINE].to_pylist()
        beside = {name: [batch[name][line] for line in lines] for name in kept}
        own = {name: TypedList(mined[name]) for name in mined.column_names if name != LINE}
        return {**beside, **own}

    @property
    def output(self) -> OutputFormat:
        """The output format."""
        return output_format(self.form)

    @property
    def policy(self) -> str:
        """What happens to short rows."""
        return self.underfilled or ("drop" if self.output.needs_full_rows else "keep")

    @property
    def dropping(self) -> tuple[str, ...]:
        """Names of the row filters whose flagged rows are left out."""
        rules = self.strategy.row_filters
        return tuple(rule.name for rule in rules if rule.action == "drop")

    @property
    def leaves_out(self) -> bool:
        """Whether rows of the input may be missing in the output."""
        return self.policy == "drop" or bool(self.dropping)

    @property
    def needed(self) -> int:
        """How many negatives a row must have to be in the output."""
        if self.policy == "drop" or self.output.needs_full_rows:
            return self.n
        return 1 if self.output.needs_negatives else 0

    @property
    def rules(self) -> Rules:
        """How candidates become negatives."""
        parts = self.strategy
        return Rules(
            parts.filters,
            parts.vetoes,
            parts.sampler,
            self.n,
            self.seed,
            parts.row_filters,
            parts.diversity,
        )

    @property
    def needs_fit(self) -> bool:
        """Whether a stage has to see the candidates of all rows first."""
        return self.strategy.needs_fit

    def refuse_unfitted(self) -> None:
        """Raise if single batches are not enough for this strategy."""
        unfit = [stage.name for stage in self.strategy.stages if stage.needs_fit]
        if unfit:
            raise StrategyError(
                f"{listing(unfit)} has to see the candidates of all rows before the first one is "
                "decided, and a batch or a stream does not have them. Use miner.mine(dataset) "
                "with a Dataset."
            )

    def table(self, table: pa.Table) -> pa.Table:
        """Return one batch mined, through all steps."""
        self.refuse_unfitted()
        retriever = self.strategy.retriever
        pool = RetrieveStage(self.reader, retriever)(table)
        if by_positive(self.rules) and len(one_positive_a_row(pool, self.reader.columns)) > len(
            pool
        ):
            raise StrategyError(
                "against='own' makes a row of each positive, and this batch has rows with several. "
                "Use miner.mine(dataset) with a Dataset, which knows the positives of all rows."
            )
        decided = DecideStage(self.reader, self.rules, self.policy, retriever.source_names)(pool)
        return self._write_stage(decided.column_names)(decided)

    def query_batches(self, rows: Dataset) -> QueryBatches:
        """Return all queries with their positives, as the retriever sees them batch by batch."""
        retriever = self.strategy.retriever
        return QueryBatches(self.reader.bare, rows, retriever.batch_rows, retriever.reads_keys)

    def retrieve_step(self, features: Features, *, wanted: bool) -> Step:
        """Return the step that adds the pool columns."""
        retriever = self.strategy.retriever
        joined = SOURCE_RANKS if retriever.keeps_source_ranks else {}
        return Step(
            RetrieveStage(self.reader, retriever),
            Features({**_without_own(features), **POOL_FEATURES, **joined}),
            f"Retrieving, {retriever.name}",
            retriever.batch_rows,
            wanted,
        )

    def decide_steps(self, features: Features, sources: tuple[str, ...]) -> list[Step]:
        """Return the steps that choose and write.

        Args:
            features: of the input or of its pool.
            sources: names of the pool's retrievers.
        """
        kept = _without_own(self._by_row(features))
        decided = Features({**kept, **decision_features(self.rules, self.policy)})
        decide = DecideStage(self.reader, self.rules, self.policy, sources)
        write = self._write_stage(list(decided))
        return [
            Step(decide, decided, "Selecting", self.decide_batch),
            Step(write, self.output_features(features), "Writing", WRITE_BATCH),
        ]

    @property
    def decide_batch(self) -> int:
        """Rows that are decided at once: few where models read the texts."""
        return VETO_BATCH if self.strategy.asking else DECIDE_BATCH

    def _by_row(self, features: Features) -> Features:
        """Return the input's columns as they are when each row has one positive, if that is so."""
        if not by_positive(self.rules):
            return features
        return one_positive_features(features, self.reader.columns)

    def check_columns(self, names: Sequence[str]) -> None:
        """Refuse a column to keep that is not there, before any work is done.

        Raises:
            ParameterError: names it and the nearest match.
        """
        self._kept(names)

    def _kept(self, names: Sequence[str]) -> list[str]:
        """Return the other columns of the input that stand in the output."""
        others = [name for name in names if name not in OWN_COLUMNS]
        keep = self.output.keeps_columns if self.keep is None else self.keep
        if isinstance(keep, bool):
            chosen = others if keep else []
        else:
            keep = [keep] if isinstance(keep, str) else keep
            missing = [name for name in keep if name not in others]
            if missing:
                raise ParameterError(
                    f"keep_columns names {listing(missing)}, and the data has only "
                    f"{listing(others)}.{did_you_mean(missing[0], others)}"
                )
            chosen = [name for name in others if name in keep]
        own = self.output.features(self.n)
        return [name for name in chosen if name not in own]

    def _provenance(self, names: Sequence[str]) -> Features:
        """Return the columns of provenance; only the list columns have room for them."""
        if not self.output.keeps_columns:
            return Features({})
        features = {
            RANKS: List(Value("int32")),
            POSITIVE_SCORES: List(Value("float32")),
            TRACE: TRACE_FEATURE,
        }
        marks = {FILLED: List(Value("bool")), STRATA: List(Value("string")),
                 FLAGS: List(Value("string"))}  # fmt: skip
        features.update({name: kind for name, kind in marks.items() if name in names})
        if promotes(self.rules):
            features["promoted_ids"] = List(Value("string"))
        return Features(features)

    def _write_stage(self, names: Sequence[str]) -> WriteStage:
        kept, provenance = self._kept(names), self._provenance(names)
        beside = [*kept, *(name for name in provenance if name in names)]
        order = [*kept, *self.output.features(self.n), *provenance]
        return WriteStage(
            self.reader,
            self.output,
            self.n,
            self.policy,
            self.dropping,
            tuple(beside),
            tuple(order),
        )

    def output_features(self, features: Features) -> Features:
        """Return the columns of the output, given those of the input."""
        features = self._by_row(features)
        kept = {name: features[name] for name in self._kept(list(features))}
        decided = list(decision_features(self.rules, self.policy))
        return Features({**kept, **self.output.features(self.n), **self._provenance(decided)})


class TypedList(list[Any]):
    """A column of a dict of lists that remembers its Arrow type.

    ``datasets`` works out the type of a list from its values; where every row is empty it would
    take the type ``null``.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        """Take the values of an Arrow column."""
        super().__init__(column.to_pylist())
        self._type = column.type

    def __arrow_array__(self, type: pa.DataType | None = None) -> pa.Array:
        """Return the values as an Arrow array; Arrow calls this."""
        return pa.array(list(self), type or self._type)


def _numbered(batch: Mapping[str, Any], reader: Reader) -> pa.Table:
    """Return what mining needs of a dict of lists as a table, with the number of each line."""
    columns = find_columns(list(batch), reader.columns)
    refuse_missing(list(batch), reader.further)
    names = (columns.query, columns.positive, columns.positive_ids, columns.query_id)
    used = {name: batch[name] for name in names if name is not None}
    if isinstance(used[str(columns.query)], str):
        raise QueryError(
            "the miner was given a single row; expected a batch: dataset.map(miner, batched=True)."
        )
    raw = read_batch({name: _plain(values) for name, values in used.items()}, columns)
    texts, lists = pa.string(), pa.list_(pa.string())
    arrays: dict[str | None, pa.Array] = {
        **{
            name: pa.array(list(read_further({name: _plain(batch[name])}, name)), lists)
            for name in reader.further
        },
        columns.query: pa.array(raw.queries, texts),
        columns.positive: pa.array(list(raw.positives or []), lists),
        columns.positive_ids: pa.array(list(raw.positive_ids or []), lists),
        columns.query_id: pa.array(raw.query_ids, texts),
        LINE: pa.array(range(len(raw))),
    }
    return pa.table({name: array for name, array in arrays.items() if name is not None})


def _plain(values: Iterable[Any]) -> list[Any]:
    """Return the values of a column as Python's own, whatever the format of the data set."""
    return [value.tolist() if hasattr(value, "tolist") else value for value in values]


def _without_own(features: Features) -> Features:
    return Features({name: value for name, value in features.items() if name not in OWN_COLUMNS})
