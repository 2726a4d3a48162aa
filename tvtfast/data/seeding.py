"""Reproducible draws that leave the caller's random state alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def local_rng(seed: int, *stream: int) -> Iterator[None]:
    """Seed ``random``, ``numpy.random`` and torch's CPU generator inside the block.

    Their states are put back on leaving, also after an exception. Device generators are neither
    read nor seeded.

    Args:
        seed: Non-negative.
        *stream: Non-negative, such as an epoch and the index of an image; streams of one seed are
            independent. None is stream 0.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(seed, spawn_key=stream or (0,)).generate_state(6)
    try:
        random.seed(int(words[0]) << 32 | int(words[1]))
        np.random.seed(words[2:4])
        torch.default_generator.manual_seed(int(words[4]) << 31 | int(words[5]) >> 1)
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
