"""What can go wrong, said once."""

from __future__ import annotations

__all__ = ["BenchmarkError"]


class BenchmarkError(Exception):
    """The measurement cannot be made, or its sides did not do the same work."""
