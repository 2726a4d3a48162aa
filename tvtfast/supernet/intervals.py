"""Which channels of a shared weight a narrower one is made of.

With ``C`` channels and widths ``w_0 < w_1 < ... < w_{K-1} = C``:

- ``ordinal``: width ``w`` takes the first ``w`` channels. The first channel serves every width, the
  last one only the largest.
- ``bilateral``: it takes the first ``w`` and, in a second pass, the last ``w`` (Su et al., "BCNet",
  CVPR 2021), so that both ends are used alike, and those in the middle more.
- ``cyclic``: width ``w_k`` takes a circular interval that begins where that of ``w_{k-1}`` ends,
  ``s_0 = 0, s_{k+1} = (s_k + w_k) mod C``. Laid end to end the intervals wind around the ring
  of channels without a gap, so each channel serves ``floor(S / C)`` or ``ceil(S / C)`` widths,
  ``S`` their sum: usage differs by at most one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from tvtfast.common import checks

SHARING = ("ordinal", "bilateral", "cyclic")


@dataclass(frozen=True)
class Interval:
    """``width`` channels of a ring of ``total``, from ``start`` on.

    Args:
        start: The first channel, in ``[0, total)``.
        width: How many, in ``[1, total]``.
        total: Channels there are.
    """

    start: int
    width: int
    total: int

    def __post_init__(self) -> None:
        if not (0 <= self.start < self.total and 1 <= self.width <= self.total):
            raise ValueError(
                f"an interval of {self.width} channels from {self.start} on does not exist on a "
                f"ring of {self.total}"
            )

    @property
    def pieces(self) -> tuple[tuple[int, int], ...]:
        """Start and length of what it is made of without wrapping around: one or two."""
        first = min(self.width, self.total - self.start)
        rest = self.width - first
        return ((self.start, first), (0, rest)) if rest else ((self.start, first),)

    @property
    def is_whole(self) -> bool:
        """Whether it is all channels in their order."""
        return self.start == 0 and self.width == self.total

    @property
    def channels(self) -> tuple[int, ...]:
        """Its channels, in order."""
        return tuple((self.start + place) % self.total for place in range(self.width))


def sides(sharing: str) -> int:
    """Passes of one subnet: 2 for ``bilateral``.

    Raises:
        ValueError: An unknown way of sharing.
    """
    checks.choice("sharing", sharing, SHARING)
    return 2 if sharing == "bilateral" else 1


@cache
def intervals(widths: tuple[int, ...], sharing: str) -> Mapping[int, tuple[Interval, ...]]:
    """The interval of every width, one per side.

    Args:
        widths: Ascending; the last is all channels.
        sharing: A name of `SHARING`.

    Raises:
        ValueError: Widths that do not ascend, or an unknown way of sharing.
    """
    if not widths or any(a >= b for a, b in zip(widths, widths[1:], strict=False)):
        raise ValueError(f"widths {widths} do not ascend; sort them and take each once")
    total, count = widths[-1], sides(sharing)
    found: dict[int, tuple[Interval, ...]] = {}
    start = 0
    for width in widths:
        if sharing == "cyclic" and width < total:
            found[width] = (Interval(start, width, total),)
            start = (start + width) % total
        else:
            ends = (0, total - width) if count == 2 else (0,)
            found[width] = tuple(Interval(end, width, total) for end in ends)
    return found


def usage(widths: tuple[int, ...], sharing: str) -> list[int]:
    """How many widths, over all sides, each channel serves."""
    counts = [0] * widths[-1]
    for entries in intervals(widths, sharing).values():
        for entry in entries:
            for channel in entry.channels:
                counts[channel] += 1
    return counts
