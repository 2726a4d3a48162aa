"""Public operator of attention maps."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .. import transforms
from ..calls import execute
from ..features import arguments
from . import reference
from .definition import Arguments

__all__ = ["attention_map"]


def attention_map(
    x: Tensor,
    *,
    size: Sequence[int] | None = None,
    prefix_tokens: int = 0,
    grid: Sequence[int] | None = None,
    backend: str | None = None,
) -> Tensor:
    """Activation-based attention map of every image: where its features are large.

    ``s_p = mean_c x_pc^2`` and ``a = s / max(||s||_2, 1e-12)``, after an optional bilinear resize
    of the features themselves (``align_corners=False``, no antialiasing, as
    :func:`torch.nn.functional.interpolate` does it).

    Args:
        x: Tokens ``[*, P + N, C]`` if ``grid`` is given, else features ``[*, C, H, W]``; fp32,
            fp16, bf16 or fp64, any strides.
        size: Height and width ``(H*, W*)`` to resize the features to; their own grid by default.
        prefix_tokens: Number P of class, distillation or register tokens to skip.
        grid: Height and width of the token grid, ``N = height * width``.
        backend: ``auto``, or a name of :func:`~tvtfast.kernels.backends`.

    Returns:
        Map ``[*, H* W*]`` with unit L2 norm per image, in row-major order of positions; fp64 for
        fp64 input, else fp32. An image of zeros has a map of zeros; a NaN makes the map of its
        image NaN.

    Differentiable once in ``x``; inside ``torch.func`` transforms any number of times, through
    plain PyTorch. Sums are fp32 (norms fp64); the native backend returns the same bits whatever the
    number of threads, the triton backend on every run. Magnitudes up to 1e18 are safe in fp32.
    Error bound: :func:`tvtfast.kernels.attention_map.definition.tolerance`.

    Raises:
        TypeError: ``x`` is not a floating-point tensor of a listed dtype.
        ValueError: Shapes, ``grid``, ``prefix_tokens`` and ``size`` do not fit together.
        BackendError: The backend asked for by name cannot serve the call.

    Source: Zagoruyko and Komodakis, Paying more attention to attention, ICLR 2017 (sum of squares);
    the released code of TVT (resize before squaring).
    """
    view, leading = arguments.feature_view("attention_map", x, prefix_tokens, grid)
    target = arguments.target_size("attention_map", view, size)
    call = Arguments(view, target)
    if transforms.takes_reference("attention_map", backend):
        values, _ = reference.run(call)
    else:
        values, _ = execute("attention_map", call, backend, x)
    return values.reshape(*leading, target[0] * target[1])
