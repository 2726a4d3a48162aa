"""Which units of a network are active for which image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tvtfast.models import UnsupportedModelError, temporary_mode
from tvtfast.proxies.network import like_weights

_RECTIFIERS = {
    *(F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_),
    *(F.gelu, F.silu, F.mish, F.elu, F.celu, F.selu, F.leaky_relu, F.hardswish, F.relu6),
}
"""Functions that let positive numbers pass and hold negative ones back."""
_EXACT = 1 << 22
"""Units that are counted at a time; whole numbers up to 2^24 are exact in fp32."""


def sign_patterns(module: nn.Module, images: Tensor, see: Callable[[Tensor], None]) -> None:
    """Show which inputs of every rectifier are positive, from one forward pass without gradients.

    The rectifiers of a Vision Transformer are the GELUs between the linear layers of its MLPs; any
    call of ReLU, GELU, SiLU and their kin counts, by a module or by the function.

    Args:
        module: Any network; evaluated in evaluation mode, and left as it was.
        images: ``[B, C, H, W]``, converted to the dtype of the weights and moved to their device.
        see: Called with bool ``[B, n]`` for every rectifier, in the order of the calls.

    Raises:
        UnsupportedModelError: No rectifier was called with a row for every image.
    """
    watch = _Rectifiers(len(images), see)
    with temporary_mode(module, training=False), torch.no_grad(), watch:
        module(like_weights(module, images))
    if not watch.seen:
        raise UnsupportedModelError(
            f"{type(module).__name__} called no ReLU, GELU, SiLU or the like on a batch of "
            f"{len(images)}, so no unit is active or not"
        )


def agreements(module: nn.Module, images: Tensor) -> Tensor:
    """How many units are both active or both inactive for two images, fp64 ``[B, B]``, exact.

    The diagonal is the number of units. Arguments and errors are those of `sign_patterns`.
    """
    counts = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)

    def see(active: Tensor) -> None:
        for part in active.split(_EXACT, dim=1):
            signs = 2 * part.float() - 1
            counts.add_(((signs @ signs.T).double() + part.shape[1]).to(counts.device) / 2)

    sign_patterns(module, images, see)
    return counts


class _Rectifiers(TorchFunctionMode):
    def __init__(self, images: int, see: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.seen = 0
        self._images, self._see = images, see

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _RECTIFIERS:
            x = args[0] if args else kwargs["input"]
            rows = len(x)
            # windows of an image lie side by side in the first dimension
            if rows and rows % self._images == 0:
                self.seen += 1
                self._see(x.detach().reshape(self._images, -1) > 0)
        return func(*args, **kwargs)
