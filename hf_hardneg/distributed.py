"""Several processes on one job, as ``accelerate launch`` and ``torchrun`` start them.

They share one cache folder: each does its share of the work there, and after a barrier each reads
all of it, so that every process ends up with the result a single one would have made.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from hf_hardneg.cache import explain_os_error
from hf_hardneg.errors import OutputError, listing

__all__ = ["World", "processes", "world"]

T = TypeVar("T")
LOOKS, PAUSE = 20, 0.25
"""How often, and every how many seconds, a process looks for a file of another."""
PATIENCE = timedelta(days=7)
"""Some wait while one builds an index, for hours; torch gives up after ten or thirty minutes."""


@dataclass(frozen=True, slots=True)
class World:
    """The processes of a job.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def main(self) -> bool:
        """Whether this is the process that writes outputs and speaks to the user."""
        return self.rank == 0

    def mine(self, number: int) -> bool:
        """Return whether the piece of work with this number is for this process."""
        return number % self.size == self.rank

    def wait(self) -> None:
        """Wait for all processes to come to this point."""
        if self.size > 1:
            _state().wait_for_everyone()

    def from_main(self, compute: Callable[[], T]) -> T:
        """Return what the main process computes, in every process; an error is raised in all."""
        if self.size <= 1:
            return compute()
        from accelerate.utils import broadcast_object_list

        told: list[Any] = [None, None]
        if self.main:
            try:
                told[0] = compute()
            except Exception as error:  # the others would wait for ever
                told[1] = error
        broadcast_object_list(told)
        if told[1] is not None:
            raise told[1]
        return cast(T, told[0])

    def need_shared(self, folder: Path) -> None:
        """Refuse a cache folder that is another one for some of the processes.

        Args:
            folder: where all of them work; made if it is not there.

        Raises:
            OutputError: in every process, if one of them does not see what the main one writes.
        """
        if self.size <= 1:
            return
        from accelerate.utils import gather_object

        mark = self.from_main(lambda: _mark_in(folder))
        lacking = [rank for rank in gather_object([None if _seen(folder / mark) else self.rank])
                   if rank is not None]  # fmt: skip
        if self.main:
            (folder / mark).unlink(missing_ok=True)
        if lacking:
            raise OutputError(
                f"of {self.size} processes, counted from 0, these do not see what process 0 writes "
                f"into its cache folder: {listing(lacking)}. In this process the folder is "
                f"{str(folder)!r}. Expected one folder for all of them: put HF_HARDNEG_CACHE (or "
                "--cache-dir) on a file system that the machines share."
            )


def _mark_in(folder: Path) -> str:
    """Write an empty file of a name that nothing else has; return the name."""
    mark = f".shared-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / mark).touch()
    except OSError as error:
        raise explain_os_error(error, folder) from error
    return mark


def _seen(path: Path) -> bool:
    """Return whether a file is there; a file system over a network may show it late."""
    for _ in range(LOOKS):
        if path.exists():
            return True
        time.sleep(PAUSE)
    return False


def _state() -> Any:  # noqa: ANN401
    """Return Accelerate's state, joined with the other processes; on the CPU it has to be told."""
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)


def processes() -> int:
    """Return how many processes a launcher says it has started; asks nobody and joins nothing."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def world() -> World:
    """Return the processes of this job: one, unless a launcher has started several.

    The launcher's environment is asked first, so that a single process never imports torch here.
    """
    if processes() <= 1:
        return World()
    state = _state()
    return World(state.process_index, state.num_processes)
