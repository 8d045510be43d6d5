"""On a GPU: what it can do at most, texts encoded, queries searched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.child import Measured
from hf_hardneg.encoders import EncoderSettings, SentenceEncoder
from hf_hardneg.torch_search import by_torch, full_float32
from hf_hardneg.vector_search import exact_search

__all__ = ["encode", "limits", "search"]

TRIALS = 5
CHECKED = 16
PART = 100_000
WORDS = (20, 120)
"""In a text, from and to; passages of web search are of that size."""

Floats = NDArray[np.float32]


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()


def _best(work: Callable[[], Any], device: str) -> float:
    """Return the seconds of the fastest of several calls, after one that does not count."""
    times = []
    for _ in range(TRIALS + 1):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        times.append(time.perf_counter() - started)
    return min(times[1:])


def limits(device: str, matrix: int, copy_mib: int) -> Measured:
    """Measure a plain product of large matrices, a plain copy, and a plain upload."""
    values: dict[str, Any] = {"gpu": _name(device), "cuda": torch.version.cuda or torch.version.hip}
    one = torch.randn((matrix, matrix), device=device)
    with full_float32(device.partition(":")[0]):
        values["float32_tflops"] = 2e-12 * matrix**3 / _best(lambda: one @ one, device)
    short = one.bfloat16()
    values["bfloat16_tflops"] = 2e-12 * matrix**3 / _best(lambda: short @ short, device)
    size = copy_mib << 20
    here = torch.zeros(size, dtype=torch.uint8, device=device)
    there = torch.empty_like(here)
    # Each byte is read and written.
    values["copy_gb_per_second"] = 2e-9 * size / _best(lambda: there.copy_(here), device)
    host = torch.zeros(size, dtype=torch.uint8, pin_memory=device.startswith("cuda"))
    upload = _best(lambda: there.copy_(host, non_blocking=True), device)
    values["upload_gb_per_second"] = 1e-9 * size / upload
    return Measured(values)


def _name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


# -- encoding --------------------------------------------------------------------------------


def _texts(model: str, number: int) -> list[str]:
    """Return texts of random words, each of them one token of the model's vocabulary."""
    from transformers import AutoTokenizer

    vocabulary = AutoTokenizer.from_pretrained(model).get_vocab()
    words = np.array(sorted(word for word in vocabulary if word.isalpha() and word.isascii()))
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(words, rng.integers(*WORDS))) for _ in range(number)]


def _random_bert(tokenizer: str, folder: Path) -> Path:
    """Write a model of BERT-base's shape, 110 million random weights, with mean pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    words = AutoTokenizer.from_pretrained(tokenizer)
    BertModel(BertConfig(vocab_size=len(words))).save_pretrained(folder / "bert")
    words.save_pretrained(folder / "bert")
    modules = [Transformer(str(folder / "bert"), max_seq_length=256), Pooling(768)]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "model"))
    return folder / "model"


def encode(
    device: str, model: str, large: bool, dtype: str, texts: int, batch_size: int, folder: str
) -> Measured:
    """Encode texts with MiniLM, or with a random model of BERT-base's shape."""
    asked = _texts(model, texts)
    path = str(_random_bert(model, Path(folder))) if large else model
    encoder = SentenceEncoder(
        path, EncoderSettings(dtype=dtype), device=device, batch_size=batch_size
    )
    encoder.encode(asked[: 2 * batch_size], "document")
    started = time.perf_counter()
    encoder.encode(asked, "document")
    seconds = time.perf_counter() - started
    loaded = encoder._open()
    tokens = sum(len(text.split()) + 2 for text in asked)
    core = sum(
        weights.numel() for name, weights in loaded.named_parameters() if "embeddings" not in name
    )
    return Measured(
        {
            "seconds": round(seconds, 3),
            "texts_per_second": round(texts / seconds, 1),
            "tokens_per_second": round(tokens / seconds, 1),
            "parameters": sum(weights.numel() for weights in loaded.parameters()),
            # Two for each weight and token; attention itself and padding are left out.
            "tflops": 2e-12 * core * tokens / seconds,
        }
    )


# -- search ----------------------------------------------------------------------------------


def _vectors(number: int, dimension: int, seed: int) -> Floats:
    """Return random vectors of length one, made in parts: there may be gigabytes of them."""
    out = np.empty((number, dimension), dtype=np.float32)
    rng = np.random.default_rng(seed)
    for start in range(0, number, PART):
        part = out[start : start + PART]
        rng.standard_normal(dtype=np.float32, out=part)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return out


def search(
    device: str, documents: int, dimension: int, queries: int, k: int, block: int
) -> Measured:
    """Search vectors that lie in the memory of the machine, as ``DenseRetriever`` does."""
    vectors, asked = _vectors(documents, dimension, 0), _vectors(queries, dimension, 1)
    nearest, spent = by_torch(device), 0.0

    def timed(one: Floats, two: Floats, k: int, similarity: str) -> Any:
        nonlocal spent
        started = time.perf_counter()
        found = nearest(one, two, k, similarity)
        spent += time.perf_counter() - started
        return found

    def blocks() -> Iterator[tuple[int, Floats]]:
        for start in range(0, documents, block):
            yield start, vectors[start : start + block]

    nearest(asked, vectors[: 2 * k], k, "dot")
    started = time.perf_counter()
    numbers, scores = exact_search(asked, blocks(), k, "dot", timed)
    seconds = time.perf_counter() - started

    def after() -> dict[str, Any]:
        own, values = exact_search(asked[:CHECKED], blocks(), k, "dot")
        same = np.array_equal(own, numbers[:CHECKED])
        return {"same": bool(same and np.array_equal(values, scores[:CHECKED]))}

    return Measured(
        {
            "seconds": round(seconds, 3),
            "device_seconds": round(spent, 3),
            "queries_per_second": round(queries / seconds, 1),
            "tflops": 2e-12 * queries * documents * dimension / seconds,
            "gb_per_second": 4e-9 * documents * dimension / seconds,
        },
        after,
    )
