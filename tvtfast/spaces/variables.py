"""Architectures as one choice per decision, as search engines propose them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from tvtfast.common.names import unknown
from tvtfast.spaces.encodings import Encoded
from tvtfast.spaces.plain import plain, shown, whole

A = TypeVar("A")


@dataclass(frozen=True)
class Condition:
    """When a decision is there to be made: while another one, which always is, takes some values.

    Args:
        variable: Name of the other.
        values: Those of its choices, in their order.
    """

    variable: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Variable:
    """One decision and the values it may take.

    Args:
        name: What is decided, such as ``mlp_ratio[3]``.
        choices: The values, in a fixed order.
        condition: When it is decided; ``None`` for always.
    """

    name: str
    choices: tuple[Any, ...]
    condition: Condition | None = None

    @property
    def labels(self) -> tuple[int | float | str, ...]:
        """The choices as every host can hold them: numbers and text as they are, else as text."""
        return tuple(
            choice if isinstance(choice, (int, float, str)) else str(choice)
            for choice in self.choices
        )

    @property
    def ordered(self) -> bool:
        """Whether the choices are ascending numbers."""
        numbers = all(isinstance(choice, (int, float)) for choice in self.choices)
        return numbers and list(self.choices) == sorted(self.choices)

    def is_decided(self, values: Mapping[str, Any]) -> bool:
        """Whether it counts beside the values of other variables, by name."""
        if self.condition is None:
            return True
        return values.get(self.condition.variable) in self.condition.values


class Decided(Encoded[A]):
    """What a space says of the decisions behind its architectures, see `tvtfast.spaces.Space`."""

    integer_genome: ClassVar[bool] = False
    """Whether `tvtfast.strategies.NSGA2` varies lists of choices even where some are not decided,
    as the authors of the space did."""

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The decisions behind every architecture, in a fixed order; that of a block which only
        some architectures have is conditional on their depth.

        Raises:
            ValueError: The space has no such list.
        """
        raise ValueError(
            f"space {self.name!r} does not state its variables; search it with a strategy that "
            "needs none, such as 'random' or 'evolution', or make it a tvtfast.ChoiceSpace"
        )

    def from_choices(self, choices: Sequence[int] | Mapping[str, Any]) -> A:
        """The architecture of one choice per variable. A choice that is not decided beside the
        others counts for nothing.

        Args:
            choices: The index of the choice of every variable, in the order of `variables`; or by
                name of a variable the choice itself, or its label. There, variables that are not
                decided may be missing. Numbers may be NumPy's.

        Raises:
            ValueError: As many indices as variables are needed, each within its choices; or a
                name or a choice that is missing or unknown.
        """
        variables = self.variables
        if isinstance(choices, Mapping):
            indices = self._indices(variables, choices)
        else:
            indices = [whole(self.name, "an index", index) for index in choices]
        if len(indices) != len(variables):
            raise ValueError(
                f"{self.name}: {len(indices)} indices for {len(variables)} variables; give one each"
            )
        values = []
        for index, variable in zip(indices, variables, strict=True):
            if not 0 <= index < len(variable.choices):
                raise ValueError(
                    f"{self.name}: index {index} of {variable.name}; "
                    f"allowed: 0 to {len(variable.choices) - 1}"
                )
            values.append(variable.choices[index])
        return self._from_values(values)

    def choices_of(self, arch: A | Mapping[str, Any] | str) -> tuple[int, ...]:
        """The index of the choice that an architecture takes of every variable, 0 of one that it
        does not decide; the inverse of `from_choices`.

        Raises:
            ValueError: An architecture that the space does not search has no such indices.
        """
        values = self._to_values(self.check_inside(arch))
        return tuple(
            variable.choices.index(value)
            for variable, value in zip(self.variables, values, strict=True)
        )

    def decided(self, choices: Sequence[int]) -> tuple[bool, ...]:
        """Which variables are decided, by the index of the choice of each."""
        pairs = list(zip(self.variables, choices, strict=True))
        values = {variable.name: variable.choices[index] for variable, index in pairs}
        return tuple(variable.is_decided(values) for variable, _ in pairs)

    def _indices(self, variables: Sequence[Variable], choices: Mapping[str, Any]) -> list[int]:
        names = [variable.name for variable in variables]
        if foreign := [name for name in choices if name not in names]:
            raise ValueError(f"{self.name}: {unknown('variable', foreign[0], names)}")
        found = {
            variable.name: self._index(variable, choices[variable.name])
            for variable in variables
            if variable.name in choices
        }
        values = {
            variable.name: variable.choices[found[variable.name]]
            for variable in variables
            if variable.name in found
        }
        for variable in variables:
            if variable.name not in found and variable.is_decided(values):
                raise ValueError(
                    f"{self.name}: no choice of {variable.name}; give one of "
                    f"{', '.join(map(str, variable.labels))}"
                )
        return [found.get(name, 0) for name in names]

    def _index(self, variable: Variable, value: Any) -> int:
        value = plain(value)
        value = tuple(value) if isinstance(value, list) else value
        for index, (choice, label) in enumerate(
            zip(variable.choices, variable.labels, strict=True)
        ):
            if value in (choice, label) and isinstance(value, bool) == isinstance(choice, bool):
                return index
        raise ValueError(
            f"{self.name}: {variable.name} is {shown(value)}; allowed: "
            f"{', '.join(map(str, variable.labels))}"
        )

    def _from_values(self, values: Sequence[Any]) -> A:
        raise TypeError(f"{type(self).__name__} states variables; implement _from_values, too")

    def _to_values(self, arch: A) -> Sequence[Any]:
        raise TypeError(f"{type(self).__name__} states variables; implement _to_values, too")
