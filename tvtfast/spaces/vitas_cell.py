"""The block-level space of ViTAS: all blocks of an architecture are alike.

Source: the released code of ViTAS, whose model of 1.3 billion multiply-adds was found there.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tvtfast.spaces.plain import shown
from tvtfast.spaces.variables import Variable
from tvtfast.spaces.vitas_deit import VitasDeitArch, VitasDeitSpace, tenths


@dataclass(frozen=True)
class VitasCellSpace(VitasDeitSpace):
    """Ranges of a ViTAS space over DeiT whose architectures repeat one block.

    The arguments are those of `VitasDeitSpace`; ``size`` is ``patches * widths * depths * heads *
    qkv * mlp``.

    Args:
        contained_in: Name of a `VitasDeitSpace` with all of these choices, if there is one.
    """

    contained_in: str | None = None

    @property
    def _depths(self) -> tuple[int, ...]:
        return tuple(range(self.min_depth, self.slots + 1))

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Patch size, width, depth, and heads, qkv width and MLP width of all blocks."""
        return (
            Variable("patch_size", self.patch_sizes),
            Variable("embed_dim", self.embed_dims),
            Variable("depth", self._depths),
            *(Variable(decision, choices) for decision, choices in self._per_block),
        )

    @property
    def size(self) -> int:
        total = 1
        for variable in self.variables:
            total *= len(variable.choices)
        return total

    def _all(self) -> Iterator[VitasDeitArch]:
        if not self.enumerable:
            return super()._all()
        choices = (variable.choices for variable in self.variables)
        return map(self._from_values, itertools.product(*choices))

    def _from_values(self, values: Sequence[Any]) -> VitasDeitArch:
        patch, dim, depth, *block = values
        return VitasDeitArch(patch, dim, *((value,) * depth for value in block))

    def _to_values(self, arch: VitasDeitArch) -> Sequence[Any]:
        block = (arch.num_heads[0], arch.qkv_dim[0], arch.mlp_dim[0])
        return (arch.patch_size, arch.embed_dim, arch.depth, *block)

    def _with_depth(self, rng: random.Random, depth: int) -> VitasDeitArch:
        patch, dim, _, *block = (rng.choice(variable.choices) for variable in self.variables)
        return self._from_values((patch, dim, depth, *block))

    def _deciding(
        self, arch: VitasDeitArch, decision: str, block: int, value: int
    ) -> VitasDeitArch:
        changed: Any = {decision: (value,) * arch.depth}
        return replace(arch, **changed)

    def _outside(self, arch: VitasDeitArch) -> str:
        for decision, _ in self._per_block:
            values = getattr(arch, decision)
            if len(set(values)) > 1:
                return f"{decision} is {shown(values)}; searched: blocks that are all alike"
        return super()._outside(arch)

    def _mutate_sized(
        self, arch: VitasDeitArch, rng: random.Random, prob: float, size_prob: float
    ) -> VitasDeitArch:
        probabilities = (size_prob,) * 3 + (prob,) * len(self._per_block)
        fresh = self._to_values(self.draw(rng))
        return self._from_values(
            [
                new if rng.random() < chance else old
                for new, old, chance in zip(
                    fresh, self._to_values(arch), probabilities, strict=True
                )
            ]
        )

    def _crossover(
        self, first: VitasDeitArch, second: VitasDeitArch, rng: random.Random
    ) -> VitasDeitArch:
        pairs = zip(self._to_values(first), self._to_values(second), strict=True)
        return self._from_values([rng.choice(pair) for pair in pairs])


SPACES = (
    VitasCellSpace(
        "vitas-deit-cell",
        (16,),
        tenths(384),
        12,
        12,
        (3, 6, 12, 16),
        tenths(1440),
        tenths(1440),
        contained_in="vitas-deit",
    ),
)
