"""Publishing a made set on a Hub on loopback, by ours and by push_to_hub; loading it back.

Nothing of the Hub's client is imported before its address is known: it reads it once, then.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.child import Measured
from benchmarks.memory import own_mib, watched

__all__ = ["bare", "load", "make", "ours"]

AT_ONCE = 10_000
COLUMNS = ("query", "positive", *(f"negative_{number}" for number in range(1, 6)))
SHARD_ROWS = 250_000
REPOSITORY, CONFIG = "alice/made", "n-tuple"
CARD = f"""---
license: mit
configs:
- config_name: {CONFIG}
  data_files:
  - split: train
    path: data/{CONFIG}/train-*.parquet
---
<!-- hf-hardneg: {CONFIG} -->
# A made set
<!-- /hf-hardneg -->
"""


def _rows(start: int, stop: int) -> dict[str, list[str]]:
    """Return some rows; what they are follows from their numbers alone."""
    words = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(start, stop)]
    return {name: [f"{name} {number}: {word[:32]} {word[32:]}"
                   for number, word in enumerate(words, start)]
            for name in COLUMNS}  # fmt: skip


def _digest(batches: Iterable[dict[str, Any]]) -> str:
    """Return a hash of all rows in their order, whatever the batches."""
    found = {name: hashlib.sha256() for name in COLUMNS}
    for batch in batches:
        for name, column in found.items():
            column.update("".join(f"{text}\n" for text in batch[name]).encode())
    return " ".join(column.hexdigest()[:16] for column in found.values())


def _reach(endpoint: str) -> None:
    """Set where the Hub is, before anything of it is imported."""
    os.environ |= {"HF_ENDPOINT": endpoint, "HF_TOKEN": "hf_alice", "HF_HUB_OFFLINE": "0",
                   "HF_DATASETS_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}  # fmt: skip


def make(rows: int, folder: str) -> Measured:
    """Write the set as Arrow."""
    import pyarrow as pa
    from datasets import Dataset

    Path(folder).mkdir(parents=True)
    path, schema = Path(folder) / "rows.arrow", pa.schema([(name, pa.string()) for name in COLUMNS])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for start in range(0, rows, AT_ONCE):
            batch = _rows(start, min(start + AT_ONCE, rows))
            writer.write_batch(pa.RecordBatch.from_pydict(batch, schema=schema))
    whole = Dataset.from_file(str(path))
    digest = _digest(whole.iter(AT_ONCE))
    return Measured({"digest": digest, "bytes": path.stat().st_size})


def ours(endpoint: str, folder: str, scratch: str) -> Measured:
    """Write the publication and push it."""
    _reach(endpoint)
    from datasets import Dataset
    from huggingface_hub import HfApi

    from hf_hardneg.hub.push import push_folder

    whole = Dataset.from_file(f"{folder}/rows.arrow")
    before = own_mib()
    with watched() as peak:
        started = time.perf_counter()
        _write(whole, Path(scratch))
        done = push_folder(scratch, REPOSITORY)
        seconds = time.perf_counter() - started
        own = peak() - before
    commits = len(HfApi().list_repo_commits(REPOSITORY, repo_type="dataset"))
    return Measured({"seconds": round(seconds, 2), "own_peak_mib": round(own, 1),
                     "commits": commits, "tries": done.tries})  # fmt: skip


def _write(whole: Any, folder: Path) -> None:
    """Write a publication folder."""
    place = folder / "data" / CONFIG
    place.mkdir(parents=True)
    shards = -(-len(whole) // SHARD_ROWS)
    for number in range(shards):
        part = whole.shard(shards, number, contiguous=True)
        part.to_parquet(str(place / f"train-{number:05d}-of-{shards:05d}.parquet"))
    (folder / "hardneg").mkdir()
    (folder / "hardneg" / "recipe.yaml").write_text("name: made\n", encoding="utf-8")
    (folder / "README.md").write_text(CARD, encoding="utf-8")


def bare(endpoint: str, folder: str, scratch: str) -> Measured:
    """Push by ``push_to_hub``; ``scratch`` is not used."""
    _reach(endpoint)
    from datasets import Dataset

    whole = Dataset.from_file(f"{folder}/rows.arrow")
    before = own_mib()
    with watched() as peak:
        started = time.perf_counter()
        whole.push_to_hub(REPOSITORY, config_name=CONFIG)
        seconds = time.perf_counter() - started
        own = peak() - before
    return Measured({"seconds": round(seconds, 2), "own_peak_mib": round(own, 1)})


def load(endpoint: str, streaming: bool) -> Measured:
    """Load it back and read every row."""
    _reach(endpoint)
    from datasets import load_dataset

    before = own_mib()
    with watched() as peak:
        started = time.perf_counter()
        found = load_dataset(REPOSITORY, CONFIG, split="train", streaming=streaming)
        digest = _digest(found.iter(AT_ONCE))
        seconds = time.perf_counter() - started
        own = peak() - before
    return Measured({"seconds": round(seconds, 2), "own_peak_mib": round(own, 1),
                     "digest": digest})  # fmt: skip
