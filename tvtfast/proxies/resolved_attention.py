"""Attention whose derivative holds where products of queries and keys are huge.

Weights of attention depend on differences of products. Once a product is beyond the reciprocal of
the rounding error, fp64 holds no difference of a few units: tokens that differ look alike. The
derivative of softmax is then made of rounding errors, and it is multiplied by the product. Exact
arithmetic has one winner there, whose weight is 1 and whose derivative is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

RESOLVED = 2.0**32
"""The largest product of a row up to which its differences count: rounding errors of fp64 are then
below one millionth, and a product beyond has tokens that are less than ``2**-32`` apart, or a
winner."""
_SOFTMAX: frozenset[Callable[..., Any]] = frozenset(
    {F.softmax, torch.softmax, torch.special.softmax, Tensor.softmax}
)


class ResolvedAttention(TorchFunctionMode):
    """Inside, rows of softmax and attention with a product beyond `RESOLVED` pass no gradient to
    their products. What they give is that of PyTorch, and finite where products overflow."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return _attention(*args, **given)
        if func in _SOFTMAX:
            return _softmax(func, *args, **given)
        return func(*args, **given)


def _softmax(func: Callable[..., Tensor], input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    dim = args[0] if args else kwargs.get("dim", -1)
    return func(_resolved(input, -1 if dim is None else dim), *args, **kwargs)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``scaled_dot_product_attention`` in evaluation mode."""
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = (x.repeat_interleave(groups, -3) for x in (key, value))
    products = query * (query.shape[-1] ** -0.5 if scale is None else scale) @ key.mT
    if is_causal:
        attn_mask = torch.ones_like(products, dtype=torch.bool).tril()
    if attn_mask is None:
        return _resolved(products, -1).softmax(-1) @ value
    if attn_mask.dtype == torch.bool:
        masked = products.masked_fill(~attn_mask, -torch.inf)
    else:
        masked = products.clamp(max=torch.finfo(products.dtype).max) + attn_mask
    return _resolved(masked, -1).softmax(-1) @ value


def _resolved(products: Tensor, dim: int) -> Tensor:
    """Products, of which rows with one beyond `RESOLVED` have no history."""
    largest = products.detach().amax(dim, keepdim=True)
    finite = products.detach().clamp(max=torch.finfo(products.dtype).max)
    return torch.where(largest > RESOLVED, finite, products)
