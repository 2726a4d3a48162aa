"""The interface of a search space. Spaces are data: no torch, no model is ever built here."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from tvtfast.common import checks
from tvtfast.spaces.constraints import (
    Constraints,
    InfeasibleError,
    Window,
    describe_windows,
    parse_constraints,
)
from tvtfast.spaces.counts import Counted
from tvtfast.spaces.options import ModelOptions
from tvtfast.spaces.skeletons import Skeleton
from tvtfast.spaces.superformers import Shared
from tvtfast.spaces.variables import Decided

A = TypeVar("A")

_ENUMERABLE = 1_000_000
_DRAWS_PER_ARCH = 1_000
_MIN_DRAWS = 100_000


class Space(Counted[A], Decided[A], Shared[A]):
    """A finite set of architectures of type ``A`` (a frozen, hashable dataclass).

    Wherever an architecture is expected, its encoded forms (JSON string, published dictionary) are
    accepted too. ``**options`` are the fields of `ModelOptions`; parameter counts and FLOPs depend
    on them. Seeds are integers or ``random.Random`` objects; equal integers give equal results on
    every machine.
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of architectures, without constraints."""

    @abstractmethod
    def draw(self, rng: random.Random) -> A:
        """One architecture; every decision is drawn independently and uniformly."""

    @abstractmethod
    def _mutate(self, arch: A, rng: random.Random, prob: float) -> A: ...

    def _mutate_sized(self, arch: A, rng: random.Random, prob: float, size_prob: float) -> A:
        return self._mutate(arch, rng, prob)

    @abstractmethod
    def _crossover(self, first: A, second: A, rng: random.Random) -> A: ...

    def _skeletons(self, options: ModelOptions) -> Iterator[Skeleton[A]]:
        for arch in self._all():
            yield Skeleton(self._steps(arch, options), (), partial(_without_choices, arch))

    def _all(self) -> Iterator[A]:
        if self.size <= _ENUMERABLE:
            raise NotEnumerableError(
                f"space {self.name!r} does not list its {self.size:,} architectures; implement "
                "_all, or sample it instead"
            )
        raise NotEnumerableError(
            f"space {self.name!r} has {self.size:,} architectures, too many to enumerate "
            f"(limit {_ENUMERABLE:,}); sample it instead"
        )

    @property
    def enumerable(self) -> bool:
        """Whether `enumerate` lists the space."""
        return self.size <= _ENUMERABLE and type(self)._all is not Space._all

    def enumerate(self, constraints: Constraints | None = None, **options: Any) -> list[A]:
        """All architectures inside the constraints, in a fixed order.

        Raises:
            NotEnumerableError: The space is too large, or its class does not list it.
        """
        windows = parse_constraints(constraints)
        resolved = ModelOptions.of(**options)
        return [arch for arch in self._all() if self._inside(arch, windows, resolved)]

    def skeletons(self, **options: Any) -> Iterator[Skeleton[A]]:
        """The whole space as few architectures with slots in which layers are chosen; a space that
        states none is listed, an architecture at a time.

        Raises:
            ValueError: A space that does not state its steps.
            NotEnumerableError: One without slots that is too large to list.
        """
        return self._skeletons(ModelOptions.of(**options))

    def mutate(
        self,
        arch: A | Mapping[str, Any] | str,
        seed: int | random.Random = 0,
        *,
        prob: float = 0.2,
        size_prob: float | None = None,
    ) -> A:
        """Redraw each decision with probability ``prob``; the result is one the space searches, and
        so has ``arch`` to be.

        ``size_prob`` is that of the decisions on the whole, such as depth and width, in spaces that
        tell them from those on single blocks; default ``prob``.
        """
        size_prob = prob if size_prob is None else size_prob
        for name, given in (("prob", prob), ("size_prob", size_prob)):
            if not 0.0 <= given <= 1.0:
                raise ValueError(f"{name} must be in [0, 1], got {given}")
        return self._mutate_sized(self.check_inside(arch), _rng(seed), prob, size_prob)

    def crossover(
        self,
        first: A | Mapping[str, Any] | str,
        second: A | Mapping[str, Any] | str,
        seed: int | random.Random = 0,
    ) -> A:
        """Take each decision from one of the parents, which the space has to search, with equal
        probability."""
        parents = self.check_inside(first), self.check_inside(second)
        return self._crossover(*parents, _rng(seed))

    def check_options(self, **options: Any) -> None:
        """Refuse options that the space has no models for, such as patches that leave pixels out.

        Raises:
            TypeError: An option that no model has.
            ValueError: Options that do not go together.
        """
        arch, resolved = self.draw(random.Random(0)), ModelOptions.of(**options)
        self._measure("flops", arch, resolved)
        self.check_form(resolved)

    def sample(
        self,
        n: int,
        seed: int | random.Random = 0,
        constraints: Constraints | None = None,
        **options: Any,
    ) -> list[A]:
        """Draw ``n`` distinct architectures inside the constraints.

        Every decision is drawn uniformly and independently, as published; duplicates and
        architectures outside a window are drawn again, on closed-form counts. The first ``k`` of a
        sample of ``n`` are the sample of ``k`` with the same seed.

        Args:
            n: How many.
            seed: Integer, or a generator to continue.
            constraints: ``{"params": (low, high), "flops": (low, high)}``, see `parse_constraints`.
            **options: Fields of `ModelOptions` that the counts depend on.

        Raises:
            InfeasibleError: No architecture, or fewer than ``n``, can be found inside the windows;
                the message names the feasible range.
        """
        n = checks.whole("n", n, least=0)
        windows = parse_constraints(constraints)
        resolved = ModelOptions.of(**options)
        self._refuse_disjoint(windows, resolved)
        rng = _rng(seed)
        if self.enumerable:
            return self._sample_enumerated(n, rng, windows, resolved)
        found: dict[A, None] = {}
        draws = 0
        limit = max(_MIN_DRAWS, _DRAWS_PER_ARCH * n)
        while len(found) < n:
            if draws == limit:
                raise InfeasibleError(
                    f"found {len(found)} of {n} architectures of {self.name!r} with "
                    f"{describe_windows(windows)} in {draws:,} draws; the space spans "
                    f"{self._ranges(windows, resolved)}; widen the window or ask for fewer"
                )
            draws += 1
            arch = self.draw(rng)
            if arch not in found and self._inside(arch, windows, resolved):
                found[arch] = None
        return list(found)

    def _sample_enumerated(
        self, n: int, rng: random.Random, windows: dict[str, Window], options: ModelOptions
    ) -> list[A]:
        inside = [arch for arch in self._all() if self._inside(arch, windows, options)]
        if n > len(inside):
            where = f" with {describe_windows(windows)}" if windows else ""
            spans = f"; the space spans {self._ranges(windows, options)}" if windows else ""
            raise InfeasibleError(
                f"asked for {n} architectures of {self.name!r}{where}, but only {len(inside)} "
                f"of {self.size:,} exist there{spans}; widen the window or ask for fewer"
            )
        rng.shuffle(inside)
        return inside[:n]


class NotEnumerableError(ValueError):
    """The space is too large to list, or its class does not list it."""


def _without_choices(arch: A, choices: Sequence[Any]) -> A:
    return arch


def _rng(seed: int | random.Random) -> random.Random:
    return seed if isinstance(seed, random.Random) else random.Random(checks.seed(seed))
