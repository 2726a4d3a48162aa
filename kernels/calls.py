"""How public functions call their operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import dispatch, library, transforms

_ops = getattr(torch.ops, library.NAMESPACE)


def execute(
    operator: str, call: tuple[Any, ...], backend: str | None, *watched: Tensor | None
) -> Any:
    """Run an operator, at once where nothing watches the tensors ``watched``.

    Otherwise the registered operator runs, which autograd, compilers and tracers see.
    """
    if transforms.is_plain(*watched):
        return dispatch.run(operator, call, backend)
    return getattr(_ops, operator).default(*call, backend=backend)
