"""Benchmarks of the operators: ``python -m bench`` or ``pytest bench/ --benchmark-enable``.

An operator is one file in ``cases/`` and one line in ``cases/__init__.py``.
"""
