"""A worker process knows that it is one, whoever started it."""

from __future__ import annotations

import multiprocessing
from typing import Any

import multiprocess
import pytest
from datasets import Dataset

from hf_hardneg.workers import in_worker, usable_threads


def answer(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {
        "worker": [in_worker()] * len(batch["n"]),
        "threads": [usable_threads()] * len(batch["n"]),
    }


def test_this_process_is_no_worker() -> None:
    assert not in_worker()
    assert usable_threads() >= 1


def test_workers_of_dataset_map() -> None:
    """They are started by ``multiprocess``, which ``multiprocessing`` knows nothing of."""
    rows = Dataset.from_dict({"n": [1, 2, 3, 4]}).map(answer, batched=True, num_proc=2)
    assert rows["worker"][:] == [True] * 4
    assert rows["threads"][:] == [1] * 4


@pytest.mark.parametrize("library", [multiprocessing, multiprocess], ids=lambda m: m.__name__)
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_that_are_not_forked(library: Any, method: str) -> None:
    with library.get_context(method).Pool(1) as pool:
        assert pool.apply(in_worker)
