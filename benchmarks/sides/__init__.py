"""What is measured. Each function runs in a fresh process, see :mod:`benchmarks.child`.

The imports of a module are the imports of its side; memory is counted from where they end.
"""
