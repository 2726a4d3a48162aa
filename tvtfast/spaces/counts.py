"""Counts of architectures in closed form, and windows of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

from tvtfast.spaces.constraints import (
    PUBLISHED,
    Constraints,
    InfeasibleError,
    Window,
    describe_windows,
    parse_constraints,
)
from tvtfast.spaces.encodings import Encoded
from tvtfast.spaces.features import field_features
from tvtfast.spaces.options import ModelOptions
from tvtfast.spaces.paths import Paths
from tvtfast.spaces.steps import Step

A = TypeVar("A")


class Counted(Encoded[A]):
    """What a space says of the size and cost of its architectures, see `tvtfast.spaces.Space`."""

    pools: ClassVar[tuple[str, ...]] = ()
    """What classifiers of its models can read (``pool`` of the model options), the default first;
    empty for models without a choice."""
    softmax_scales: ClassVar[tuple[str, ...]] = ()
    """Other scales of the softmax that its models know (``softmax_scale`` of the model options)."""

    def _steps(self, arch: A, options: ModelOptions) -> tuple[Step, ...]:
        raise ValueError(
            f"space {self.name!r} does not state the steps of its architectures; implement _steps, "
            "or _params and _macs alone and score candidates one by one"
        )

    def _params(self, arch: A, options: ModelOptions) -> int:
        return sum(step.params for step in self._steps(arch, options))

    def _macs(self, arch: A, options: ModelOptions) -> int:
        return sum(step.macs for step in self._steps(arch, options))

    @abstractmethod
    def _span(self, metric: str, options: ModelOptions) -> Window: ...

    @property
    def has_steps(self) -> bool:
        """Whether its architectures are sequences of known layers, see `paths`."""
        return type(self)._steps is not Counted._steps

    def paths(self, archs: Iterable[A | Mapping[str, Any] | str], **options: Any) -> Paths:
        """A population as sequences of steps: parameters, FLOPs and whatever else is a sum over
        layers are sums over them.

        Raises:
            ValueError: An architecture that is not sound, or a space that does not state its steps.
        """
        return self.paths_of(map(self.decode, archs), ModelOptions.of(**options))

    def paths_of(self, archs: Iterable[A], options: ModelOptions) -> Paths:
        """`paths` of architectures that were decoded already, which are not checked again."""
        return Paths.of(self._steps(arch, options) for arch in archs)

    def params(
        self, arch: A | Mapping[str, Any] | str, num_classes: int = 100, **options: Any
    ) -> int:
        """Exact parameter count of the built model, in closed form."""
        return self._params(self.decode(arch), ModelOptions.of(num_classes=num_classes, **options))

    def flops(
        self,
        arch: A | Mapping[str, Any] | str,
        img_size: int | tuple[int, int] = 224,
        **options: Any,
    ) -> int:
        """FLOPs of one image in evaluation mode, two per multiply-add, in closed form.

        Counts convolutions, linear layers and the two attention products, as
        ``torch.utils.flop_counter`` does; norms, softmax, biases and additions count nothing.
        """
        return 2 * self._macs(self.decode(arch), ModelOptions.of(img_size=img_size, **options))

    def macs(
        self,
        arch: A | Mapping[str, Any] | str,
        img_size: int | tuple[int, int] = 224,
        **options: Any,
    ) -> int:
        """Multiply-adds of one image, half of `flops`: what most papers call FLOPs."""
        return self._macs(self.decode(arch), ModelOptions.of(img_size=img_size, **options))

    def features(self, arch: A | Mapping[str, Any] | str) -> dict[str, float]:
        """Numbers of an architecture in closed form, by name, the same names for all of a space.

        The spaces of this package have ``depth``, the number of blocks, and of ``width`` (embedding
        width), ``num_heads``, ``mlp_ratio`` and what else their blocks differ in the mean over
        blocks, and the sum as ``<name>_sum``. Default: the fields of the architecture, tuples of
        numbers by mean and sum.
        """
        return self._features(self.decode(arch))

    def features_of(self, arch: A) -> dict[str, float]:
        """`features` of an architecture that was decoded already, which is not checked again."""
        return self._features(arch)

    def _features(self, arch: A) -> dict[str, float]:
        return field_features(arch)

    def flops_of(self, arch: A, options: ModelOptions) -> int:
        """`flops` of an architecture that was decoded already, which is not checked again."""
        return self._measure("flops", arch, options)

    @property
    def has_published_flops(self) -> bool:
        """Whether `published_flops_of` counts."""
        return type(self).published_flops_of is not Counted.published_flops_of

    def published_flops_of(self, arch: A, options: ModelOptions) -> int:
        """Cost of one image by the counter of the released code, in the unit of its budgets.

        Raises:
            ValueError: A space that was published without such a counter.
        """
        raise self._no_published_flops()

    def _no_published_flops(self) -> ValueError:
        return ValueError(
            f"space {self.name!r} has no published counter of its own: {PUBLISHED} are those of "
            "ViTAS' released code, for vitas-deit, vitas-deit-large and vitas-deit-cell; limit "
            "flops or macs"
        )

    def check_form(self, options: ModelOptions) -> None:
        """Refuse forms that its models do not have.

        Raises:
            ValueError: A ``pool`` or a ``softmax_scale`` that is none of theirs.
        """
        self.pool_of(options)
        scale = options.softmax_scale
        if scale is not None and scale not in self.softmax_scales:
            raise ValueError(
                f"{self.name}: softmax_scale is {scale!r}, and its models scale by the width of a "
                "head; leave it out, or take a space of ViTAS over DeiT"
            )

    def pool_of(self, options: ModelOptions) -> str | None:
        """What the classifier of its models reads, see `pools`; ``None`` where there is no choice.

        Raises:
            ValueError: ``options.pool`` is none of them.
        """
        if options.pool is None:
            return self.pools[0] if self.pools else None
        if options.pool not in self.pools:
            allowed = " or ".join(map(repr, self.pools)) or "nothing"
            raise ValueError(
                f"{self.name}: pool is {options.pool!r}, which its models do not have; give "
                f"{allowed}, or leave it out"
            )
        return options.pool

    def satisfies(
        self, arch: A | Mapping[str, Any] | str, constraints: Constraints | None, **options: Any
    ) -> bool:
        """Whether the architecture lies inside every window."""
        return self._inside(
            self.decode(arch), parse_constraints(constraints), ModelOptions.of(**options)
        )

    def feasible_range(self, metric: str, **options: Any) -> Window:
        """Least and greatest ``params``, ``flops``, ``macs`` or ``published_flops`` over the space.

        Raises:
            ValueError: Another metric, or a space without published counter.
        """
        parse_constraints({metric: (None, None)})
        resolved = ModelOptions.of(**options)
        if metric == "macs":
            low, high = self._span("flops", resolved)
            return low / 2, high / 2
        return self._known_span(metric, resolved)

    def infeasible(self, constraints: Constraints | None, **options: Any) -> InfeasibleError:
        """The error that says that no architecture lies inside the constraints, and what the space
        spans."""
        return self._infeasible(parse_constraints(constraints), ModelOptions.of(**options))

    def _infeasible(self, windows: dict[str, Window], options: ModelOptions) -> InfeasibleError:
        return InfeasibleError(
            f"no architecture of {self.name!r} has {describe_windows(windows)}; the space spans "
            f"{self._ranges(windows, options)}; move the window into it, or widen it"
        )

    def _refuse_disjoint(self, windows: dict[str, Window], options: ModelOptions) -> None:
        for metric, (low, high) in windows.items():
            least, most = self._known_span(metric, options)
            if high < least or low > most:
                raise self._infeasible({metric: (low, high)}, options)

    def _ranges(self, windows: Mapping[str, Window], options: ModelOptions) -> str:
        return describe_windows({metric: self._known_span(metric, options) for metric in windows})

    def _known_span(self, metric: str, options: ModelOptions) -> Window:
        if metric == PUBLISHED and not self.has_published_flops:
            raise self._no_published_flops()
        return self._span(metric, options)

    def _inside(self, arch: A, windows: Mapping[str, Window], options: ModelOptions) -> bool:
        return all(
            low <= self._measure(metric, arch, options) <= high
            for metric, (low, high) in windows.items()
        )

    def _measure(self, metric: str, arch: A, options: ModelOptions) -> int:
        if metric == "params":
            return self._params(arch, options)
        if metric == PUBLISHED:
            return self.published_flops_of(arch, options)
        return 2 * self._macs(arch, options)


class NotEnumerableError(ValueError):
    """The space is too large to list, or its class does not list it."""
