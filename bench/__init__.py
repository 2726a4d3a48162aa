"""Benchmarks of the operators: ``python -m bench`` or ``pytest bench/ --benchmark-enable``."""
