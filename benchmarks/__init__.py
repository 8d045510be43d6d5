"""Measurements of hf-hardneg: ``python -m benchmarks.run``."""
