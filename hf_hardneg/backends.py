"""What runs a sentence-transformers model: torch, ONNX Runtime or OpenVINO, and how it is told.

With the latter two, sentence-transformers takes the exported model where the folder or repository
has one (``onnx/model.onnx``, ``openvino/openvino_model.xml``) and exports it in memory else.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from hf_hardneg.checks import one_of
from hf_hardneg.devices import model_device
from hf_hardneg.errors import MissingExtraError, ModelError

__all__ = ["BACKENDS", "DTYPES", "check_backend", "hardware_dtype", "loading_options"]

DTYPES = ("float32", "bfloat16", "float16", "auto")
BACKENDS = {
    "torch": DTYPES,
    "onnx": ("float32", "auto"),
    "openvino": ("float32", "bfloat16", "auto"),
}
"""What computes a model, and the dtypes that it can be told to compute in."""
PACKAGES = {
    "onnx": {"onnxruntime": "onnxruntime", "optimum.onnxruntime": "optimum-onnx"},
    "openvino": {"openvino": "openvino", "optimum.intel": "optimum-intel"},
}
"""The modules that each needs, and the packages that bring them."""
PRECISION = {"float32": "f32", "bfloat16": "bf16"}
BF16_INSTRUCTIONS = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")


def check_backend(backend: str, dtype: str) -> None:
    """Refuse what is unknown, and a dtype that a backend would not heed.

    Raises:
        ParameterError: unknown, or not to be had together.
    """
    one_of("dense", "dtype", dtype, DTYPES)
    one_of("dense", "backend", backend, tuple(BACKENDS))
    one_of(f"dense(backend={backend!r})", "dtype", dtype, BACKENDS[backend])


def hardware_dtype(device: str | None, backend: str = "torch") -> str:
    """Return ``bfloat16`` where it is multiplied in hardware, else ``float32``."""
    import torch

    if backend == "onnx":
        return "float32"
    if backend == "openvino":
        device = "cpu"
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device != "cpu":
        return "float32"
    # Emulated bfloat16 is slower than float32; these two are the instructions that are not.
    checks = (getattr(torch.cpu, name, bool) for name in BF16_INSTRUCTIONS)
    return "bfloat16" if any(check() for check in checks) else "float32"


def loading_options(backend: str, dtype: str, device: str | None) -> dict[str, Any]:
    """Return the arguments of ``SentenceTransformer`` that say where and in what it computes.

    Args:
        backend: one of :data:`BACKENDS`.
        dtype: what it computes in; ``auto`` resolved.
        device: what the user asked for.

    Raises:
        MissingExtraError: a package of the backend is not installed.
        ModelError: the backend does not run on that device.
    """
    for module, package in PACKAGES.get(backend, {}).items():
        if not _is_there(module):
            raise MissingExtraError(package, backend, f"dense(backend={backend!r})")
    if backend == "onnx":
        return _onnx(model_device(device))
    if backend == "openvino":
        return _openvino(dtype, device)
    import torch

    # Always said: left out, transformers takes what the weights were saved in.
    kwargs = {"dtype": getattr(torch, dtype)}
    return {"backend": backend, "device": model_device(device), "model_kwargs": kwargs}


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is not there
        return False


def _onnx(device: str | None) -> dict[str, Any]:
    """Choose device and provider together: left alone, they may be a GPU and the CPU."""
    from onnxruntime import get_available_providers

    cuda = "CUDAExecutionProvider" in get_available_providers()
    if device is not None and device.startswith("cuda") and not cuda:
        raise ModelError(
            f"dense(backend='onnx', device={device!r}): ONNX Runtime has no CUDA here, only "
            f"{', '.join(get_available_providers())}. Install onnxruntime-gpu in the place of "
            "onnxruntime, or use device='cpu'."
        )
    if device is None and cuda:
        import torch

        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    kind, _, number = (device or "cpu").partition(":")
    kwargs: dict[str, Any] = {"provider": "CPUExecutionProvider"}
    if kind == "cuda":
        options = {"device_id": int(number or 0)}
        kwargs = {"provider": "CUDAExecutionProvider", "provider_options": options}
    return {"backend": "onnx", "device": device or "cpu", "model_kwargs": kwargs}


def _openvino(dtype: str, device: str | None) -> dict[str, Any]:
    if device not in (None, "cpu"):
        raise ModelError(
            f"dense(backend='openvino', device={device!r}): OpenVINO is used on the CPU here. "
            "Leave device out, or use backend='torch'."
        )
    kwargs = {
        # Left out, it computes in bfloat16 where the processor can, and makes large models int8.
        "ov_config": {"INFERENCE_PRECISION_HINT": PRECISION[dtype]},
        "load_in_8bit": False,
    }
    return {"backend": "openvino", "device": "cpu", "model_kwargs": kwargs}
