"""What all benchmarks are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Context"]


def _silent(text: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Context:
    """What all benchmarks are told.

    Attributes:
        data: the folder that holds the collections.
        model: the cross-encoder of ``lazy_veto``.
        repeat: how often each side runs.
        work: where fresh folders are made; ``None`` for the system's place for such.
        trial: look for the fastest settings of bare bm25s first.
        queries: size of the sample of ``lazy_veto``.
        gigabytes: size of the index of ``miner_hash``.
        device: of ``gpu``; ``None`` for the GPU that torch sees.
        documents: vectors that ``gpu`` searches.
        texts: documents of ``dense_mining``; 0 for all.
        out: folder of the results.
        say: shows a line of progress.
    """

    data: Path
    model: Path
    repeat: int = 3
    work: Path | None = None
    trial: bool = True
    queries: int = 1_000
    gigabytes: float = 1.1
    device: str | None = None
    documents: int = 8_800_000
    texts: int = 0
    out: Path = Path(__file__).parent / "results"
    say: Callable[[str], None] = _silent

    def order(self, sides: list[str], repeat: int) -> list[str]:
        """Return the sides in turn: forwards in one repeat, backwards in the next."""
        return sides[:: -1 if repeat % 2 else 1]
