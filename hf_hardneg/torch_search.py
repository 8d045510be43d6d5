"""Candidates by torch, on a GPU or on the CPU, in bounded memory.

What is found here are candidates only: :func:`hf_hardneg.vector_search.exact_search` computes
their scores anew on the CPU, pair by pair, and looks at a block whole where rounding could have
hidden a better one. So the results are those of faiss to the last bit, as long as the sums here
are no further from the true ones than it reckons with. Its bound holds for sums of float32
products in float32 in any order, split in any way and with fused multiply-add (each of the d
steps rounds by at most 2**-24), which is what cuBLAS, rocBLAS and MKL do with float32. It does
not hold for TF32, bfloat16 or half precision inside the product, 2**-11 and 2**-9 a step, with
which torch may replace float32: they are switched off here, and whether they are is tried out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW
from hf_hardneg.devices import AUTO, CPU, CUDA, found_gpu, usable_gpu
from hf_hardneg.errors import ParameterError
from hf_hardneg.vector_search import Nearest, by_faiss

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Tiles", "by_torch", "nearest_on"]

SHARE_OF_GPU = 0.5
"""Of the free memory of a GPU; the rest is for the model that encodes, and for others."""
WITHOUT_GPU = 1 << 29
LEAST = 1 << 24
STAGE = 1 << 25
"""Bytes of pinned memory, twice, through which arrays go to a GPU."""
SCORES_AT_ONCE = 1 << 29
"""More than that keeps no GPU busier, and is near to where 32 bits no longer count them."""
FLOAT, INDEX = 4, 8
ONE_AT_A_TIME = Lock()

Hits = tuple[NDArray[np.float32], NDArray[np.int64]]
T = TypeVar("T")


def nearest_on(device: str, memory: int) -> Nearest:
    """Return how candidates are found: by faiss on the CPU, by torch on a GPU.

    Args:
        device: ``auto`` for the GPU where torch sees one, else the CPU; ``cpu``; or a GPU as
            torch names it.
        memory: bytes to use where the GPU has no memory of its own.

    Raises:
        ParameterError: there is no such GPU.
    """
    chosen = found_gpu() if device == AUTO else device
    if chosen in (None, CPU):
        return by_faiss
    gpu = usable_gpu(str(chosen))
    return by_torch(gpu, None if gpu.startswith(CUDA) else memory)


def by_torch(device: str, memory: int | None = None) -> Nearest:
    """Return a search for candidates with torch, for :func:`exact_search`.

    Args:
        device: as torch names it.
        memory: bytes that it may take on the device; default: half of what is free on a CUDA
            device, half a gigabyte elsewhere. No influence on what is found, but for ties.

    Raises:
        ParameterError: (when it is called) the device does not multiply in full float32, or has
            no memory left.
    """
    return _TorchSearch(device, memory)


@dataclass(frozen=True, slots=True)
class Tiles:
    """How much is on the device at a time.

    Attributes:
        group: queries for which each vector is sent once.
        vectors: vectors at a time.
        queries: queries that are compared with these vectors at a time.
    """

    group: int
    vectors: int
    queries: int

    @classmethod
    def within(cls, memory: int, queries: int, vectors: int, dimension: int, k: int) -> Tiles:
        """Return sizes that need at most so many bytes, of at least one each.

        A quarter is for the queries and the best of each, which are held twice while they are
        merged; one for vectors, twice for their squares; half for scores and what topk needs.
        """
        a_query = 2 * FLOAT * dimension + 4 * k * (FLOAT + INDEX)
        a_vector = 2 * FLOAT * dimension + FLOAT
        group = min(max(memory // 4 // a_query, 1), queries)
        piece = min(max(memory // 4 // a_vector, 1), vectors)
        scores = min(memory // 2 // (3 * FLOAT), SCORES_AT_ONCE)
        return cls(group, piece, min(max(scores // piece, 1), group))


class _TorchSearch:
    """What :func:`by_torch` returns."""

    def __init__(self, device: str, memory: int | None) -> None:
        self._name, self._memory = device, memory
        self._tried = False
        self._stage: list[tuple[Tensor, Any]] = []

    def __call__(
        self,
        queries: NDArray[np.float32],
        vectors: NDArray[np.float32],
        k: int,
        similarity: str,
    ) -> Hits:
        import torch

        values = np.full((len(queries), k), -np.inf, dtype=np.float32)
        places = np.full((len(queries), k), NO_ROW, dtype=np.int64)
        if not len(queries) or not len(vectors):
            return values, places

        def search(memory: int) -> None:
            tiles = Tiles.within(memory, len(queries), len(vectors), queries.shape[1], k)
            for start in range(0, len(queries), tiles.group):
                own = slice(start, start + tiles.group)
                found = self._group(queries[own], vectors, k, similarity == "euclidean", tiles)
                width = found[0].shape[1]
                values[own, :width], places[own, :width] = found

        with full_float32(self._name.partition(":")[0]), torch.inference_mode():
            if not self._tried:
                refuse_short_floats(lambda one, two: one @ two, self._name)
                self._tried = True
            with_less_memory(search, self._free_memory(), self._name)
        return values, places

    def _free_memory(self) -> int:
        if self._memory is not None:
            return self._memory
        if not self._name.startswith(CUDA):
            return WITHOUT_GPU
        import torch

        free, _ = torch.cuda.mem_get_info(self._name)
        # What torch holds for later tensors is not free for others, but is for these.
        kept = torch.cuda.memory_reserved(self._name) - torch.cuda.memory_allocated(self._name)
        return int(SHARE_OF_GPU * (free + kept))

    def _group(
        self,
        queries: NDArray[np.float32],
        vectors: NDArray[np.float32],
        k: int,
        euclidean: bool,
        tiles: Tiles,
    ) -> Hits:
        """Return the best of some queries; the vectors are sent once, the best stay there."""
        import torch

        asked = self._sent(queries)
        lengths = (asked * asked).sum(dim=1, keepdim=True) if euclidean else None
        # 2xy - |y|**2 has the order of -|x - y|**2; twice a float is exact, and |x|**2 comes last.
        twice = 2 * asked if euclidean else asked
        step = tiles.queries
        parts = [twice[start : start + step] for start in range(0, len(twice), step)]
        best: list[tuple[Tensor, Tensor] | None] = [None] * len(parts)
        for start in range(0, len(vectors), tiles.vectors):
            piece = self._sent(vectors[start : start + tiles.vectors])
            squares = (piece * piece).sum(dim=1) if euclidean else None
            for number, part in enumerate(parts):
                scores = part @ piece.T
                if squares is not None:
                    scores -= squares
                values, places = scores.topk(min(k, len(piece)), dim=1)
                best[number] = _merged(best[number], (values, places + start), k)
        found = [pair for pair in best if pair is not None]
        values, places = (torch.cat(tensors) for tensors in zip(*found, strict=True))
        if lengths is not None:
            values -= lengths
        return values.cpu().numpy(), places.cpu().numpy()

    def _sent(self, array: NDArray[np.float32]) -> Tensor:
        """Return an array as a tensor on the device."""
        import torch

        # Read-only arrays would make torch warn; nothing is ever written here.
        host = torch.from_numpy(np.require(array, np.float32, ["C", "W"]))
        if not self._name.startswith(CUDA):
            return host.to(self._name)
        return self._by_pinned_memory(host)

    def _by_pinned_memory(self, host: Tensor) -> Tensor:
        """Send in parts: while one is on its way, or the GPU still at work, the next is copied."""
        import torch

        if not self._stage:
            event: Any = torch.cuda.Event  # has no types
            self._stage = [
                (torch.empty(STAGE // FLOAT, pin_memory=True), event()) for _ in range(2)
            ]
        flat = host.reshape(-1)
        out = torch.empty_like(flat, device=self._name)
        with torch.cuda.device(self._name):
            for number, start in enumerate(range(0, len(flat), STAGE // FLOAT)):
                buffer, sent = self._stage[number % 2]
                sent.synchronize()  # at once, where nothing was sent from this buffer yet
                part = flat[start : start + STAGE // FLOAT]
                buffer[: len(part)].copy_(part)
                out[start : start + len(part)].copy_(buffer[: len(part)], non_blocking=True)
                sent.record()
        return out.reshape(host.shape)


def _merged(
    best: tuple[Tensor, Tensor] | None, more: tuple[Tensor, Tensor], k: int
) -> tuple[Tensor, Tensor]:
    """Return the k best of both, best first."""
    if best is None:
        return more
    import torch

    values, places = (torch.cat(pair, dim=1) for pair in zip(best, more, strict=True))
    values, order = values.topk(min(k, values.shape[1]), dim=1)
    return values, places.gather(1, order)


@contextmanager
def full_float32(kind: str) -> Iterator[None]:
    """Multiply float32 as float32, whatever the program has set; its settings come back.

    They are of the whole process, so one search after the other.
    """
    import torch

    with ONE_AT_A_TIME, ExitStack() as stack:
        stack.enter_context(torch.autocast(kind, enabled=False))
        backends: Any = torch.backends  # not all of it is in the types
        if hasattr(backends.cuda.matmul, "fp32_precision"):
            for flags in (backends.cuda.matmul, backends.mkldnn.matmul):
                stack.callback(setattr, flags, "fp32_precision", flags.fp32_precision)
                flags.fp32_precision = "ieee"
        else:  # before torch 2.9
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("highest")
        yield


def refuse_short_floats(multiply: Callable[[Tensor, Tensor], Tensor], device: str) -> None:
    """Try whether a device multiplies float32 in full, as a product shows that needs every bit.

    There is a switch that torch does not see: ``NVIDIA_TF32_OVERRIDE=1`` in the environment.

    Raises:
        ParameterError: it does not.
    """
    import torch

    value = 2 - 2.0**-23  # 24 ones in binary: no sum of two bfloat16 or TF32 is equal to it
    ones = torch.ones((256, 256), device=device)
    line = torch.eye(256, device=device) * value
    if bool((multiply(line, ones) == value).all() and (multiply(ones, line) == value).all()):
        return
    raise ParameterError(
        f"search_device={device!r} multiplies float32 in fewer bits (TF32 or bfloat16) though it "
        "was told not to, so the search would not be exact. Unset NVIDIA_TF32_OVERRIDE, or use "
        "search_device='cpu'."
    )


def with_less_memory(attempt: Callable[[int], T], memory: int, device: str) -> T:
    """Call with half the memory again for as long as the device has not that much left.

    Raises:
        ParameterError: it has next to nothing left.
    """
    import torch

    while True:
        try:
            return attempt(memory)
        except torch.OutOfMemoryError as error:
            if memory // 2 < LEAST:
                raise ParameterError(
                    f"search_device={device!r} has no memory left for a search, not even "
                    f"{memory / 1e6:,.0f} MB. Free some of it, or use search_device='cpu'."
                ) from error
        memory //= 2
        if device.startswith(CUDA):
            torch.cuda.empty_cache()
