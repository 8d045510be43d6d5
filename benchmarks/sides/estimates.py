"""What mining is expected to take, and what it takes; each in a process of its own."""

from __future__ import annotations

import time
from pathlib import Path

from datasets import Dataset

from benchmarks.child import Measured
from hf_hardneg import Corpus, OfflineMiner
from hf_hardneg.query_sources import load_queries

__all__ = ["expected", "taken"]


def _job(folder: str, strategy: str, rows: int, cache_dir: str) -> tuple[OfflineMiner, Dataset]:
    """Return the miner and its queries, both read already."""
    corpus = Corpus(folder, cache_dir=cache_dir)
    queries = load_queries(folder).rows
    if rows:
        queries = queries.select(range(min(rows, len(queries))))
    return OfflineMiner(strategy, corpus=corpus, cache_dir=cache_dir), queries


def expected(folder: str, strategy: str, rows: int, cache_dir: str) -> Measured:
    """Return what ``estimate`` says."""
    miner, queries = _job(folder, strategy, rows, cache_dir)
    started = time.perf_counter()
    found = miner.estimate(queries)
    spent = time.perf_counter() - started
    phases = {phase.name: round(phase.seconds, 2) for phase in found.phases}
    values = {
        "seconds": round(found.seconds, 2),
        "memory_mib": round(found.memory / 2**20),
        "disk_mib": round(found.disk / 2**20),
        "spent_seconds": round(spent, 2),
        "rows": len(queries),
    }
    return Measured({**values, "phases": phases})


def taken(folder: str, strategy: str, rows: int, cache_dir: str) -> Measured:
    """Mine, and return what it took."""
    miner, queries = _job(folder, strategy, rows, cache_dir)
    before = _size(Path(cache_dir))
    started = time.perf_counter()
    mined = miner.mine(queries)
    seconds = time.perf_counter() - started
    output = Path(cache_dir).with_name("output")
    mined.save_to_disk(str(output))
    disk = _size(Path(cache_dir)) - before + _size(output)
    phases = {name: value for name, value in miner.report(mined).seconds.items() if value > 0.05}
    values = {"seconds": round(seconds, 2), "disk_mib": round(disk / 2**20), "rows": len(mined)}
    return Measured({**values, "phases": phases})


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
