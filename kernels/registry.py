"""The folders of the operators, each entered by the same call.

A folder is a package: its ``__init__.py`` holds public functions, named in ``__all__``, and its
``definition.py``, where there is one, ``OPERATORS``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from pathlib import Path
from typing import Any

from . import dispatch, flops, library
from .definition import Operator

PARENT = __name__.rpartition(".")[0]


def folders() -> list[Path]:
    """All folders of this package, in the order of their names."""
    here = Path(__file__).parent
    return [here / module.name for module in pkgutil.iter_modules([str(here)]) if module.ispkg]


def register(folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """Add the operators and public functions of a folder to ``tvtfast.kernels``.

    Args:
        folder: A package as ``docs/extending.md`` describes it, anywhere. It becomes
            ``tvtfast.kernels.<name of the folder>``, so relative imports find what operators share.

    Returns:
        Names of the operators that were registered.

    Raises:
        ValueError: Its name or that of an operator or function is taken.
    """
    path = Path(os.path.abspath(folder))
    parent: Any = sys.modules[PARENT]
    if str(path.parent) not in parent.__path__:
        parent.__path__.append(str(path.parent))
    name = f"{PARENT}.{path.name}"
    package = importlib.import_module(name)
    if Path(package.__path__[0]) != path:
        raise ValueError(f"{path}: {name} is {package.__path__[0]}; give the folder another name")
    exported = tuple(getattr(package, "__all__", ()))
    taken = sorted(set(exported) & set(parent.__all__))
    if taken:
        raise ValueError(f"{path}: tvtfast.kernels has {', '.join(taken)} already")
    operators: tuple[Operator, ...] = ()
    if importlib.util.find_spec(f"{name}.definition") is not None:
        operators = importlib.import_module(f"{name}.definition").OPERATORS
    for operator in operators:
        dispatch.add(operator, name)
        library.register(operator)
        flops.register(operator)
    for function in exported:
        setattr(parent, function, getattr(package, function))
    parent.__all__ = sorted({*parent.__all__, *exported})
    return tuple(operator.name for operator in operators)
