"""FLOPs of a module, counted while it runs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


class _WholeModel:
    """In place of torch's tracker of modules, whose hooks fail where a module is given parameters
    as inputs (class tokens in PiT and CaiT)."""

    parents = frozenset({"Global"})

    def __enter__(self) -> _WholeModel:
        return self

    def __exit__(self, *error: object) -> None: ...


def count_flops(module: nn.Module, images: Tensor) -> int:
    """FLOPs of one forward pass without gradients, two per multiply-add, as
    `torch.utils.flop_counter` counts them.

    Args:
        module: Run in the mode it is in.
        images: ``[B, C, H, W]``, on its device, which may be the meta device.
    """
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _WholeModel()  # type: ignore[assignment]
    fused = torch.backends.mha.get_fastpath_enabled()
    # the counter does not see fused attention on the CPU, and nowhere that of nn.MultiheadAttention
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            module(images)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops()
