"""What a searched student is held against: a Vision Transformer nobody searched."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import asdict
from typing import Any

from tvtfast.spaces import AutoFormerArch, AutoFormerSpace, ModelOptions
from tvtfast.spaces import get as get_space

_DEPTH, _MLP_RATIO, _HEAD_DIM = 12, 4.0, 64
_WIDTHS = range(8, 1281)
_FAMILY = "autoformer-tiny"
"""A registered space that has architectures of this form, if not of these sizes."""


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


def described_deit_like(budget: float, **options: Any) -> dict[str, Any]:
    """The largest `deit_like` ViT of at most ``budget`` parameters, as a search describes its best
    architecture: space, architecture, model options, ``params``, ``flops`` and ``macs``.

    The space is a registered one, so that a student folder can be loaded by what it says.

    Raises:
        ValueError: Even the narrowest has more parameters.
    """
    space = get_space(_FAMILY)
    widths = [width for width in _WIDTHS if width % _heads(width) == 0]

    def params(width: int) -> int:
        """They grow with the width."""
        return space.params(_shape(width)[1], **options)

    inside = bisect_right(widths, budget, key=params)
    if not inside:
        raise ValueError(
            f"budget is {budget:g} parameters, and the narrowest DeiT-like ViT has "
            f"{params(widths[0])}; give a larger budget"
        )
    _, arch = _shape(widths[inside - 1])
    flops = space.flops(arch, **options)
    return {
        "space": space.name,
        "arch": space.to_dict(arch),
        "model_options": asdict(ModelOptions.of(**options)),
        "params": params(arch.hidden_dim),
        "flops": flops,
        "macs": flops // 2,
    }


def _shape(width: int) -> tuple[AutoFormerSpace, AutoFormerArch]:
    heads = _heads(width)
    space = AutoFormerSpace("deit-like", (width,), (_DEPTH,), (_MLP_RATIO,), (heads,))
    return space, AutoFormerArch(width, _DEPTH, (_MLP_RATIO,) * _DEPTH, (heads,) * _DEPTH)


def _heads(width: int) -> int:
    return max(1, round(width / _HEAD_DIM))
