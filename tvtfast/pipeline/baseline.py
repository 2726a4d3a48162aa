"""What a searched student is held against: a Vision Transformer nobody searched."""

from __future__ import annotations

from typing import Any

from tvtfast.spaces import AutoFormerArch, AutoFormerSpace

_DEPTH, _MLP_RATIO, _HEAD_DIM = 12, 4.0, 64
_WIDTHS = range(8, 1281)


def deit_like(params: int, **options: Any) -> tuple[AutoFormerSpace, AutoFormerArch]:
    """DeiT-Ti's shape at another size: 12 blocks of one width D, MLP ratio 4, ``round(D / 64)``
    heads, with the D whose parameter count is the closest.

    It is an architecture of the AutoFormer family, so that it is built, initialised and pooled as
    candidates are. Source of the shape: Touvron et al., "DeiT", ICML 2021, table 1.

    Args:
        params: Parameters to come close to.
        **options: Model options (`tvtfast.spaces.ModelOptions`).

    Returns:
        A space of that one architecture, and the architecture.
    """
    shapes = [_shape(width) for width in _WIDTHS if width % _heads(width) == 0]
    return min(shapes, key=lambda shape: abs(shape[0].params(shape[1], **options) - params))


def _shape(width: int) -> tuple[AutoFormerSpace, AutoFormerArch]:
    heads = _heads(width)
    space = AutoFormerSpace("deit-like", (width,), (_DEPTH,), (_MLP_RATIO,), (heads,))
    return space, AutoFormerArch(width, _DEPTH, (_MLP_RATIO,) * _DEPTH, (heads,) * _DEPTH)


def _heads(width: int) -> int:
    return max(1, round(width / _HEAD_DIM))
