"""Two processes, as torchrun starts them: one order, from which each gets its share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_rows import conflicts, dataset, every_row

import hf_hardneg
from hf_hardneg import ConflictFreeBatchSampler, TopicAwareBatchSampler

JOB = """
    import json, sys
    import numpy as np
    from accelerate import Accelerator, DataLoaderConfiguration
    from datasets import Dataset
    from torch.utils.data import DataLoader
    from hf_hardneg import ConflictFreeBatchSampler, TopicAwareBatchSampler
    from hf_hardneg.distributed import world
    from hf_hardneg.errors import ParameterError

    folder, rows = sys.argv[1], json.loads(open(sys.argv[2]).read())
    queries, positives, negatives = zip(*rows)
    data = Dataset.from_dict(
        {"query": queries, "positive": positives, "negative": negatives, "row": range(len(rows))}
    )
    config = DataLoaderConfiguration(even_batches=False)
    accelerator = Accelerator(cpu=True, dataloader_config=config)
    rank, size = world().rank, world().size
    # Only the first process has the vectors that count.
    vectors = np.random.default_rng(rank).normal(size=(len(rows), 6))
    columns = {"query_column": "query", "positive_columns": "positive",
               "negative_columns": "negative"}
    samplers = {
        "free": ConflictFreeBatchSampler(data, 4, seed=5, **columns),
        "free, full": ConflictFreeBatchSampler(data, 4, True, seed=5, **columns),
        "topics": TopicAwareBatchSampler(data, 4, seed=5, vectors=vectors, clusters=3),
        "both": TopicAwareBatchSampler(data, 4, seed=5, vectors=vectors, clusters=3,
                                       conflict_free=True, **columns),
    }


    def numbers(rows):
        return [row["row"] for row in rows]

    found = {}
    for name, sampler in samplers.items():
        loader = accelerator.prepare(
            DataLoader(data, batch_sampler=sampler, collate_fn=numbers)
        )
        # Two epochs one after the other, and one that is asked for.
        found[name] = [[batch for batch in loader] for _ in range(2)]
        loader.set_epoch(7)
        found[name].append([batch for batch in loader])
        found[name + ", length"] = len(loader)
    try:
        TopicAwareBatchSampler(data, vectors=np.full((len(rows), 2), 0.0 if rank else np.nan))
    except ParameterError as error:
        found["error"] = str(error)
    json.dump(found, open(f"{folder}/found-{rank}", "w"))
    accelerator.end_training()
"""
PROCESSES = 2


@pytest.fixture(scope="module")
def rows() -> list[Any]:
    random = np.random.default_rng(0)
    # A third has one query, so there are at least 16 batches, with room for 64 rows.
    return [
        [f"q{row if row % 3 else 0}", [f"d{random.integers(20)}"], [f"d{random.integers(40)}"]]
        for row in range(47)
    ]


@pytest.fixture(scope="module")
def found(rows: list[Any], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process got."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "job.py").write_text(textwrap.dedent(JOB))
    (folder / "rows.json").write_text(json.dumps(rows))
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(PROCESSES)]
    source = str(Path(hf_hardneg.__file__).parents[1])
    done = subprocess.run(
        [*start, str(folder / "job.py"), str(folder), str(folder / "rows.json")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": source},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads((folder / f"found-{rank}").read_text()) for rank in range(PROCESSES)]


def alone(rows: list[Any], name: str) -> Any:
    """The sampler as one process has it."""
    data = dataset(rows)
    if name.startswith("free"):
        return ConflictFreeBatchSampler(data, 4, "full" in name, seed=5)
    vectors = np.random.default_rng(0).normal(size=(len(rows), 6))
    return TopicAwareBatchSampler(
        data, 4, seed=5, vectors=vectors, clusters=3, conflict_free=name == "both"
    )


@pytest.mark.parametrize("name", ["free", "free, full", "topics", "both"])
def test_processes_share_the_batches_of_one(
    name: str, rows: list[Any], found: list[dict[str, Any]]
) -> None:
    sampler = alone(rows, name)
    for place, epoch in enumerate([0, 1, 7]):
        sampler.set_epoch(epoch)
        expected = list(sampler)
        if "full" in name:  # no process gets a batch for which there is none for the other
            expected = expected[: len(expected) // PROCESSES * PROCESSES]
        for rank, process in enumerate(found):
            assert process[name][place] == expected[rank::PROCESSES]
            assert process[f"{name}, length"] == len(process[name][place])
        together = [batch for process in found for batch in process[name][place]]
        if "full" not in name:
            assert every_row(together) == list(range(len(rows)))
        if name != "topics":
            assert conflicts(rows, together) == []
    # There are several batches that are not full, and they went to the processes like any other.
    if name in ("free", "both"):
        assert sum(len(batch) < 4 for batch in together) > 2


def test_an_error_of_the_first_process_is_raised_in_all(found: list[dict[str, Any]]) -> None:
    assert all("nan or infinite" in process["error"] for process in found)
