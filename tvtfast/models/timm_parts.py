"""What candidates and trainings take from timm, imported when it is first needed.

``timm.layers`` draws in all of ``torchvision.models``, which costs as much as torch itself; a
command that builds no module does without.
"""

from __future__ import annotations

from typing import Any

from torch import nn


def drop_path(rate: float) -> nn.Module:
    """Stochastic depth; the identity at rate 0."""
    if rate <= 0:
        return nn.Identity()
    layer: nn.Module = _layers().DropPath(rate)
    return layer


def mlp(dim: int, hidden: int) -> nn.Module:
    """Two linear layers with the exact GELU between them."""
    layer: nn.Module = _layers().Mlp(dim, hidden)
    return layer


def _layers() -> Any:
    import timm.layers

    return timm.layers
