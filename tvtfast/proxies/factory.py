"""Proxies that are made from an argument, such as the folder of a trained network."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

P = TypeVar("P")


@dataclass(frozen=True)
class ProxyFactory(Generic[P]):
    """A proxy that is known by name and made from an argument: ``name:argument``.

    Args:
        name: Column name of the proxy, or its beginning, and what stands before the colon.
        make: From the argument to the proxy; or, as ``module:function``, where that function is
            found when the first proxy is made.
        argument: What the argument is, such as ``the folder of a superformer``.
        placeholder: What stands for the argument in messages, such as ``FOLDER``.
        description: One line for listings, with the source.
        in_name: Whether the argument is part of the column's name, so that proxies of several
            arguments are columns side by side. Such a proxy costs nothing to make.
        beside: Names of the columns that may stand beside the proxy, see
            `tvtfast.proxies.Proxy.beside`.
    """

    name: str
    make: Callable[[str], P] | str
    argument: str
    placeholder: str = "ARGUMENT"
    description: str = ""
    in_name: bool = False
    beside: tuple[str, ...] = ()

    def __call__(self, argument: str) -> P:
        """The proxy of an argument.

        Raises:
            ValueError: The argument is missing.
        """
        if not argument:
            raise ValueError(
                f"proxy {self.name!r} needs {self.argument}; give {self.name}:{self.placeholder}"
            )
        if not isinstance(self.make, str):
            return self.make(argument)
        module, _, function = self.make.partition(":")
        made: P = getattr(importlib.import_module(module), function)(argument)
        return made
