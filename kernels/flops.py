"""What :mod:`torch.utils.flop_counter` counts for the operators: the costs of their definitions.

That module imports triton, so formulas wait until somebody imports it.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from typing import Any

import torch

from .definition import Operator

COUNTER = "torch.utils.flop_counter"

_waiting: list[Operator] = []


def register(operator: Operator) -> None:
    """Have the operations of an operator counted, now or once there is a counter."""
    if COUNTER in sys.modules and not _waiting:
        _enter(operator)
        return
    if not _waiting:
        sys.meta_path.insert(0, _Import())
    _waiting.append(operator)


def _enter(operator: Operator) -> None:
    def formula(*arguments: Any, backend: str | None = None, out_val: Any = None) -> int:
        return operator.flops(operator.arguments(*arguments))

    packet = getattr(torch.ops.tvtfast, operator.name)
    sys.modules[COUNTER].register_flop_formula(packet, get_raw=True)(formula)


class _Import(MetaPathFinder):
    """Sees the import of the counter, once."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != COUNTER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    """The counter's own loader; then the formulas that waited are entered."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        self.loader.exec_module(module)
        while _waiting:
            _enter(_waiting.pop(0))
