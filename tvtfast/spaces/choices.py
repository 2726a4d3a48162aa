"""Spaces that are lists of choices: whatever follows from the lists alone."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeAlias, TypeVar, cast

from tvtfast.spaces.base import Space
from tvtfast.spaces.encodings import take
from tvtfast.spaces.plain import plain_fields, shown
from tvtfast.spaces.variables import Condition, Variable

A = TypeVar("A")


@dataclass(frozen=True)
class PerBlock:
    """A decision that is made once per block; architectures hold a tuple.

    Args:
        choices: The values of one block.
        blocks: How many blocks there are, or the name of the decision that says so.
    """

    choices: Sequence[Any]
    blocks: int | str = "depth"


Decision: TypeAlias = "Sequence[Any] | PerBlock"


class Choices(Space[A]):
    """A space that follows from its choices, but for counts and models.

    Decisions are drawn, redrawn and inherited independently of each other; an architecture is one
    that the space searches, or it is none.

    Args:
        name: Name in the registry.
        arch_type: A frozen dataclass, its fields the names in ``choices``.
        choices: By name of a decision its values, in a fixed order: numbers, text, truth values, or
            tuples of them; or `PerBlock`.

    Raises:
        TypeError: ``arch_type`` is no frozen dataclass.
        ValueError: Names that are not its fields, or choices that are none, double or not of JSON.
    """

    def __init__(self, name: str, arch_type: type[A], choices: Mapping[str, Decision]) -> None:
        _check_type(name, arch_type, choices)
        self.name = name
        self.arch_type = arch_type  # type: ignore[misc]
        self.choices: dict[str, tuple[Any, ...] | PerBlock] = {
            decision: PerBlock(_listed(name, decision, given.choices), given.blocks)
            if isinstance(given, PerBlock)
            else _listed(name, decision, given)
            for decision, given in choices.items()
        }
        self._whole = {
            decision: given
            for decision, given in self.choices.items()
            if not isinstance(given, PerBlock)
        }
        self._per_block = {
            decision: given
            for decision, given in self.choices.items()
            if isinstance(given, PerBlock)
        }
        for decision, given in self._per_block.items():
            self._check_blocks(decision, given.blocks)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((type(self), self.name, self.arch_type))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.arch_type.__name__}, {self.choices})"

    def _identity(self) -> tuple[Any, ...]:
        return self.name, self.arch_type, self.choices

    def _check_blocks(self, decision: str, blocks: int | str) -> None:
        counts = (blocks,) if isinstance(blocks, int) else self._whole.get(blocks, ())
        if not counts or not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError(
                f"{self.name}: blocks of {decision} is {shown(blocks)}; give a number of blocks, "
                "or the name of a decision between such numbers"
            )

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Decisions on the whole, and then those on blocks, block by block; where only some
        architectures have a block, its decisions are conditional on the number of blocks."""
        found = [Variable(name, choices) for name, choices in self._whole.items()]
        for blocks in dict.fromkeys(given.blocks for given in self._per_block.values()):
            counts = self._counts(blocks)
            for block in range(max(counts)):
                more = tuple(count for count in counts if count > block)
                condition = None if more == counts else Condition(str(blocks), more)
                found += [
                    Variable(f"{name}[{block}]", tuple(given.choices), condition)
                    for name, given in self._per_block.items()
                    if given.blocks == blocks
                ]
        return tuple(found)

    def _counts(self, blocks: int | str) -> tuple[int, ...]:
        return (blocks,) if isinstance(blocks, int) else self._whole[blocks]

    def _blocks(self, given: PerBlock, fields: Mapping[str, Any]) -> int:
        blocks = given.blocks
        return blocks if isinstance(blocks, int) else int(fields[blocks])

    def _from_values(self, values: Sequence[Any]) -> A:
        named = dict(zip((variable.name for variable in self.variables), values, strict=True))
        return self._made(
            {name: named[name] for name in self._whole}
            | {
                name: tuple(
                    named[f"{name}[{block}]"] for block in range(self._blocks(given, named))
                )
                for name, given in self._per_block.items()
            }
        )

    def _to_values(self, arch: A) -> Sequence[Any]:
        """First choices where nothing is decided."""
        decided = self._decided(arch)
        return [decided.get(one.name, one.choices[0]) for one in self.variables]

    def _decided(self, arch: A) -> dict[str, Any]:
        """What is decided, by name of the variable."""
        found = {name: getattr(arch, name) for name in self._whole}
        for name in self._per_block:
            values = enumerate(getattr(arch, name))
            found |= {f"{name}[{block}]": value for block, value in values}
        return found

    def _made(self, values: Mapping[str, Any]) -> A:
        made: Any = self.arch_type
        return cast(A, made(**values))

    @property
    def size(self) -> int:
        free = self._whole.keys() - {given.blocks for given in self._per_block.values()}
        total = math.prod(len(self._whole[name]) for name in free)
        for blocks in {given.blocks for given in self._per_block.values()}:
            per_block = math.prod(
                len(given.choices) for given in self._per_block.values() if given.blocks == blocks
            )
            total *= sum(int(per_block**count) for count in self._counts(blocks))
        return total

    def _all(self) -> Iterator[A]:
        if not self.enumerable:
            return super()._all()
        return itertools.chain.from_iterable(
            self._of_whole(dict(zip(self._whole, values, strict=True)))
            for values in itertools.product(*self._whole.values())
        )

    def _of_whole(self, whole: Mapping[str, Any]) -> Iterator[A]:
        lists = (
            itertools.product(given.choices, repeat=self._blocks(given, whole))
            for given in self._per_block.values()
        )
        for values in itertools.product(*lists):
            yield self._made({**whole, **dict(zip(self._per_block, values, strict=True))})

    def draw(self, rng: random.Random) -> A:
        whole = {name: rng.choice(choices) for name, choices in self._whole.items()}
        return self._made(
            whole
            | {
                name: tuple(rng.choice(given.choices) for _ in range(self._blocks(given, whole)))
                for name, given in self._per_block.items()
            }
        )

    def validate(self, arch: A) -> None:
        """One of the choices in every field, once per block where it is decided so."""
        self.from_dict(self.to_dict(arch))

    def _with_plain_numbers(self, arch: A) -> A:
        return self.from_dict(self.to_dict(plain_fields(arch)))

    def to_dict(self, arch: A) -> dict[str, Any]:
        return {name: _as_list(getattr(arch, name)) for name in self.choices}

    def from_dict(self, fields: Mapping[str, Any]) -> A:
        """Values become the choices that they are equal to."""
        given = dict(zip(self.choices, take(self.name, fields, tuple(self.choices)), strict=True))
        whole = {
            name: self._chosen(name, given[name], choices) for name, choices in self._whole.items()
        }
        return self._made(
            whole
            | {
                name: self._chosen_per_block(name, given[name], self._blocks(per_block, whole))
                for name, per_block in self._per_block.items()
            }
        )

    def _chosen_per_block(self, name: str, values: Any, blocks: int) -> tuple[Any, ...]:
        if not isinstance(values, (list, tuple)) or len(values) != blocks:
            raise ValueError(
                f"{self.name}: {name} is {shown(values)}; give one per block, {blocks}"
            )
        choices = self._per_block[name].choices
        return tuple(
            self._chosen(f"{name}[{block}]", value, choices) for block, value in enumerate(values)
        )

    def _chosen(self, decision: str, value: Any, choices: Sequence[Any]) -> Any:
        value = _as_tuple(value)
        for choice in choices:
            if value == choice and isinstance(value, bool) == isinstance(choice, bool):
                return choice
        raise ValueError(
            f"{self.name}: {decision} is {shown(value)}; allowed: {', '.join(map(str, choices))}"
        )

    def _mutate(self, arch: A, rng: random.Random, prob: float) -> A:
        return self._mutate_sized(arch, rng, prob, prob)

    def _mutate_sized(self, arch: A, rng: random.Random, prob: float, size_prob: float) -> A:
        decided = self._decided(arch)
        return self._from_values(
            [
                rng.choice(one.choices)
                if one.name not in decided
                or rng.random() < (size_prob if one.name in self._whole else prob)
                else decided[one.name]
                for one in self.variables
            ]
        )

    def _crossover(self, first: A, second: A, rng: random.Random) -> A:
        parents = self._decided(first), self._decided(second)
        return self._from_values(
            [
                rng.choice([p[one.name] for p in parents if one.name in p] or [one.choices[0]])
                for one in self.variables
            ]
        )


def _check_type(name: str, arch_type: Any, choices: Mapping[str, Decision]) -> None:
    frozen = isinstance(arch_type, type) and is_dataclass(arch_type)
    if not frozen or not arch_type.__dataclass_params__.frozen:
        raise TypeError(
            f"{name}: arch_type is {shown(arch_type)}; give a class with "
            "@dataclass(frozen=True), whose fields are the decisions"
        )
    named = {field.name for field in fields(arch_type) if field.init}
    if named != set(choices):
        raise ValueError(
            f"{name}: choices are of {', '.join(choices) or 'nothing'}, and the fields of "
            f"{arch_type.__name__} are {', '.join(sorted(named)) or 'none'}; give choices of every "
            "field"
        )


def _listed(space: str, decision: str, given: Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise ValueError(
            f"{space}: choices of {decision} are {shown(given)}; give a list of values"
        )
    choices = tuple(map(_as_tuple, given))
    for place, choice in enumerate(choices):
        if choice in choices[:place]:
            raise ValueError(f"{space}: {decision} has the choice {shown(choice)} twice")
        try:
            kept = _as_tuple(json.loads(json.dumps(choice, allow_nan=False))) == choice
        except (TypeError, ValueError):
            kept = False
        if not kept or isinstance(choice, dict):
            raise ValueError(
                f"{space}: {decision} has the choice {shown(choice)}; give numbers, text, truth "
                "values, or tuples of them"
            )
    return choices


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, (list, tuple)) else value


def _as_list(value: Any) -> Any:
    return list(map(_as_list, value)) if isinstance(value, (list, tuple)) else value
