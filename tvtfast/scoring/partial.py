"""Kendall's partial tau: agreement of scores and accuracies with size held fixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tvtfast.scoring.agreement import Floats

_ROUNDING = 1e-12


class Partial(NamedTuple):
    """A coefficient of every resample, or why there is none.

    Args:
        values: ``[1 + R]``, the candidates themselves first; NaN where it is not defined.
        reason: Why the first is NaN; empty where it is not.
    """

    values: Floats
    reason: str


def partial_tau(
    tau: Callable[[str, str], Floats],
    score: str,
    accuracy: str,
    size: str,
    depth: str | None = None,
) -> Partial:
    """Tau with one or two columns held fixed.

    ``t_xy.z = (t_xy - t_xz t_yz) / sqrt((1 - t_xz^2) (1 - t_yz^2))`` on tau-b, and given a second
    column ``d`` the same of what is left: ``t_xy.zd`` of ``t_xy.z``, ``t_xd.z`` and ``t_yd.z``.
    Where a column ranks exactly as one that is held fixed, nothing is left of it: NaN.

    Source: Kendall, "Partial rank correlation", Biometrika 32, 1942.

    Args:
        tau: Tau-b of two columns by name ``[1 + R]``.
        score: Name of the scores.
        accuracy: Name of the accuracies.
        size: Name of the column that is held fixed.
        depth: Name of the second one; ``None`` for none.
    """
    xz, yz = tau(score, size), tau(accuracy, size)
    found = _without(tau(score, accuracy), xz, yz)
    reason = _same("the scores", size, xz) or _same("the accuracies", size, yz)
    if depth is None or reason:
        return Partial(found, reason)
    dz = tau(depth, size)
    xd, yd = (_without(tau(name, depth), tau(name, size), dz) for name in (score, accuracy))
    reason = (
        _same(depth, size, dz)
        or _same(f"given {size}, the scores", depth, xd)
        or _same(f"given {size}, the accuracies", depth, yd)
    )
    return Partial(_without(found, xd, yd), reason)


def _without(xy: Floats, xz: Floats, yz: Floats) -> Floats:
    """``t_xy.z``; NaN where x or y ranks as z."""
    left = (1 - xz**2) * (1 - yz**2)
    left[(1 - xz**2 <= _ROUNDING) | (1 - yz**2 <= _ROUNDING)] = np.nan
    found: Floats = (xy - xz * yz) / np.sqrt(left)
    return found


def _same(first: str, second: str, tau: Floats) -> str:
    """What to say where two columns rank alike, or the other way round; else empty."""
    return f"{first} and {second} are one ranking" if 1 - tau[0] ** 2 <= _ROUNDING else ""
