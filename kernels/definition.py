"""What every operator promises: its schema, with its error bound, its costs and a typical call.

Each operator states it in ``definition.py`` of its folder. Registration (:mod:`.library`),
dispatch, tests and benchmarks read it there, so a promise is written once.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

Device = str | torch.device

SCHEMA_TYPES: dict[Any, str] = {
    Tensor: "Tensor",
    Tensor | None: "Tensor?",
    Sequence[Tensor]: "Tensor[]",
    Sequence[int]: "SymInt[]",
    Sequence[str]: "str[]",
    int: "int",
    float: "float",
    float | None: "float?",
    bool: "bool",
}
"""Types of arguments in ``torch.library`` schemas, by their annotation."""


@dataclass(frozen=True)
class Derivative:
    """The derivative of an operator.

    Attributes:
        setup_context: ``setup_context(ctx, call, backend, output)``: saves what the derivative
            reads.
        backward: ``backward(ctx, *gradients)``: a gradient, or None, for every argument.
    """

    setup_context: Callable[[Any, Any, str | None, Any], None]
    backward: Callable[..., Any]


def writes_only(call: Any) -> None:
    """The fake of operators whose results are in an argument."""


def exact(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """The tolerance of operators whose backends agree bit for bit."""
    return 0.0


@dataclass(frozen=True)
class Operator:
    """One operator, from which its registration and its dispatch are made.

    A *call* is an object of :attr:`arguments`.

    Attributes:
        name: Its name in ``torch.ops.tvtfast``.
        arguments: A ``NamedTuple`` of its arguments with their types, in the order of the schema.
        returns: What the schema says it returns.
        backends: Those that have it, the fastest first; files of its folder have these names.
        tolerance: ``tolerance(dtype, length, extent=0)``: how far a result may be off for inputs of
            ``dtype``, ``length`` terms per sum and, where features are resized, a longest side of
            ``extent``. Its docstring derives the bound, with ``u`` the unit roundoff of the
            accumulation format: 2^-24 for inputs of at most 32 bits (fp16 and bf16 are converted to
            fp32 exactly, before the first operation) and 2^-53 for fp64 inputs.
        traffic: ``traffic(call)``: bytes that must cross the memory bus.
        flops: ``flops(call)``: floating-point operations that must be done.
        example: ``example(device="cpu")``: a typical call on a device, in fp32 where fast backends
            take it.
        fake: ``fake(call)``: results without values, for the compiler.
        writes: Names of the arguments that it writes to.
        derivative: Its derivative. Without one it refuses tensors whose gradients are recorded, and
            its public function serves them otherwise.
        prepare: ``prepare(call)``: what its backends take in place of the call.
        run: Name of the function in the files of its backends that runs it.
    """

    name: str
    arguments: type[tuple[Any, ...]]
    returns: str
    backends: tuple[str, ...]
    tolerance: Callable[..., float]
    traffic: Callable[[Any], int]
    flops: Callable[[Any], int]
    example: Callable[..., Any]
    fake: Callable[[Any], Any] = writes_only
    writes: tuple[str, ...] = ()
    derivative: Derivative | None = None
    prepare: Callable[[Any], Any] | None = None
    run: str = "run"

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Names of the arguments."""
        names: tuple[str, ...] = self.arguments._fields  # type: ignore[attr-defined]
        return names

    @cached_property
    def schema(self) -> str:
        """The ``torch.library`` schema, made of the annotations of the arguments."""
        annotations = typing.get_type_hints(self.arguments)
        unknown = [name for name in self.writes if annotations.get(name) is not Tensor]
        if unknown:
            raise ValueError(f"operator {self.name}: writes names {unknown}, which are no tensors")
        arguments = [f"{self._schema_type(name, annotations[name])} {name}" for name in self.fields]
        return f"{self.name}({', '.join(arguments)}, *, str? backend=None) -> {self.returns}"

    def call(self, *arguments: Any) -> Any:
        """What backends take, of arguments in the order of the schema; trailing ones left out are
        None."""
        missing = (None,) * (len(self.fields) - len(arguments))
        call = self.arguments(*arguments, *missing)
        return call if self.prepare is None else self.prepare(call)

    def _schema_type(self, name: str, annotation: Any) -> str:
        if name in self.writes:
            return f"Tensor({chr(ord('a') + self.writes.index(name))}!)"
        for known, schema_type in SCHEMA_TYPES.items():
            if annotation == known:
                return schema_type
        allowed = ", ".join(_shown(known) for known in SCHEMA_TYPES)
        raise TypeError(
            f"operator {self.name}: {name} is annotated {_shown(annotation)} (allowed: {allowed})"
        )


def _shown(annotation: Any) -> str:
    plain = isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias)
    return annotation.__name__ if plain else str(annotation)
