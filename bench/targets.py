"""What the operators should reach on one NVIDIA H200, printed beside what they do reach there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.timing import Times

DEVICE = "H200"


@dataclass(frozen=True)
class Target:
    """At least, or at most, what a case should reach.

    Attributes:
        share: Part of the copy rate.
        seconds: Wall time.
        speedup: Wall time of a baseline over ours, by the name of the baseline.
        memory: Peak memory of ours over that of a baseline, by its name.
    """

    share: float | None = None
    seconds: float | None = None
    speedup: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)


def verdict(target: Target, times: Mapping[str, Times], share: float) -> str:
    """Every part of a target, what was reached, and whether that is enough."""
    ours = times["ours"]
    parts = []
    if target.share is not None:
        parts.append((f"{target.share:.0%} of copy", f"{share:.0%}", share >= target.share))
    if target.seconds is not None:
        reached = f"{ours.wall * 1e3:.3g} ms"
        parts.append((f"{target.seconds * 1e3:.3g} ms", reached, ours.wall <= target.seconds))
    for name, least in target.speedup.items():
        ratio = times[name].wall / ours.wall
        parts.append((f"{least:g}x {name}", f"{ratio:.1f}x", ratio >= least))
    for name, most in target.memory.items():
        part = (ours.peak or 0) / max(times[name].peak or 0, 1)
        parts.append((f"{most:g} of the memory of {name}", f"{part:.2g}", part <= most))
    return "; ".join(
        f"{wanted}: {reached} {'met' if met else 'MISSED'}" for wanted, reached, met in parts
    )
