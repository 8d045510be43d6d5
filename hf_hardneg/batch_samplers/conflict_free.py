"""Batches in which no document stands as a negative that a row says is a positive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_hardneg.batch_conflicts import Conflicts
from hf_hardneg.batch_samplers.base import EpochBatchSampler
from hf_hardneg.training_rows import TrainingColumns, read_keys, row_count

__all__ = ["ConflictFreeBatchSampler"]


class ConflictFreeBatchSampler(EpochBatchSampler):
    """Random batches in which no two rows are in conflict.

    Two rows i and j, with queries q, positives P and negatives N, do not meet in a batch if::

        q_i = q_j   or   P_i and P_j share a text   or   P_i and N_j do   or   N_i and P_j do

    since a loss with in-batch negatives would push the query of one away from its own positive.
    Texts are compared after Unicode NFKC, case folding and collapsing of white space. That two
    rows have a negative in common is no conflict, nor that a query is equal to a document.

    A row that is in conflict with the batch waits for one of the next ones. The last batches may
    be smaller for it; at the worst, where all rows are in conflict with each other, each has one
    row. No row is left out, unless ``drop_last`` says so.

    How it differs from ``BatchSamplers.NO_DUPLICATES`` of sentence-transformers (measured with
    6.2): that one lets no two rows share any text, whatever its role, so a negative that many rows
    have in common keeps them apart: 64 rows with one negative in common are 64 batches there and
    two of 32 here. It compares the exact characters. Its length is the number of rows by the batch
    size even where it yields more batches; a trainer does not come to those above its length. With
    ``drop_last`` it repeats rows to reach that length. Here the length is what an epoch yields.

    The texts are read once, when the sampler is made. Negatives that change during training, by a
    transform of the data set, are not read again.

    It can be given as it is to a trainer, ``batch_sampler=ConflictFreeBatchSampler``, with options
    by ``functools.partial(ConflictFreeBatchSampler, query_column="query")``, or to a
    ``DataLoader(dataset, batch_sampler=ConflictFreeBatchSampler(dataset, 32))``.

    Args:
        dataset: a Dataset with a query, one or more positives, and negatives if there are any.
        batch_size: rows in a batch.
        drop_last: leave out batches with fewer rows. With conflicts that may be more rows than a
            batch has.
        valid_label_columns: given by the trainer: the first of them that is there is the label.
        generator: given by the trainer, and not used: the order depends on seed and epoch.
        seed: of the order; not negative.
        query_column: ``None`` for the first column, as the trainer's losses read them.
        positive_columns: one name or several; ``None`` for the next column.
        negative_columns: one name or several; ``None`` for all others. Columns may hold texts or
            lists of texts; an absent negative is ``None``.

    Raises:
        ParameterError: a parameter out of range, no rows, or not a Dataset.
        ColumnError: a column is missing, has two roles, or holds something that is no text.
    """

    name = "ConflictFreeBatchSampler"

    def __init__(
        self,
        dataset: Any,  # noqa: ANN401
        batch_size: int = 32,
        drop_last: bool = False,
        valid_label_columns: Sequence[str] | None = None,
        generator: object = None,
        seed: int = 0,
        *,
        query_column: str | None = None,
        positive_columns: str | Sequence[str] | None = None,
        negative_columns: str | Sequence[str] | None = None,
    ) -> None:
        """Read the texts and note which rows may not meet."""
        rows = row_count(self.name, dataset)
        super().__init__(rows, batch_size, drop_last, seed)
        columns = TrainingColumns(
            query_column, positive_columns, negative_columns, valid_label_columns
        )
        self._conflicts = Conflicts(read_keys(self.name, dataset, columns))
