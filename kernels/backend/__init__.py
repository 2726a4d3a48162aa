"""What the operators of one backend share: its extension or compiler, and its general reasons.

Importing a file of this folder loads neither an extension nor Triton.
"""

from __future__ import annotations

DEVICES: dict[str, str | None] = {
    "cuda": "cuda",
    "triton": "cuda",
    "native": "cpu",
    "reference": None,
}
"""Every backend, with the type of the only device that ``auto`` tries it on; None for any."""
