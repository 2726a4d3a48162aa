"""How often training took each value of each decision, and what that says of a candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tvtfast.spaces import Space
from tvtfast.supernet.sampling import Subnets

HARDLY = 0.05
"""A value is hardly trained with fewer steps than this share of the mean over all values of its
kind of decision."""

Steps = dict[str, dict[str, int]]
"""By name of a decision and value, as text, the steps whose subnet had that value."""


class Tally:
    """Counts values while training goes on; steps before the first one it is told of are drawn
    again, so a training that was continued counts like one that was not.

    Args:
        subnets: From the number of a step to its subnet.
    """

    def __init__(self, subnets: Subnets) -> None:
        self._subnets = subnets
        self._counted = 0
        self._steps: Steps = {}
        for name, value in subnets.values:
            self._steps.setdefault(name, {})[text(value)] = 0

    def add(self, step: int, arch: Any) -> None:
        """Count the subnet of a step, and of all steps before it."""
        for earlier in range(self._counted, step):
            self._count(self._subnets(earlier))
        if step >= self._counted:
            self._count(arch)
            self._counted = step + 1

    def _count(self, arch: Any) -> None:
        for name, value in self._subnets.space.decisions(arch).items():
            found = self._steps.setdefault(name, {})
            found[text(value)] = found.get(text(value), 0) + 1

    @property
    def steps(self) -> Steps:
        """A copy of what was counted."""
        return {name: dict(values) for name, values in self._steps.items()}


@dataclass(frozen=True)
class Coverage:
    """What was trained how often.

    Args:
        space: The space.
        steps: By name of a decision and value the steps that trained it.
    """

    space: Space[Any]
    steps: Mapping[str, Mapping[str, int]]

    def least(self, arch: Any) -> int:
        """Steps of the least trained value of an architecture."""
        return min(self._of(arch).values())

    def hardly(self, arch: Any) -> tuple[str, ...]:
        """The values of an architecture that were hardly trained, see `HARDLY`."""
        return tuple(
            f"{name} = {value} ({steps:,} steps; the mean of {_kind(name)} is "
            f"{self._means[_kind(name)]:,.0f})"
            for (name, value), steps in self._of(arch).items()
            if steps < HARDLY * self._means[_kind(name)]
        )

    def _of(self, arch: Any) -> dict[tuple[str, str], int]:
        decided = ((name, text(value)) for name, value in self.space.decisions(arch).items())
        return {(name, value): self.steps.get(name, {}).get(value, 0) for name, value in decided}

    @cached_property
    def _means(self) -> dict[str, float]:
        by_kind: dict[str, list[int]] = {}
        for name, values in self.steps.items():
            by_kind.setdefault(_kind(name), []).extend(values.values())
        return {kind: sum(found) / len(found) for kind, found in by_kind.items()}


def text(value: Any) -> str:
    """A value of a decision as a key of JSON."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _kind(name: str) -> str:
    return name.partition("[")[0]
