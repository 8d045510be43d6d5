"""An audit of a made set, and the making of it."""

from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from numpy.typing import NDArray

from benchmarks.child import Measured
from benchmarks.memory import own_mib, watched
from hf_hardneg.arrow import list_array
from hf_hardneg.evaluation.audit import audit as look
from hf_hardneg.mined_set import MinedSet

__all__ = ["audit", "make", "planted"]

AT_ONCE = 10_000
WIDTH = 5
DOCUMENTS = 500_000
STRIDES = (7_919, 104_729)
OWN, TWICE, EMPTY = (1_000, 11), (1_250, 23), (2_000, 41)
SIBLING, SHORT, LOUD = (500, 151), (2_500, 37), (4_000, 43)
"""Defects: every so manieth row, and which of so many."""
FIELDS = {"query_id": pa.string(), "query": pa.string(), "positives": pa.list_(pa.string()),
          "positive_ids": pa.list_(pa.string()), "hard_negatives": pa.list_(pa.string()),
          "hard_negative_ids": pa.list_(pa.string()),
          "hard_negative_scores": pa.list_(pa.float32()),
          "hard_negative_positive_scores": pa.list_(pa.float32())}  # fmt: skip


def planted(rows: int) -> dict[str, int]:
    """Return what the audit of a made set must count."""
    defects = {
        "own_positive": OWN, "repeated_in_row": TWICE, "empty_text": EMPTY,
        "sibling_positive": SIBLING, "short_row": SHORT, "outscores_positive": LOUD,
    }  # fmt: skip
    none = dict.fromkeys(("missing_score", "uneven_lists", "repeated_row"), 0)
    return {name: len(range(place, rows, step)) for name, (step, place) in defects.items()} | none


def _base(corpus: Path) -> pa.Array:
    with gzip.open(corpus, "rt", encoding="utf-8") as lines:
        return pa.array([json.loads(line)["text"] for line in lines], pa.string())


def _documents(base: pa.Array, numbers: NDArray[np.int64]) -> pa.Array:
    """Return texts: those of the collection, each under several numbers, with the number behind."""
    texts = base.take(pa.array(numbers % len(base)))
    ends = pc.binary_join_element_wise("(", pa.array(numbers).cast(pa.string()), ").", "")
    return pc.binary_join_element_wise(texts, ends, " ")


def _names(numbers: NDArray[np.int64]) -> pa.Array:
    return pc.binary_join_element_wise("d", pa.array(numbers).cast(pa.string()), "")


def _at(rows: NDArray[np.int64], defect: tuple[int, int]) -> NDArray[np.bool_]:
    return rows % defect[0] == defect[1]


def _batch(base: pa.Array, rows: NDArray[np.int64]) -> pa.RecordBatch:
    """Return some rows; what they are follows from their numbers alone."""
    positives = 2 * (rows * STRIDES[1] % (DOCUMENTS // 2))
    slots = rows[:, None] * WIDTH + np.arange(WIDTH)
    negatives = 2 * (slots * STRIDES[0] % (DOCUMENTS // 2)) + 1  # odd, and positives even
    own, twice = _at(rows, OWN), _at(rows, TWICE)
    negatives[own, 1] = positives[own]
    negatives[twice, 3] = negatives[twice, 0]
    # The second of two neighbours has the query of the first, whose positive is its negative.
    sibling = _at(rows, SIBLING)
    before = 2 * ((rows - 1) * STRIDES[1] % (DOCUMENTS // 2))
    negatives[sibling, 2] = before[sibling]
    queries = np.where(sibling, rows - 1, rows)
    keep = np.ones(negatives.shape, np.bool_)
    keep[_at(rows, SHORT), WIDTH - 1] = False
    offsets = np.concatenate([[0], np.cumsum(keep.sum(axis=1))]).astype(np.int32)
    flat = negatives[keep]
    empty = np.zeros(negatives.shape, np.bool_)
    empty[_at(rows, EMPTY), 0] = True
    texts = pc.if_else(pa.array(empty[keep]), "  ", _documents(base, flat))
    ids = pc.binary_join_element_wise("d", pa.array(np.where(empty, -slots, negatives)[keep])
                                      .cast(pa.string()), "")  # fmt: skip
    scores = 20.0 - np.arange(WIDTH) - (rows % 97)[:, None] / 97
    scores[_at(rows, LOUD), 0] = 60.0
    every = np.arange(len(rows) + 1, dtype=np.int32)
    words = pc.utf8_slice_codeunits(base.take(pa.array(queries % len(base))), 0, 60)
    numbers = pa.array(queries).cast(pa.string())
    columns: list[Any] = [
        pc.binary_join_element_wise("q", pa.array(rows).cast(pa.string()), ""),
        pc.binary_join_element_wise(words, numbers, " "),
        list_array(every, _documents(base, positives)),
        list_array(every, _names(positives)),
        list_array(offsets, texts),
        list_array(offsets, ids),
        list_array(offsets, pa.array(scores[keep].astype(np.float32))),
        list_array(every, pa.array(np.full(len(rows), 30.0, np.float32))),
    ]  # fmt: skip
    return pa.record_batch(columns, schema=pa.schema(FIELDS))


def make(corpus: str, rows: int, path: str) -> Measured:
    """Write a mined set of so many rows."""
    base, schema = _base(Path(corpus)), pa.schema(FIELDS)
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for start in range(0, rows, AT_ONCE):
            writer.write_batch(_batch(base, np.arange(start, min(start + AT_ONCE, rows))))
    return Measured({"bytes": os.path.getsize(path)})


def audit(path: str, rows: int, near_duplicates: int) -> Measured:
    """Audit the set."""
    before = own_mib()
    with watched() as peak:
        started = time.perf_counter()
        found = look(MinedSet.of(Dataset.from_file(path)), near_duplicates=near_duplicates)
        seconds = time.perf_counter() - started
        own = peak() - before
    return Measured(
        {
            "rows": found.rows,
            "negatives": found.negatives,
            "seconds": round(seconds, 2),
            "rows_per_second": round(found.rows / seconds),
            "own_peak_mib": round(own, 1),
            "counts": {name: found.of(name).count for name in planted(rows)},
            "as_planted": {n: found.of(n).count for n in planted(rows)} == planted(rows),
        }
    )
