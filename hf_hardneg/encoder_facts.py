"""What a reader of the results should know of a model's vectors, measured on a few documents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.encoders import SentenceEncoder, encode_checked
from hf_hardneg.vectors import DocumentVectors

__all__ = ["measure", "notes_of"]

SAMPLE = 128
NEIGHBOURS = 10
FACTS = "facts.json"


def _nearest(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the nearest of each vector among the others by inner product, ties by number."""
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :NEIGHBOURS]


def _agreement(
    encoder: SentenceEncoder, texts: Sequence[str], vectors: NDArray[np.float32]
) -> float:
    """Return the share of nearest documents that the encoder and the same in float32 agree on."""
    exact = encode_checked(encoder.in_float32(), texts, "document")
    pairs = zip(_nearest(vectors), _nearest(exact), strict=True)
    return float(np.mean([len(np.intersect1d(one, two)) / NEIGHBOURS for one, two in pairs]))


def measure(encoder: SentenceEncoder, documents: DocumentVectors) -> None:
    """Measure on sampled documents, once, and keep it beside their vectors."""
    folder = documents.folder
    if (folder / FACTS).exists():
        return
    numbers = np.linspace(0, len(documents) - 1, min(SAMPLE, len(documents))).astype(np.int64)
    texts = documents.texts_of(numbers)
    facts: dict[str, Any] = {"sample": len(texts), "too_long": encoder.too_long(texts)}
    if encoder.dtype != "float32" and len(texts) > NEIGHBOURS:
        agreement = _agreement(encoder, texts, documents.take(numbers))
        facts |= {"dtype": encoder.dtype, "agreement": round(agreement, 4)}
    beside = folder / f".{FACTS}"
    beside.write_text(json.dumps(facts) + "\n")
    beside.replace(folder / FACTS)


def notes_of(name: str, folder: Path) -> tuple[str, ...]:
    """Return what :func:`measure` found that is worth a note."""
    path = folder / FACTS
    if not path.exists():
        return ()
    facts = json.loads(path.read_text())
    notes = []
    if facts["too_long"]:
        notes.append(
            f"{name}: {facts['too_long']} of {facts['sample']} sampled documents "
            f"({facts['too_long'] / facts['sample']:.0%}) are longer than the model reads: their "
            "ends are not seen."
        )
    if "agreement" in facts:
        notes.append(
            f"{name}: computed in {facts['dtype']}; of the {NEIGHBOURS} nearest of "
            f"{facts['sample']} sampled documents it has {facts['agreement']:.1%} in common with "
            "float32."
        )
    return tuple(notes)
