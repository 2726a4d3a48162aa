"""A search space of one's own, made of a dataclass, lists of choices and a model."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeAlias, TypeVar

import torch

from tvtfast.models.builder import blank
from tvtfast.models.flops import count_flops
from tvtfast.models.registry import ModelMaker
from tvtfast.spaces import Choices, Decision, ModelOptions, Window

A = TypeVar("A")

Count: TypeAlias = Callable[[Any, ModelOptions], int]
"""``count(arch, options)``."""

_LISTED = 10_000
_SPANNED = 256


class ChoiceSpace(Choices[A]):
    """A space of all combinations of choices, and the model that is built of each.

    ::

        @dataclass(frozen=True)
        class MixerArch:
            width: int
            depth: int

        space = tvtfast.ChoiceSpace(
            "mixer", MixerArch, {"width": (16, 24, 32), "depth": (2, 3)}, Mixer
        )

    Parameters and FLOPs are those of the model, which is built on the meta device for that: about a
    millisecond per block for parameters, and ten for FLOPs. Closed forms are faster; they are
    compared with the model of three architectures (all first choices, all last ones, one drawn)
    when they are first used with some model options. Candidates are built and scored one at a time.

    Windows are compared with `feasible_range`, whose ends are found choice by choice in a space of
    more than 256 architectures: they are exact where it does not depend on the other decisions
    which choice of one costs least, and which most.

    Args:
        name: Name in the registry; the command line and folders know it after
            ``tvtfast.spaces.register(space)``.
        arch_type: A frozen dataclass, its fields the names in ``choices``.
        choices: By name of a decision its values, or `tvtfast.spaces.PerBlock` for one that is
            made once per block.
        model: ``model(arch, space, options)``, a `tvtfast.models.CandidateModel` of whatever
            layers.
        params: ``params(arch, options)``, parameters in closed form; default those of the model.
        flops: ``flops(arch, options)``, FLOPs of one image in closed form, two per multiply-add;
            default those of the model, as `torch.utils.flop_counter` counts them.

    Raises:
        TypeError: ``arch_type`` is no frozen dataclass.
        ValueError: Names that are not its fields, or choices that are none, double or not of JSON.
            From any count: a closed form that the model contradicts.
    """

    def __init__(
        self,
        name: str,
        arch_type: type[A],
        choices: Mapping[str, Decision],
        model: ModelMaker,
        *,
        params: Count | None = None,
        flops: Count | None = None,
    ) -> None:
        super().__init__(name, arch_type, choices)
        self.model = model
        self._stated = {"params": params, "flops": flops}
        self._checked: set[ModelOptions] = set()
        self._counted: dict[tuple[str, Any, ModelOptions], int] = {}
        self._spans: dict[tuple[str, ModelOptions], Window] = {}

    def _identity(self) -> tuple[Any, ...]:
        return (*super()._identity(), self.model, self._stated)

    @property
    def enumerable(self) -> bool:
        """Whether `enumerate` lists the space: at most 10,000 architectures, whose counts may take
        a model each."""
        return self.size <= _LISTED

    def _params(self, arch: A, options: ModelOptions) -> int:
        return self._count("params", arch, options)

    def _macs(self, arch: A, options: ModelOptions) -> int:
        return self._count("flops", arch, options) // 2

    def _count(self, what: str, arch: A, options: ModelOptions) -> int:
        if options not in self._checked:
            for name, closed in self._stated.items():
                if closed is not None:
                    self._compare(name, closed, options)
            self._checked.add(options)
        stated = self._stated[what]
        return self._count_model(what, arch, options) if stated is None else stated(arch, options)

    def _compare(self, what: str, stated: Count, options: ModelOptions) -> None:
        variables = self.variables
        for arch in (
            self._from_values([variable.choices[0] for variable in variables]),
            self._from_values([variable.choices[-1] for variable in variables]),
            self.draw(random.Random(0)),
        ):
            said, found = stated(arch, options), self._count_model(what, arch, options)
            if said != found:
                raise ValueError(
                    f"{self.name}: {what} of {self.text(arch)} are {said:,} by the function given, "
                    f"and {found:,} by the model; correct it, or leave {what} out"
                )

    def _count_model(self, what: str, arch: A, options: ModelOptions) -> int:
        key = (what, arch, options)
        if key not in self._counted:
            model = blank(arch, space=self, **asdict(options)).eval()
            if what == "params":
                self._counted[key] = sum(parameter.numel() for parameter in model.parameters())
            else:
                self._counted[key] = self._flops_of(model, options)
        return self._counted[key]

    def _flops_of(self, model: torch.nn.Module, options: ModelOptions) -> int:
        with torch.device("meta"):
            images = torch.empty(1, options.in_chans, *options.img_size)
            try:
                return count_flops(model, images)
            except RuntimeError as error:
                raise ValueError(
                    f"{self.name}: FLOPs of {type(model).__name__} cannot be counted on the meta "
                    f"device, where tensors have no values ({error}); mend the model, or state "
                    "them: ChoiceSpace(..., flops=...)"
                ) from error

    def _span(self, metric: str, options: ModelOptions) -> Window:
        key = (metric, options)
        if key not in self._spans:
            if self.size <= _SPANNED:
                values = [self._measure(metric, arch, options) for arch in self._all()]
                self._spans[key] = min(values), max(values)
            else:
                self._spans[key] = (
                    self._extreme(metric, options, 1),
                    self._extreme(metric, options, -1),
                )
        return self._spans[key]

    def _extreme(self, metric: str, options: ModelOptions, sign: int) -> int:
        """The least count (``sign`` 1) or the greatest (-1) that choices reach one at a time."""
        variables = self.variables
        values = [variable.choices[0] for variable in variables]

        def cost() -> int:
            return sign * self._measure(metric, self._from_values(values), options)

        least, before = cost(), None
        while least != before:
            before = least
            for place, variable in enumerate(variables):
                kept = values[place]
                for choice in variable.choices:
                    values[place] = choice
                    if (found := cost()) < least:
                        least, kept = found, choice
                values[place] = kept
        return sign * least
