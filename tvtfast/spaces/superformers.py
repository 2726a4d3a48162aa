"""What a superformer asks of a space: which weights its architectures share, and what they decide.

`tvtfast.supernet` trains superformers.
"""

from __future__ import annotations

import itertools
import random
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar

from tvtfast.spaces.encodings import Encoded
from tvtfast.spaces.slices import Genes, Layout

A = TypeVar("A")

_DRAWS = 100_000
_MET = 4_096


class Shared(Encoded[A]):
    """What a space says of the weights that its architectures share, see `tvtfast.spaces.Space`."""

    contained_in: str | None = None
    """Name of a space that decodes all architectures of this one, and builds equal models of
    them."""

    @abstractmethod
    def draw(self, rng: random.Random) -> A:
        """See `tvtfast.spaces.Space.draw`."""

    def is_within(self, name: str) -> bool:
        """Whether it is the space of a name, or contained in it: a superformer of that space has
        the weights of all its architectures."""
        return name in (self.name, self.contained_in)

    usual_sharing: ClassVar[str] = "cyclic"
    """How a superformer of the space shares channels unless told otherwise."""

    usual_qkv_mode: ClassVar[int] = 2
    """What is private to a number of heads there unless told otherwise."""

    def largest(self) -> Iterator[A]:
        """Architectures of the largest widths and depth that together use every parameter that a
        superformer of the space stores.

        Raises:
            ValueError: A space without a superformer.
        """
        raise self._no_superformer()

    def genes(self, arch: A) -> Genes:
        """The decisions of an architecture by the link that takes them up.

        Candidates with equal genes up to some link are the same network on the same slices up to
        there: what a slice is private to, and the widths it is cut by, are among them. Genes of two
        architectures can be compared by order.

        Raises:
            ValueError: A space without a superformer.
        """
        raise self._no_superformer()

    def layout(self, arch: A, qkv_mode: int) -> Layout:
        """Where every parameter of an architecture lies among those of the superformer.

        Args:
            arch: An architecture of the space.
            qkv_mode: What is private to a number of heads, see `tvtfast.spaces.QKV_MODES`; a space
                without a choice of heads has no use for it.

        Raises:
            ValueError: A space without a superformer.
        """
        raise self._no_superformer()

    def fused_layout(self, arch: A, qkv_mode: int) -> Layout:
        """`layout` as the released code of ViTAS has it: q and k (in mode 0 also v) are one stored
        weight and are cut as one, so that a width of ``w`` takes ``2 w`` of its channels, and those
        of k are others for every width.

        Raises:
            ValueError: A space that was not released so.
        """
        raise ValueError(
            f"space {self.name!r} has no fused q and k: that is how the released code of ViTAS "
            "cuts vitas-deit, vitas-deit-large and vitas-deit-cell; leave fused_qk out"
        )

    def draw_active(self, rng: random.Random, identity_probability: float) -> A:
        """One architecture each of whose slots holds no block with a given probability.

        Raises:
            ValueError: A space whose blocks cannot be missing.
        """
        raise ValueError(
            f"space {self.name!r} draws no identity blocks; train its superformer without a window "
            "of FLOPs, or implement draw_active"
        )

    def decisions(self, arch: A) -> dict[str, Any]:
        """What an architecture decides, by name, as far as a superformer trains it: a block that is
        not there decides nothing.

        Names that differ in square brackets alone are of one kind. Default: the `genes`, each by
        its number and place.

        Raises:
            ValueError: A space without a superformer.
        """
        return {
            f"gene {number}[{place}]": value
            for place, gene in enumerate(self.genes(arch))
            for number, value in enumerate(gene)
        }

    def decision_values(self) -> dict[str, tuple[Any, ...]]:
        """All values of every name in `decisions`.

        Default: those that are met in `largest` and in 4,096 draws. A space with rarer ones states
        them.

        Raises:
            ValueError: A space without a superformer.
        """
        rng = random.Random(0)
        found: dict[str, dict[Any, None]] = {}
        for arch in itertools.chain(self.largest(), (self.draw(rng) for _ in range(_MET))):
            for name, value in self.decisions(arch).items():
                found.setdefault(name, {})[value] = None
        return {name: tuple(values) for name, values in found.items()}

    def draw_deciding(self, rng: random.Random, name: str, value: Any) -> A:
        """`draw` of an architecture that decides ``name`` so, all else as likely as it is then.

        Default: draws until one does.

        Raises:
            ValueError: None of 100,000 does, or a space without a superformer.
        """
        for _ in range(_DRAWS):
            arch = self.draw(rng)
            if self.decisions(arch).get(name) == value:
                return arch
        raise ValueError(
            f"none of {_DRAWS:,} architectures of {self.name!r} has {name} = {value!r}; "
            "implement draw_deciding, or leave the value out of decision_values"
        )

    def _no_superformer(self) -> ValueError:
        return ValueError(
            f"there is no superformer for space {self.name!r}; take one of ViTAS (vitas-deit, "
            "vitas-deit-large, vitas-twins) or of AutoFormer (autoformer-tiny, "
            "autoformer-original-tiny, -small, -base), or one of your own that implements largest, "
            "genes and layout"
        )
