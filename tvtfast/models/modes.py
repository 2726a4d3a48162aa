"""How a module runs, for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode


@contextlib.contextmanager
def temporary_mode(module: Any, *, training: bool) -> Iterator[None]:
    """Put a module into training or evaluation mode, and every part back as it was; what is no
    module is left alone."""
    if not isinstance(module, nn.Module):
        yield
        return
    before = {part: part.training for part in module.modules()}
    module.train(training)
    try:
        yield
    finally:
        for part, was_training in before.items():
            part.training = was_training


class IdentityNorms(TorchFunctionMode):
    """Every layer norm that is called inside passes its input through; no module is changed."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func is F.layer_norm else func(*args, **(kwargs or {}))


class NoInitialization(TorchFunctionMode):
    """Functions of ``torch.nn.init`` that are called inside leave their tensor as it is, so that
    parameters whose values come later cost no draw."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == torch.nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
