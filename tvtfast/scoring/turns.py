"""Threads take turns at scoring.

The random state, the number of threads of PyTorch and the mode of a module belong to the whole
process, and scoring changes them for a while: two computations at once would see each other's.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager

_turn = threading.RLock()


def turn() -> AbstractContextManager[object]:
    """What to hold while candidates are computed; the thread that holds it may take it again."""
    return _turn


def _after_fork() -> None:
    """A process that was forked has none of the threads that its parent's lock may wait for."""
    global _turn
    _turn = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
