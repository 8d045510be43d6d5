"""Encoding and searching on a GPU, against what the GPU can do at most."""

from __future__ import annotations

from typing import Any

from benchmarks.context import Context
from benchmarks.errors import BenchmarkError
from benchmarks.minilm import minilm
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure
from hf_hardneg.devices import found_gpu

__all__ = ["run"]

FULL = {"matrix": 8192, "copy_mib": 2048, "texts": 50_000, "batch_size": 256, "queries": 16_384}
SMALL = {"matrix": 256, "copy_mib": 16, "texts": 16, "batch_size": 8, "queries": 64}
"""On the CPU, where this only shows that it runs."""
DIMENSION, K, BLOCK = 384, 64, 325_000
SEARCH_LIMIT, ENCODE_LIMIT = 4.0, 4.0
LIMITS, SEARCH = "limits", "search"
ENCODERS = {
    "MiniLM, float32": (False, "float32"),
    "MiniLM, bfloat16": (False, "bfloat16"),
    "BERT-base, float32": (True, "float32"),
    "BERT-base, bfloat16": (True, "bfloat16"),
}
JUDGED = "BERT-base, bfloat16"


def _device(context: Context) -> str:
    """Return the device that was asked for, else the GPU.

    Raises:
        BenchmarkError: there is none.
    """
    found = context.device or found_gpu()
    if found is None:
        raise BenchmarkError(
            "gpu: torch sees no GPU here. Run it where there is one and torch is built for it; "
            "'--device cpu --documents 5000' only shows that it runs."
        )
    return found


def run(context: Context) -> Figure:
    """Take the figure."""
    device = _device(context)
    sizes = SMALL if device == "cpu" else FULL
    figure = Figure(
        "gpu",
        "texts encoded and queries searched in a second on one GPU, against a plain product of "
        "large matrices and plain copies on the same GPU",
    )
    figure.data = {"name": "random words, random unit vectors; seeded", "documents":
                   context.documents, "dimension": DIMENSION, "k": K, **sizes}  # fmt: skip
    figure.settings = {"repeat": context.repeat, "device": device, "block": BLOCK}
    for repeat in range(context.repeat):
        for side in context.order([LIMITS, *ENCODERS, SEARCH], repeat):
            context.say(f"repeat {repeat + 1} of {context.repeat}: {side}")
            with fresh_folder(context.work, "gpu") as scratch:
                name, arguments = _call(side, sizes, context.documents)
                if side in ENCODERS:
                    arguments |= {"model": minilm("gpu"), "folder": scratch}
                values = run_side(f"gpu:{name}", {"device": device, **arguments}, scratch)
                figure.add(side, repeat, values)
    _judge(figure)
    return figure


def _call(side: str, sizes: dict[str, int], documents: int) -> tuple[str, dict[str, Any]]:
    """Return the function of a side and its arguments."""
    if side == LIMITS:
        return "limits", {name: sizes[name] for name in ("matrix", "copy_mib")}
    if side == SEARCH:
        own = {"documents": documents, "dimension": DIMENSION, "k": K, "block": BLOCK}
        return "search", {**own, "queries": sizes["queries"]}
    large, dtype = ENCODERS[side]
    own = {name: sizes[name] for name in ("texts", "batch_size")}
    return "encode", {**own, "large": large, "dtype": dtype}


def _judge(figure: Figure) -> None:
    figure.check(
        "the GPU finds what faiss finds on the CPU, rows and scores to the last bit",
        all(run["same"] for run in figure.of(SEARCH)),
    )
    limits = figure.of(LIMITS)
    figure.settings |= {"gpu": limits[0]["gpu"], "cuda": limits[0]["cuda"]}
    for side in (SEARCH, *ENCODERS):
        dtype = "float32" if side == SEARCH else ENCODERS[side][1]
        share = figure.ratio(
            side,
            [run[f"{dtype}_tflops"] for run in limits],
            [run["tflops"] for run in figure.of(side)],
            f"its time over that of the {dtype} products alone, at the speed of a plain product",
        )
        if side in (SEARCH, JUDGED):
            limit = SEARCH_LIMIT if side == SEARCH else ENCODE_LIMIT
            figure.target(f"{side}: times the time of its products, at most {limit}", share, limit)
    figure.notes = [
        "The targets were set before anything was measured on a GPU.",
        "search: vectors in the machine's memory are sent in blocks, once for all queries; seconds "
        "count the scores that the CPU computes anew, device_seconds the search on the GPU alone.",
        "gb_per_second of the search: bytes of the vectors by its seconds; compare with "
        "upload_gb_per_second. tflops of encoding leave out attention and padding.",
        "BERT-base: random weights, 110 million with the embeddings.",
    ]
