"""What of a machine decides the values that training on it gives."""

from __future__ import annotations

import platform
from typing import Any

from hf_hardneg.errors import ParameterError
from hf_hardneg.workers import steady_torch_threads

__all__ = ["training_device"]

FIRST = "cuda:0"


def training_device(requested: str | None) -> dict[str, Any]:
    """Return what of a device decides the values of a run, as plain values.

    The same run on a GPU and on a CPU, on two kinds of GPU, or with another number of threads adds
    up in another order: the weights differ in their last digits at first, and a ranking after some
    hundred steps in more than that. So a run that was made on one is not the run of the other.

    Args:
        requested: as in PyTorch; ``None`` for what sentence-transformers takes.

    Returns:
        ``type``; of a CPU its ``machine``, the ``instructions`` that PyTorch uses on it and the
        number of ``threads``; of a GPU of CUDA its ``name``, its compute ``capability``, and the
        versions of ``cuda`` and ``cudnn``; and ``float32_matmul``, the precision that PyTorch is
        set to for products of float32.

    Raises:
        ParameterError: there is no such device, or it is a GPU other than the first, on which the
            trainer of transformers would not train.
    """
    import torch
    from sentence_transformers.util import get_device_name

    name = requested or get_device_name()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ParameterError(
            f"training: device={requested!r}; expected one of PyTorch, such as 'cpu', 'cuda' or "
            f"'mps': {str(error).splitlines()[0]}"
        ) from error
    facts: dict[str, Any] = {
        "type": device.type,
        "float32_matmul": torch.get_float32_matmul_precision(),
    }
    if device.type == "cpu":
        steady_torch_threads()
        facts |= {
            "machine": platform.machine(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
        }
    elif device.type == "cuda":
        facts |= _of_cuda(device.index or 0, name)
    return facts


def _of_cuda(index: int, requested: str) -> dict[str, Any]:
    import torch

    if not torch.cuda.is_available():
        raise ParameterError(
            f"training: device={requested!r}, and torch {torch.__version__} sees no GPU of CUDA "
            "here. Leave device out, or install a build of torch for the GPU."
        )
    if index:
        raise ParameterError(
            f"training: device={requested!r}; the trainer of transformers trains on the first GPU "
            f"that the process sees. Leave device out and set CUDA_VISIBLE_DEVICES={index}."
        )
    major, minor = torch.cuda.get_device_capability(FIRST)
    return {
        "name": torch.cuda.get_device_name(FIRST),
        "capability": f"{major}.{minor}",
        "cuda": str(torch.version.cuda),
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    }
