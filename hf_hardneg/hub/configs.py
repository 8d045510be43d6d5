"""The configs of a published set: what was mined in each format, its documents, queries, pool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features, Value

from hf_hardneg.columns import find_columns, read_batch
from hf_hardneg.errors import FormatError, QueryError
from hf_hardneg.evaluation.compare_figures import corpus_of
from hf_hardneg.formats.output import made_query_id
from hf_hardneg.miner import OfflineMiner

__all__ = ["make_configs", "queries_of"]

READ_BATCH = 10_000
QUERIES = Features({"query_id": Value("string"), "query": Value("string")})


def make_configs(
    names: Sequence[str],
    miner: OfflineMiner,
    rows: Dataset,
    pool: Dataset,
    num_proc: int | None = None,
    resume: bool = True,
) -> dict[str, Dataset]:
    """Return the data set of each config.

    Training formats hold what a trainer takes and nothing else; where the candidates came from and
    what became of them is in ``pool`` alone.

    Args:
        names: output formats, ``corpus``, ``queries``, ``pool``.
        miner: knows the positives of the rows.
        rows: the queries and their positives.
        pool: of the miner.
        num_proc: worker processes; no influence on the result.
        resume: use the finished parts of an interrupted run.

    Raises:
        FormatError: a format has no row.
        QueryError: two queries of one id.
    """
    made: dict[str, Dataset] = {}
    for name in names:
        if name == "corpus":
            made[name] = corpus_of(miner).to_dataset()
        elif name == "queries":
            made[name] = queries_of(rows, miner)
        elif name == "pool":
            made[name] = miner.outcomes(pool, num_proc=num_proc, resume=resume)
        else:
            made[name] = miner.select(
                pool, name, keep_columns=False, num_proc=num_proc, resume=resume
            )
        if not len(made[name]):
            raise FormatError(
                f"the config {name!r} has no row: no query has the negatives that it needs. "
                "Retrieve deeper, filter less, or leave the config out."
            )
    return made


def queries_of(rows: Dataset, miner: OfflineMiner) -> Dataset:
    """Return each query once, with its id or one made of its text, in the order of the rows.

    Raises:
        QueryError: two queries of one id.
    """
    table = pa.concat_tables(
        [QUERIES.arrow_schema.empty_table(), *_query_tables(rows, miner.reader().columns)]
    )
    return Dataset(table.combine_chunks())


def _query_tables(rows: Dataset, columns: Any) -> Iterator[pa.Table]:  # noqa: ANN401
    found = find_columns(rows.column_names, columns)
    seen: dict[str, str] = {}
    for batch in rows.with_format("arrow").iter(READ_BATCH):
        raw = read_batch(batch, found)
        names = raw.query_ids or [made_query_id(text) for text in raw.queries]
        new: dict[str, str] = {}
        for name, text in zip(names, raw.queries, strict=True):
            if name not in seen:
                seen[name] = new[name] = text
            elif seen[name] != text:
                raise QueryError(
                    f"the id {name!r} is that of two queries: {seen[name][:80]!r} and "
                    f"{text[:80]!r}. Give each its own, or leave the config 'queries' out."
                )
        yield pa.table([list(new), list(new.values())], schema=QUERIES.arrow_schema)
