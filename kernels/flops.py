"""What :mod:`torch.utils.flop_counter` counts for the operators: the costs of their definitions.

That module imports triton, so formulas wait until somebody imports it.
"""

from __future__ import annotations

import types
from typing import Any

import torch
import wrapt

from .definition import Operator


def register(operator: Operator) -> None:
    """Have the operations of an operator counted, now or once there is a counter."""

    def formula(*arguments: Any, backend: str | None = None, out_val: Any = None) -> int:
        return operator.flops(operator.arguments(*arguments))

    def enter(counter: types.ModuleType) -> None:
        packet = getattr(torch.ops.tvtfast, operator.name)
        counter.register_flop_formula(packet, get_raw=True)(formula)

    wrapt.register_post_import_hook(enter, "torch.utils.flop_counter")
