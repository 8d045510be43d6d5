"""What encoding is expected to take, from a few texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.encoders import Encoder, SentenceEncoder, encode_checked
from hf_hardneg.vector_search import exact_search
from hf_hardneg.workload import Advice, Nearest, Phase, Workload, seconds_by_length, timed

__all__ = ["PROBE", "Texts", "encoding", "in_places", "loading", "near_documents"]

PROBE = "How long does it take?"
NEAREST = 8
SMALL_MODEL, SMALL_WEIGHTS = "sentence-transformers/all-MiniLM-L6-v2", 10.6e6
"""Of its layers; what is looked up, as embeddings are, costs nothing."""
GPU_FLOPS = 3e13
CHARACTERS_PER_TOKEN = 4.0


@dataclass(frozen=True)
class Texts:
    """Texts to be encoded.

    Attributes:
        lengths: of all of them, shape (texts,).
        take: returns those in some places.
        role: ``query`` or ``document``.
    """

    lengths: NDArray[np.int64]
    take: Callable[[list[int]], Sequence[str]]
    role: str


def encoding(name: str, encoder: Encoder, texts: Texts, stored: int, work: Workload) -> Phase:
    """Return what encoding is expected to take.

    Args:
        name: of the retriever.
        encoder: the model.
        texts: what is not encoded yet.
        stored: bytes of a vector on disk.
        work: the whole job.
    """

    def encode(with_model: Encoder, places: list[int]) -> object:
        return encode_checked(with_model, list(texts.take(places)), texts.role)

    seconds, number = seconds_by_length(partial(encode, encoder), texts.lengths, work.budget)
    return Phase(
        f"{name}: encode {'queries' if texts.role == 'query' else 'documents'}",
        seconds / work.processes,
        disk=stored * len(texts.lengths),
        basis=f"{number:,} of {len(texts.lengths):,} texts",
        advice=tuple(_faster(encoder, texts, encode, seconds / work.processes, work)),
    )


def _faster(
    encoder: Encoder,
    texts: Texts,
    encode: Callable[[Encoder, list[int]], object],
    seconds: float,
    work: Workload,
) -> list[Advice]:
    """Return other ways to encode the same texts."""
    if not isinstance(encoder, SentenceEncoder):
        return []
    advice = []
    if encoder.has_faster_dtype():
        lower = encoder.with_dtype("auto")

        def in_bfloat16() -> float:
            own = seconds_by_length(partial(encode, lower), texts.lengths, work.budget)
            return own[0] / work.processes

        advice.append(Advice("encode in bfloat16: dtype='auto'", in_bfloat16))
    weights = encoder.layer_weights()
    if weights >= 2 * SMALL_WEIGHTS:
        share = SMALL_WEIGHTS / weights
        advice.append(
            Advice(f"a smaller model, such as {SMALL_MODEL} (by the number of weights)",
                   lambda: seconds * share)
        )  # fmt: skip
    if weights and not encoder.on_gpu():
        tokens = float(np.minimum(texts.lengths / CHARACTERS_PER_TOKEN, encoder.longest()).sum())
        flops = 2 * weights * tokens
        advice.append(
            Advice(f"a GPU (taken to do {GPU_FLOPS / 1e12:.0f} TFLOP/s on this)",
                   lambda: flops / GPU_FLOPS)
        )  # fmt: skip
    return advice


def loading(name: str, encoder: Encoder) -> Phase:
    """Load the model and return what that took."""
    seconds = timed(lambda: encode_checked(encoder, [PROBE], "query"))
    return Phase(f"{name}: load the model", seconds, basis="done")


def near_documents(
    encoder: Encoder, queries: list[str], documents: Sequence[str], rows: NDArray[np.int64]
) -> Nearest:
    """Return for each query the rows of the nearest of some documents, the nearest first."""
    if not queries or not len(documents):
        return []
    one, two = (
        encode_checked(encoder, list(texts), role)
        for texts, role in ((queries, "query"), (documents, "document"))
    )
    best, _ = exact_search(one, [(0, two)], min(NEAREST, len(two)), encoder.similarity)
    return [
        (text, int(rows[place])) for text, line in zip(queries, best, strict=True) for place in line
    ]


def in_places(texts: Sequence[str], role: str) -> Texts:
    """Return texts that are in memory as what is to be encoded."""
    lengths = np.array([len(text.encode()) for text in texts], dtype=np.int64)
    return Texts(lengths, lambda places: [texts[place] for place in places], role)
