"""Batches of queries about one topic: in-batch negatives that are harder than random ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_hardneg.batch_conflicts import Conflicts
from hf_hardneg.batch_samplers.base import EpochBatchSampler
from hf_hardneg.checks import whole_number
from hf_hardneg.devices import model_device
from hf_hardneg.distributed import world
from hf_hardneg.encoders import Encoder, SentenceEncoder, encode_checked
from hf_hardneg.errors import ParameterError
from hf_hardneg.query_topics import query_topics
from hf_hardneg.training_rows import TrainingColumns, read_keys, read_queries, row_count

__all__ = ["TopicAwareBatchSampler"]

QUERIES_PER_CLUSTER = 200


class TopicAwareBatchSampler(EpochBatchSampler):
    """Batches whose queries come from one cluster of queries (TAS).

    The queries are clustered once, by k-means on their vectors. A batch is made of random queries
    of one cluster, and batches of all clusters come in random order::

        min  sum over clusters i, queries q in cluster i of  ||v_q - mean of cluster i||^2
        batch = b random queries of a random cluster

    Source: S. Hofstaetter, S.-C. Lin, J.-H. Yang, J. Lin, A. Hanbury, "Efficiently teaching an
    effective dense retriever with balanced topic aware sampling", SIGIR 2021 (TAS; the part that
    balances margins, TAS-B, is a matter of the negatives and not of the batch).

    Differences from the paper: here an epoch has every row exactly once. So a cluster is drawn in
    proportion to the full batches that it has left, and within an epoch queries are drawn without
    replacement. What is left over of the clusters, each time less than a batch, is put in line,
    each cluster after the nearest one that is not in line yet, and cut into batches too: about 8%
    of the rows with batches of 32 from clusters of 200 are in such batches of neighbours. At most
    one batch, the last, is smaller. The number of iterations, and whether vectors are brought to
    length one, are not verified against the paper; here vectors by a model whose similarity is the
    cosine are, others are not.

    With ``conflict_free`` two rows do not meet in a batch if one has a positive of the other as a
    positive or a negative, or if their queries are equal: see
    :class:`~hf_hardneg.batch_samplers.ConflictFreeBatchSampler`. Rows of a cluster that cannot be
    placed in a full batch of it are left over too, and the last batches may be smaller.

    Of several processes the first encodes and clusters, and tells the others the clusters, so all
    have the same, whatever their hardware; so make the sampler in each of them. One process has the
    same clusters for the same vectors and seed; with another number of threads faiss gave the same
    clusters where that was measured.

    Give it to a trainer with its options by ``functools.partial``::

        batch_sampler=partial(TopicAwareBatchSampler, model="BASELINE", clusters=2000)

    The trainer makes one for the training set and one for the evaluation set. It pickles its
    arguments into every checkpoint, so give it a model's name or the path of vectors rather than
    an array of them.

    Args:
        dataset: rows with a query each; with ``vectors`` and without ``conflict_free`` anything
            that has a length.
        batch_size: rows in a batch (the paper: 32).
        drop_last: leave out batches with fewer rows.
        valid_label_columns: given by the trainer: the first of them that is there is the label.
        generator: given by the trainer, and not used: the order depends on seed and epoch.
        seed: of the order and of the clusters; not negative.
        vectors: one for each row, shape (rows, dimension), used as they are; or the path of a
            ``.npy`` file with them. Either this or ``model``.
        model: encodes the queries, each distinct one once: a name, a path, a loaded
            ``SentenceTransformer`` or an encoder such as ``CallableEncoder`` (the paper: a
            baseline retriever, trained without distillation).
        clusters: of queries; ``None`` for one for 200 queries, as in the paper, which has 2,000
            for 400,000 queries. More than there are queries is as many as there are.
        iterations: of k-means.
        device: for a model by name or path; as in PyTorch.
        encode_batch_size: texts in a forward pass of a model by name, path or loaded.
        query_column: ``None`` for the first column, as the trainer's losses read them.
        conflict_free: keep rows apart that are in conflict.
        positive_columns: for ``conflict_free``; ``None`` for the column after the query.
        negative_columns: for ``conflict_free``; ``None`` for all other columns.

    Attributes:
        topics: shape (rows,); the number of the cluster of each row. Neighbours have numbers close
            by.

    Raises:
        ParameterError: a parameter out of range, both or none of vectors and model, vectors of
            another number than there are rows or with values that are not finite, no rows.
        ModelError: the model cannot be loaded, or gives values that are not finite.
        ColumnError: a column is missing, has two roles, or holds something that is no text.
    """

    name = "TopicAwareBatchSampler"

    def __init__(
        self,
        dataset: Any,  # noqa: ANN401
        batch_size: int = 32,
        drop_last: bool = False,
        valid_label_columns: Sequence[str] | None = None,
        generator: object = None,
        seed: int = 0,
        *,
        vectors: ArrayLike | str | os.PathLike[str] | None = None,
        model: Any = None,  # noqa: ANN401
        clusters: int | None = None,
        iterations: int = 20,
        device: str | None = None,
        encode_batch_size: int = 32,
        query_column: str | None = None,
        conflict_free: bool = False,
        positive_columns: str | Sequence[str] | None = None,
        negative_columns: str | Sequence[str] | None = None,
    ) -> None:
        """Cluster the queries and, if asked to, note which rows may not meet."""
        rows = row_count(self.name, dataset)
        super().__init__(rows, batch_size, drop_last, seed)
        whole_number(self.name, "iterations", iterations, 1)
        if clusters is None:
            clusters = max(1, round(rows / QUERIES_PER_CLUSTER))
        whole_number(self.name, "clusters", clusters, 1)
        if (vectors is None) == (model is None):
            raise ParameterError(
                f"{self.name}: {'none' if model is None else 'both'} of vectors and model given; "
                "expected one: the vectors of the queries, or a model that encodes them."
            )
        columns = TrainingColumns(
            query_column, positive_columns, negative_columns, valid_label_columns
        )

        def clustered() -> NDArray[np.int64]:
            if vectors is not None:
                known = _checked(self.name, vectors, rows)
            else:
                texts = read_queries(self.name, dataset, columns)
                known = _encoded(model, texts, device, encode_batch_size)
            return query_topics(known, clusters, iterations=iterations, seed=seed)

        self.topics = world().from_main(clustered)
        if conflict_free:
            self._conflicts = Conflicts(read_keys(self.name, dataset, columns))


def _opened(owner: str, path: str | os.PathLike[str]) -> NDArray[Any]:
    try:
        opened: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ParameterError(
            f"{owner}: vectors={os.fspath(path)!r} cannot be read ({error}); expected the path of "
            "a .npy file, as numpy.save writes it."
        ) from error
    return opened


def _checked(
    owner: str, vectors: ArrayLike | str | os.PathLike[str], rows: int
) -> NDArray[np.float32]:
    """Return vectors that were given, as faiss takes them."""
    if isinstance(vectors, str | os.PathLike):
        vectors = _opened(owner, vectors)
    given = np.asarray(vectors)
    if given.ndim != 2 or given.dtype.kind not in "fiu" or not all(given.shape):
        raise ParameterError(
            f"{owner}: vectors is an array of shape {given.shape} and type {given.dtype}; expected "
            f"numbers of shape ({rows}, dimension)."
        )
    if len(given) != rows:
        raise ParameterError(
            f"{owner}: {len(given)} vectors for a data set of {rows} rows; expected one a row. A "
            "trainer makes a sampler for its evaluation set too: give model instead, with which "
            "each has its own vectors."
        )
    with np.errstate(over="ignore"):  # what is too large becomes infinite and is refused
        result = np.ascontiguousarray(given, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(result).all(axis=1))
    if len(bad):
        raise ParameterError(
            f"{owner}: the vectors of {len(bad)} rows have values that are nan or infinite, the "
            f"first that of row {bad[0]}; expected finite numbers. Encode these queries again, or "
            "leave their rows out."
        )
    return result


def _encoded(
    model: Any,  # noqa: ANN401
    texts: list[str],
    device: str | None,
    batch_size: int,
) -> NDArray[np.float32]:
    """Return the vectors of queries; each distinct text is encoded once."""
    encoder: Encoder = (
        model
        if isinstance(model, Encoder)
        else SentenceEncoder(model, device=model_device(device), batch_size=batch_size)
    )
    distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    training = getattr(model, "training", False)
    vectors = encode_checked(encoder, list(distinct), "query")
    if training:  # encoding leaves a model in evaluation mode, and this one may be in training
        model.train()
    return vectors[np.fromiter(map(distinct.__getitem__, texts), np.int64, len(texts))]
