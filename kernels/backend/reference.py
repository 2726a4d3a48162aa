"""Plain PyTorch: the definition of every operator, and the oracle of its fast versions.

Runs on any device and dtype PyTorch does. Inputs of at most 32 bits are computed in fp32, with
norms summed in fp64; fp64 inputs are computed in fp64 throughout.
"""

from __future__ import annotations

NAME = "reference"


def reasons(call: object) -> tuple[str, ...]:
    """PyTorch serves every call."""
    return ()
