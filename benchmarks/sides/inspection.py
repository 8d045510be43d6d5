"""A made set in the layout that is published, and looking at it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.child import Measured
from benchmarks.memory import own_mib, watched
from benchmarks.sides.audit import _base, _documents, _names
from hf_hardneg.arrow import list_array
from hf_hardneg.distributions import Distribution
from hf_hardneg.inspection.finding_rows import RowFinder
from hf_hardneg.inspection.opened import InspectedSet, open_inspected
from hf_hardneg.inspection.overview import overview_of
from hf_hardneg.inspection.suspicion import Suspicion
from hf_hardneg.inspection.wanted import SEARCHED, Wanted
from hf_hardneg.outcomes import OUTCOME_FEATURES
from hf_hardneg.report import Report, StageCount

__all__ = ["again", "first", "make", "planted"]

AT_ONCE = 20_000
WIDTH, DEPTH = 5, 20
DOCUMENTS = 500_000
STRIDES = (7_919, 104_729)
LOUD, NEAR, SHORT = (4_000, 43), (500, 151), (2_500, 37)
"""Defects: every so manieth row, and which of so many."""
RARE, NOWHERE, COMMON = "zyzzyva", "qwertzuiopasdf", "the"
STAGE = "margin(relative=0.05)"
RANDOM_ROWS = 200
IDS = pa.schema([("query_id", pa.string()), ("positive_ids", pa.list_(pa.string())),
                 ("negative_ids", pa.list_(pa.string()))])  # fmt: skip
CORPUS = pa.schema([("id", pa.string()), ("text", pa.string())])
QUERIES = pa.schema([("query_id", pa.string()), ("query", pa.string())])


def planted(rows: int) -> dict[str, int]:
    """Return how many rows each filter must find in a made set.

    Of near-duplicates there are more than those that are planted: descriptions of packages that
    are alike.
    """
    defects = {"outscores": LOUD, "near_duplicate": NEAR, "short": SHORT}
    return {name: len(range(place, rows, step)) for name, (step, place) in defects.items()}


def _at(rows: NDArray[np.int64], defect: tuple[int, int]) -> NDArray[np.bool_]:
    return rows % defect[0] == defect[1]


# -- making ----------------------------------------------------------------------------------------


def make(corpus: str, rows: int, folder: str) -> Measured:
    """Write a published set of so many rows, a batch at a time."""
    home, base = Path(folder), _base(Path(corpus))
    pool = OUTCOME_FEATURES.arrow_schema.remove_metadata()
    kinds = {"ids": IDS, "corpus": CORPUS, "queries": QUERIES, "pool": pool}
    numbers = {name: DOCUMENTS if name == "corpus" else rows for name in kinds}
    makers = {"ids": _ids, "corpus": _corpus, "queries": _queries, "pool": _pool}
    for name, schema in kinds.items():
        place = home / "data" / name
        place.mkdir(parents=True)
        with pq.ParquetWriter(place / "train-00000-of-00001.parquet", schema) as writer:
            for start in range(0, numbers[name], AT_ONCE):
                some = np.arange(start, min(start + AT_ONCE, numbers[name]))
                writer.write_table(pa.table(makers[name](base, some), schema=schema))
    (home / "hardneg").mkdir()
    (home / "hardneg" / "report.json").write_text(json.dumps({"report": _report(rows).to_dict()}))
    size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    return Measured({"bytes": size})


def _documents_of(base: pa.Array, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Return (positive, candidates) of some rows, as numbers of documents."""
    positives = rows * STRIDES[1] % (DOCUMENTS // 4) * 2
    slots = rows[:, None] * DEPTH + np.arange(DEPTH)
    candidates = slots * STRIDES[0] % (DOCUMENTS // 2) * 2 + 1  # odd, and positives even
    near = _at(rows, NEAR)
    candidates[near, 1] = positives[near]
    return positives, candidates


def _kept(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    keep = np.ones((len(rows), WIDTH), np.bool_)
    keep[_at(rows, SHORT), WIDTH - 1] = False
    return keep


def _ids(base: pa.Array, rows: NDArray[np.int64]) -> list[pa.Array]:
    positives, candidates = _documents_of(base, rows)
    keep = _kept(rows)
    ends = np.concatenate([[0], np.cumsum(keep.sum(axis=1))]).astype(np.int32)
    every = np.arange(len(rows) + 1, dtype=np.int32)
    return [_query_ids(rows), list_array(every, _names(positives)),
            list_array(ends, _names(candidates[:, :WIDTH][keep]))]  # fmt: skip


def _query_ids(rows: NDArray[np.int64]) -> pa.Array:
    return pc.binary_join_element_wise("q", pa.array(rows).cast(pa.string()), "")


def _corpus(base: pa.Array, numbers: NDArray[np.int64]) -> list[pa.Array]:
    return [_names(numbers), _documents(base, numbers)]


def _queries(base: pa.Array, rows: NDArray[np.int64]) -> list[pa.Array]:
    return [_query_ids(rows), _query_texts(base, rows)]


def _query_texts(base: pa.Array, rows: NDArray[np.int64]) -> pa.Array:
    words = pc.utf8_slice_codeunits(base.take(pa.array(rows % len(base))), 0, 60)
    rare = pc.if_else(pa.array(rows % 300_000 == 299_999), RARE, "")
    return pc.binary_join_element_wise(words, pa.array(rows).cast(pa.string()), rare, " ")


def _pool(base: pa.Array, rows: NDArray[np.int64]) -> list[pa.Array]:
    positives, candidates = _documents_of(base, rows)
    scores = 20.0 - np.arange(DEPTH) - (rows % 97)[:, None] / 97
    scores[_at(rows, LOUD), 0] = 60.0
    every = np.arange(len(rows) + 1, dtype=np.int32)
    ends = (np.arange(len(rows) + 1) * DEPTH).astype(np.int32)
    number = len(rows) * DEPTH
    chosen = np.zeros((len(rows), DEPTH), np.bool_)
    chosen[:, :WIDTH] = _kept(rows)
    late = np.broadcast_to(np.arange(DEPTH) >= DEPTH // 2, chosen.shape)
    outcomes = pc.if_else(pa.array(chosen.ravel()), "chosen",
                          pc.if_else(pa.array(late.ravel()), "not needed", STAGE))  # fmt: skip
    flat: list[Any] = [
        _names(candidates.ravel()), pa.array(scores.ravel().astype(np.float32)),
        pa.array(np.tile(np.arange(1, DEPTH + 1, dtype=np.int32), len(rows))),
        pa.array(["bm25"]).take(pa.array(np.zeros(number, np.int64))), outcomes,
    ]  # fmt: skip
    return [_query_ids(rows), _query_texts(base, rows), list_array(every, _names(positives)),
            list_array(every, pa.array(np.full(len(rows), 30.0, np.float32))),
            *(list_array(ends, values) for values in flat)]  # fmt: skip


def _report(rows: int) -> Report:
    """Return a report without hardness, so that it has to be worked out from the rows."""
    short = planted(rows)["short"]
    none = Distribution(0, 0, None, None)
    dropped = rows * (DEPTH // 2 - WIDTH) + short
    return Report(
        f"bm25@{DEPTH}+{STAGE}", WIDTH, 0, rows, rows, 0, rows * DEPTH,
        [StageCount(STAGE, dropped)], rows * DEPTH // 2, rows * WIDTH - short, 0,
        {WIDTH - 1: short}, none, none,
    )  # fmt: skip


# -- looking ---------------------------------------------------------------------------------------


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    found = work()
    return round(time.perf_counter() - started, 3), found


def _first_view(folder: str) -> tuple[dict[str, Any], InspectedSet]:
    """Open the set and show what is seen first: the first row and the overview."""
    opening, inspected = _timed(lambda: open_inspected(folder))
    row, _ = _timed(lambda: inspected.row(0))
    seen, overview = _timed(lambda: overview_of(inspected))
    values = {
        "open_seconds": opening, "first_row_seconds": row, "overview_seconds": seen,
        "first_view_seconds": round(opening + row + seen, 3), "overview_exact": overview.exact,
    }  # fmt: skip
    return values, inspected


def first(folder: str, rows: int) -> Measured:
    """Open the set for the first time, and wait for all that goes on in the background."""
    before = own_mib()
    with watched() as peak:
        values, inspected = _first_view(folder)
        suspicion = Suspicion(inspected)
        started = time.perf_counter()
        suspicion.start()
        waiting = {one.name for one in suspicion.progress()}
        while waiting:
            suspicion.wait(0.1)
            for one in suspicion.progress():
                if one.failed:
                    raise RuntimeError(one.failed)
                if one.complete and one.name in waiting:
                    waiting.discard(one.name)
                    name = f"{one.name.replace(' ', '_').replace('-', '_')}_known_seconds"
                    values[name] = round(time.perf_counter() - started, 1)
        suspicion.wait(10)
        values["own_peak_mib"] = round(peak() - before, 1)
    return Measured({"rows": len(inspected), **values})


def again(folder: str, rows: int) -> Measured:
    """Open the set again; look at rows, filter and search."""
    before = own_mib()
    with watched() as peak:
        values, inspected = _first_view(folder)
        suspicion = Suspicion(inspected)
        finder = RowFinder(inspected, suspicion)
        chosen = np.random.default_rng(0).choice(rows, RANDOM_ROWS, replace=False).tolist()
        times = [_timed(lambda row=row: (inspected.row(row), suspicion.reasons(row)))[0]
                 for row in chosen]  # fmt: skip
        values["row_median_seconds"] = float(np.median(times))
        values["row_slowest_seconds"] = max(times)
        found = {}
        for name, wanted in _asked().items():
            seconds, answer = _timed(lambda wanted=wanted: finder.find(wanted))
            further, whole = _timed(lambda wanted=wanted: finder.find(wanted, patience=600,
                                                                      enough=rows + 1))  # fmt: skip
            values[f"{name}_seconds"] = seconds
            values[f"{name}_whole_seconds"] = round(seconds + further, 3)
            found[name] = {"first": answer.total, "looked_at": answer.looked_at,
                           "total": whole.total, "complete": whole.complete}  # fmt: skip
        finder.close()
        values["own_peak_mib"] = round(peak() - before, 1)
    return Measured({"rows": len(inspected), **values, "found": found})


def _asked() -> dict[str, Wanted]:
    everywhere = SEARCHED[1]
    return {
        "outscores": Wanted(reasons=frozenset({"outscores"})),
        "near_duplicate": Wanted(reasons=frozenset({"near_duplicate"})),
        "short": Wanted(short=True),
        "suspicious_first": Wanted(order="suspicious"),
        "rare_word": Wanted(search=RARE),
        "common_word": Wanted(search=COMMON),
        "word_nowhere": Wanted(search=NOWHERE),
        "rare_word_in_all_texts": Wanted(search=RARE, search_in=everywhere),
        "common_word_in_all_texts": Wanted(search=COMMON, search_in=everywhere),
        "word_nowhere_in_all_texts": Wanted(search=NOWHERE, search_in=everywhere),
        "document": Wanted(document="d4242"),
    }
