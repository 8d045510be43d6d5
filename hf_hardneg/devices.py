"""On which device a model or a search runs; of several processes each has a GPU of its own."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from hf_hardneg.errors import ParameterError
from hf_hardneg.workers import in_worker

__all__ = ["check_search_device", "found_gpu", "model_device", "own_device", "usable_gpu"]

AUTO, CPU, CUDA, MPS = "auto", "cpu", "cuda", "mps"
SEARCH_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
LOCAL_RANKS = (
    "LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK",
    "SLURM_LOCALID", "RANK",
)  # fmt: skip
"""What launchers call the number of a process on its machine; the rank is the best guess else."""
GPU_FILES = ("nvidiactl", "nvidia0", "nvhost-gpu", "nvmap", "kfd", "dxg")
"""In /dev, what the drivers of NVIDIA, of AMD, and of both under Windows make."""


def own_device(requested: str | None, rank: int, size: int, gpus: int) -> str | None:
    """Return the device of one of several processes.

    Args:
        requested: what the user said; ``None`` for the best there is.
        rank: number of this process on its machine.
        size: processes of the job; one alone gets what was requested.
        gpus: CUDA devices that this process sees.

    Returns:
        ``cuda:N`` where a GPU is wanted and none is named. The processes of a machine take them
        in turn, and begin anew where there are fewer, as where each process is shown but one.
    """
    if size <= 1 or gpus < 1 or requested not in (None, CUDA):
        return requested
    return f"{CUDA}:{rank % gpus}"


def model_device(requested: str | None) -> str | None:
    """Return the device on which this process runs a model, ``None`` for the library's choice."""
    size = int(os.environ.get("WORLD_SIZE") or 1)
    if size <= 1 or requested not in (None, CUDA):
        return requested
    import torch

    return own_device(requested, _local_rank(), size, torch.cuda.device_count())


def _local_rank() -> int:
    values = (os.environ.get(name) for name in LOCAL_RANKS)
    return next((int(value) for value in values if value), 0)


def check_search_device(stage: str, value: str) -> str:
    """Return ``value`` if it names a device to search on.

    Raises:
        ParameterError: it does not.
    """
    if isinstance(value, str) and SEARCH_DEVICE.fullmatch(value):
        return value
    raise ParameterError(
        f"{stage}: search_device={value!r}; expected 'auto', 'cpu', 'cuda', 'cuda:1' (or another "
        "number) or 'mps'."
    )


def _gpu_is_possible() -> bool:
    """Return whether it is worth to import torch, which takes seconds, to look for a GPU."""
    if "torch" in sys.modules or not sys.platform.startswith("linux"):
        return True
    return any(Path("/dev", name).exists() for name in GPU_FILES)


def found_gpu() -> str | None:
    """Return the GPU that torch sees for this process, ``None`` where there is none.

    A worker process has none: CUDA does not work in a process that was forked after its start.
    """
    if in_worker() or not _gpu_is_possible():
        return None
    import torch

    if torch.cuda.is_available():
        return model_device(CUDA)
    return MPS if torch.backends.mps.is_available() else None


def usable_gpu(requested: str) -> str:
    """Return a GPU that was asked for by name, as torch names it.

    Raises:
        ParameterError: torch does not see it, or this is a worker process.
    """
    if in_worker():
        raise ParameterError(
            f"search_device={requested!r} with num_proc: CUDA does not work in worker processes. "
            "Leave num_proc out, or use search_device='auto', with which workers search on the CPU."
        )
    import torch

    kind, _, number = requested.partition(":")
    gpus = torch.cuda.device_count() if kind == CUDA and torch.cuda.is_available() else 0
    there = torch.backends.mps.is_available() if kind == MPS else int(number or 0) < gpus
    if not there:
        seen = f"{gpus} of CUDA" if kind == CUDA else "none of Apple"
        raise ParameterError(
            f"search_device={requested!r}: torch {torch.__version__} sees no such GPU here "
            f"({seen}). Use search_device='auto' or 'cpu', or install a build of torch for the GPU."
        )
    return str(model_device(requested))
