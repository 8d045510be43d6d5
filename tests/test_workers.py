"""A worker process knows that it is one, whoever started it."""

from __future__ import annotations

import multiprocessing
from typing import Any

import multiprocess
import pytest
from datasets import Dataset

from hf_hardneg.workers import in_worker, steady_torch_threads, usable_threads


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


@pytest.mark.parametrize(("asked", "threads"), [("1", 1), ("0", None), ("many", None), ("", None)])
def test_fewer_threads_where_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str, threads: int | None
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    every = usable_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert usable_threads() == (threads or every)


def test_torch_has_the_same_threads_before_and_after_faiss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import faiss
    import torch

    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    try:
        faiss.omp_set_num_threads(before + 1)  # torch's too
        steady_torch_threads()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
