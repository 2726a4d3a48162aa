"""Architectures as data: what is sound, what is searched, and JSON."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar

from tvtfast.spaces.plain import plain, plain_fields, read_json, types_of

A = TypeVar("A")


class Encoded(ABC, Generic[A]):
    """What a space says of the form of its architectures, see `tvtfast.spaces.Space`."""

    name: str
    arch_type: ClassVar[type[Any]]

    @abstractmethod
    def validate(self, arch: A) -> None:
        """Raise ``ValueError`` where no model is built like that, naming the decision, its value
        and what is allowed. A sound value that is not searched passes; `outside` tells it."""

    @abstractmethod
    def to_dict(self, arch: A) -> dict[str, Any]:
        """The published dictionary form, of plain JSON types."""

    @abstractmethod
    def from_dict(self, fields: Mapping[str, Any]) -> A:
        """Parse the published dictionary form; values are checked by `decode`."""

    def decode(self, encoded: A | Mapping[str, Any] | str) -> A:
        """Parse and validate a JSON string or a published dictionary.

        Numbers and arrays of NumPy and PyTorch stand for plain ones, also in the fields of an
        architecture; the result has none.

        Raises:
            ValueError: Not JSON, a missing or unknown key, or a value that no model is built with;
                values that are merely not searched pass, see `outside`.
        """
        if isinstance(encoded, self.arch_type):
            arch = self._with_plain_numbers(encoded)
        else:
            arch = self._parse(plain(encoded))
        self.validate(arch)
        return arch

    def _with_plain_numbers(self, arch: A) -> A:
        """The architecture with numbers of the types that `from_dict` gives them."""
        seen = _plain_types(type(self))
        types = types_of(arch)
        if types in seen:
            return arch
        arch = plain_fields(arch)
        parsed = self.from_dict(self.to_dict(arch))
        if parsed != arch:
            return arch
        seen.add(types_of(parsed))
        return parsed

    def _parse(self, encoded: Any) -> A:
        if isinstance(encoded, str):
            try:
                encoded = read_json(encoded)
            except ValueError as error:
                raise ValueError(
                    f"architecture of space {self.name!r} is not JSON ({error}): {encoded[:80]!r}"
                ) from None
        if not isinstance(encoded, Mapping):
            raise ValueError(
                f"an architecture of space {self.name!r} is a dict, a JSON object or a "
                f"{self.arch_type.__name__}, got {type(encoded).__name__}"
            )
        return self.from_dict(encoded)

    def outside(self, arch: A | Mapping[str, Any] | str) -> str:
        """Why the space would not propose an architecture, in one line; empty for its own.

        What is searched and what can be built are two things: such an architecture is decoded,
        built, counted, scored and trained as any other. Drawing and varying stay inside.

        Raises:
            ValueError: It is not sound, see `decode`.
        """
        return self._outside(self.decode(arch))

    def _outside(self, arch: A) -> str:
        return ""

    def contains(self, arch: A | Mapping[str, Any] | str) -> bool:
        """Whether the space would propose an architecture, see `outside`."""
        return not self.outside(arch)

    def check_inside(self, arch: A | Mapping[str, Any] | str) -> A:
        """`decode` an architecture that the space has to propose itself.

        Raises:
            ValueError: It is not sound, or the space does not search it.
        """
        decoded = self.decode(arch)
        if why := self._outside(decoded):
            raise ValueError(
                f"{self.name}: {why}; it can be built and scored, but here an architecture has to "
                "be one that the space searches"
            )
        return decoded

    def note_outside(self, archs: Iterable[A]) -> str:
        """One line on those of some decoded architectures that the space would not propose; empty
        where there are none."""
        whys = [self._outside(arch) for arch in archs]
        found = [why for why in whys if why]
        if not found:
            return ""
        which = "the architecture is" if len(whys) == 1 else f"{len(found)} of {len(whys)} are"
        return (
            f"{which} none that a search of {self.name!r} would propose "
            f"({'' if len(found) == 1 else 'the first: '}{found[0]}); taken all the same"
        )

    def encode(self, arch: A | Mapping[str, Any] | str) -> str:
        """Canonical JSON: sorted keys, no white space. Equal architectures give equal strings."""
        return self.text(self.decode(arch))

    def text(self, arch: A) -> str:
        """`encode` of an architecture that was decoded already, which is not checked again."""
        return _JSON.encode(self.to_dict(arch))


@cache
def _plain_types(space: type[Any]) -> set[tuple[Any, ...]]:
    """Types of the numbers of architectures that need no parsing, see `types_of`."""
    return set()


_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def take(space: str, fields: Mapping[str, Any], keys: tuple[str, ...]) -> list[Any]:
    """The values of exactly ``keys``; missing and unknown keys are a ``ValueError``."""
    missing = [key for key in keys if key not in fields]
    unknown = sorted(str(key)[:80] for key in set(fields) - set(keys))[:5]
    if missing or unknown:
        raise ValueError(
            f"{space}: an architecture has the keys {', '.join(keys)}; "
            f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
        )
    return [fields[key] for key in keys]
