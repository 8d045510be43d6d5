"""A mining job as a value: what turns batches of rows into mined rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Features, List, Value
from numpy.typing import NDArray

from hf_hardneg.errors import ParameterError, QueryError, StrategyError, listing
from hf_hardneg.formats.output import OutputFormat, output_format
from hf_hardneg.mapping import Step
from hf_hardneg.pool import POOL_FEATURES
from hf_hardneg.selection import Rules
from hf_hardneg.stages import (
    FILLED,
    OWN_COLUMNS,
    POSITIVE_SCORES,
    TRACE,
    TRACE_FEATURE,
    DecideStage,
    Reader,
    RetrieveStage,
    WriteStage,
    decision_features,
    promotes,
)
from hf_hardneg.strategy import Strategy

__all__ = ["RETRIEVE_BATCH", "Plan", "arrow_table"]

RETRIEVE_BATCH = 2_000
DECIDE_BATCH = 2_000
VETO_BATCH = 250
WRITE_BATCH = 1_000

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
        """Mine a dict of lists; rows may be left out or multiplied. For streams."""
        mined = self.table(arrow_table(batch))
        return {name: mined[name].to_pylist() for name in mined.column_names}

    @property
    def output(self) -> OutputFormat:
        """The output format."""
        return output_format(self.form)

    @property
    def policy(self) -> str:
        """What happens to short rows."""
        return self.underfilled or ("drop" if self.output.needs_full_rows else "keep")

    @property
    def rules(self) -> Rules:
        """How candidates become negatives."""
        parts = self.strategy
        return Rules(parts.filters, parts.vetoes, parts.sampler, self.n, self.seed)

    @property
    def needs_fit(self) -> bool:
        """Whether a filter has to see the positives' scores of the whole pool first."""
        return any(stage.needs_fit for stage in self.strategy.filters)

    def fitted(self, positive_scores: NDArray[np.float32]) -> Plan:
        """Return the plan with every filter fitted to the scores of all positives."""
        filters = tuple(stage.fitted(positive_scores) for stage in self.strategy.filters)
        return replace(self, strategy=replace(self.strategy, filters=filters))

    def refuse_unfitted(self) -> None:
        """Raise if single batches are not enough for this strategy."""
        if self.needs_fit:
            raise StrategyError(
                "a percentile margin has to see all positives' scores before the first row, and a "
                "batch or a stream does not have them. Use miner.mine(dataset) with a Dataset, or "
                "give max_score."
            )

    def table(self, table: pa.Table) -> pa.Table:
        """Return one batch mined, through all steps."""
        self.refuse_unfitted()
        retriever = self.strategy.retriever
        pool = RetrieveStage(self.reader, retriever)(table)
        decided = DecideStage(self.reader, self.rules, self.policy, (retriever.name,))(pool)
        return self._write_stage(decided.column_names)(decided)

    def retrieve_step(self, features: Features, *, wanted: bool) -> Step:
        """Return the step that adds the pool columns."""
        retriever = self.strategy.retriever
        return Step(
            RetrieveStage(self.reader, retriever),
            Features({**_without_own(features), **POOL_FEATURES}),
            f"Retrieving, {retriever.name}",
            RETRIEVE_BATCH,
            wanted,
        )

    def decide_steps(self, features: Features, sources: tuple[str, ...]) -> list[Step]:
        """Return the steps that choose and write.

        Args:
            features: of the input or of its pool.
            sources: names of the pool's retrievers.
        """
        decided = Features({**_without_own(features), **decision_features(self.rules, self.policy)})
        decide = DecideStage(self.reader, self.rules, self.policy, sources)
        batch = VETO_BATCH if self.strategy.vetoes else DECIDE_BATCH
        write = self._write_stage(list(decided))
        return [
            Step(decide, decided, "Selecting", batch),
            Step(write, self._output_features(decided), "Writing", WRITE_BATCH),
        ]

    def _kept(self, names: Sequence[str]) -> list[str]:
        """Return the other columns of the input that stand in the output."""
        others = [name for name in names if name not in OWN_COLUMNS]
        keep = self.output.keeps_columns if self.keep is None else self.keep
        if isinstance(keep, bool):
            chosen = others if keep else []
        else:
            missing = [name for name in keep if name not in others]
            if missing:
                raise ParameterError(
                    f"keep_columns names {listing(missing)}, and the data has only "
                    f"{listing(others)}."
                )
            chosen = [name for name in others if name in keep]
        own = self.output.features(self.n)
        return [name for name in chosen if name not in own]

    def _provenance(self, names: Sequence[str]) -> Features:
        """Return the columns of provenance; only the list columns have room for them."""
        if not self.output.keeps_columns:
            return Features({})
        features = {POSITIVE_SCORES: List(Value("float32")), TRACE: TRACE_FEATURE}
        if FILLED in names:
            features[FILLED] = List(Value("bool"))
        if promotes(self.rules):
            features["promoted_ids"] = List(Value("string"))
        return Features(features)

    def _write_stage(self, names: Sequence[str]) -> WriteStage:
        kept, provenance = self._kept(names), self._provenance(names)
        beside = [*kept, *(name for name in provenance if name in names)]
        order = [*kept, *self.output.features(self.n), *provenance]
        return WriteStage(
            self.reader, self.output, self.n, self.policy, tuple(beside), tuple(order)
        )

    def _output_features(self, features: Features) -> Features:
        names = list(features)
        kept = {name: features[name] for name in self._kept(names)}
        return Features({**kept, **self.output.features(self.n), **self._provenance(names)})


def arrow_table(batch: Mapping[str, list[Any]]) -> pa.Table:
    """Return a dict of lists as an Arrow table.

    Raises:
        QueryError: a column mixes types, or holds something that Arrow has no type for.
    """
    columns = {}
    for name, values in batch.items():
        try:
            columns[name] = pa.array(values)
        except pa.ArrowException as error:
            raise QueryError(
                f"column {name!r} cannot be read as one type of values: {error}. Queries and "
                "positives are texts, or lists of texts."
            ) from error
    return pa.table(columns)


def _without_own(features: Features) -> Features:
    return Features({name: value for name, value in features.items() if name not in OWN_COLUMNS})
