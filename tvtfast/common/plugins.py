"""What other installed packages add by name: their entry points, loaded when one is asked for."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from tvtfast.common.fallbacks import logger

T = TypeVar("T")


class PluginWarning(UserWarning):
    """An installed package offers something under a name, and it is left out."""


class PluginError(RuntimeError):
    """What was asked for by name comes with an installed package, and cannot be used."""


@dataclass(frozen=True)
class Offer:
    """What one installed package brings along under a name.

    Args:
        name: The name.
        origin: The package with its version, and where the object is found.
        entry: Its entry point.
    """

    name: str
    origin: str
    entry: EntryPoint

    @property
    def distribution(self) -> str:
        """The package with its version."""
        return self.origin.partition(" (")[0]

    def is_of(self, brought: object) -> bool:
        """Whether an object is what the package brings, or can be while its module is loaded."""
        found: Any = sys.modules.get(self.entry.module)
        if found is None:
            return False
        for part in filter(None, (self.entry.attr or "").split(".")):
            found = getattr(found, part, None)
        return found is None or found is brought


class Plugins(Generic[T]):
    """The entry points of one group beside a table of names.

    Until `open`, the table is filled by tvtfast itself and packages are not looked for.

    Args:
        group: The group, such as ``tvtfast.spaces``.
        what: What they are, in a word.
        table: The table of names.
        enter: Puts what was loaded under a name into the table; its error says why it cannot.
        reserved: Names beside the table that are tvtfast's own.
    """

    def __init__(
        self,
        group: str,
        what: str,
        table: Callable[[], Mapping[str, T]],
        enter: Callable[[str, Any], None],
        reserved: Iterable[str] = (),
    ) -> None:
        self.group, self.what = group, what
        self._table, self._enter, self._reserved = table, enter, frozenset(reserved)
        self._own: frozenset[str] | None = None
        self._problems: dict[str, str] = {}
        self._said: set[str] = set()
        self._loading: set[str] = set()
        self._lock = threading.RLock()

    def open(self) -> None:
        """What the table has now is tvtfast's own; other names may come with packages."""
        self._own = self._reserved.union(self._table())

    @cached_property
    def _found(self) -> dict[str, list[Offer]]:
        found: dict[str, list[Offer]] = {}
        for entry in entry_points(group=self.group):
            package = (
                "a package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
            )
            offer = Offer(entry.name, f"{package} ({entry.value})", entry)
            found.setdefault(entry.name, []).append(offer)
        return found

    def offers(self) -> list[Offer]:
        """Everything that packages bring along, whether it can be used or not; loads nothing."""
        if self._own is None:
            return []
        return [offer for offers in self._found.values() for offer in offers]

    def names(self) -> set[str]:
        """Names that packages bring along and that can be asked for, as far as is known without
        loading them."""
        names = {offer.name for offer in self.offers()}
        return {name for name in names if not self.problem(name)}

    def problem(self, name: str) -> str:
        """Why what packages bring along under a name is left out; empty where it is not."""
        offers = [] if self._own is None else self._found.get(name, [])
        origins = " and ".join(offer.origin for offer in offers)
        if not offers:
            return ""
        if name in (self._own or ()):
            return (
                f"{self.what} {name!r} of {origins} is left out, since tvtfast has one of that "
                "name; the package must name it otherwise"
            )
        if len(offers) > 1:
            return (
                f"{self.what} {name!r} comes from {origins}, and which is meant cannot be told; "
                "uninstall one of them"
            )
        return self._problems.get(name, "")

    def find(self, name: str) -> T | None:
        """What the table has under a name, once a package that brings it is loaded.

        Raises:
            PluginError: A package brings it and it cannot be loaded, or several packages do.
        """
        problem = self.problem(name)
        known = self._table().get(name)
        if problem and name in (self._own or ()):
            self._say(problem)
        elif problem:
            raise PluginError(problem)
        elif known is None and self._own is not None and name in self._found:
            self._load(self._found[name][0])
        return self._table().get(name)

    def usable(self, name: str) -> bool:
        """Whether there is something under a name; where a package brings what cannot be loaded,
        that is said (`PluginWarning`)."""
        try:
            return self.find(name) is not None
        except PluginError as error:
            self._say(str(error))
            return False

    def refuse_taken(self, name: str, offered: object) -> None:
        """Refuse to enter what is not from the package that brings the name along.

        Raises:
            ValueError: Another package has the name.
        """
        if self._own is None or name in self._loading:
            return
        others = [offer for offer in self._found.get(name, ()) if not offer.is_of(offered)]
        if others:
            raise ValueError(
                f"a {self.what} named {name!r} comes with {others[0].origin}; choose another name"
            )

    def _load(self, offer: Offer) -> None:
        with self._lock:
            if offer.name in self._table():  # by another thread
                return
            self._loading.add(offer.name)
            try:
                self._enter(offer.name, offer.entry.load())
            except Exception as error:  # code of others may raise anything
                self._problems[offer.name] = (
                    f"{self.what} {offer.name!r} of {offer.origin} cannot be used "
                    f"({type(error).__name__}: {' '.join(str(error).split())}); mend or uninstall "
                    f"{offer.distribution.partition(' ')[0]}"
                )
                raise PluginError(self._problems[offer.name]) from error
            finally:
                self._loading.discard(offer.name)

    def _say(self, problem: str) -> None:
        if problem not in self._said:
            self._said.add(problem)
            logger.warning("%s", problem)
            warnings.warn(problem, PluginWarning, stacklevel=4)
