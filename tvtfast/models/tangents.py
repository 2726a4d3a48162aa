"""Forward-mode tangents carried through a network by hand.

``torch.func.jvp`` pushes a tangent through any model, but knows neither fused attention nor that
the derivative of GELU and of a layer norm is one fused call. A `Dual` goes through a model in place
of a tensor and meets each function the model calls with the rule for value and tangent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from tvtfast import kernels


class MissingRuleError(NotImplementedError):
    """A model calls a function whose tangent is not known here."""


class Dual:
    """A tensor and its tangent: ``value + e tangent`` with ``e^2 = 0``.

    It stands in for a tensor: functions of ``torch`` and ``torch.nn.functional``, methods and
    operators give duals. Parameters and other tensors have the tangent 0.
    """

    __slots__ = ("tangent", "value")

    def __init__(self, value: Tensor, tangent: Tensor) -> None:
        self.value, self.tangent = value, tangent

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        rule = _RULES.get(func.__name__)
        if rule is None:
            raise MissingRuleError(f"no tangent is known for {func.__name__}")
        return _paired(*rule(func, *args, **(kwargs or {})))

    def __getattr__(self, name: str) -> Any:
        if name in _PLAIN:
            return getattr(self.value, name)
        if name == "mT":
            return self.transpose(-2, -1)
        method = getattr(Tensor, name)
        if not callable(method):
            raise AttributeError(f"a Dual has no attribute {name!r}")
        return partial(_call, method, self)

    def __getitem__(self, index: Any) -> Any:
        return _call(Tensor.__getitem__, self, index)

    def __neg__(self) -> Any:
        return _call(torch.neg, self)

    def __add__(self, other: Any) -> Any:
        return _call(torch.add, self, other)

    def __sub__(self, other: Any) -> Any:
        return _call(torch.sub, self, other)

    def __mul__(self, other: Any) -> Any:
        return _call(torch.mul, self, other)

    def __truediv__(self, other: Any) -> Any:
        return _call(torch.div, self, other)

    def __matmul__(self, other: Any) -> Any:
        return _call(torch.matmul, self, other)

    def __pow__(self, other: Any) -> Any:
        return _call(torch.pow, self, other)

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __rtruediv__(self, other: Any) -> Any:
        return _call(torch.div, other, self)

    __radd__, __rmul__ = __add__, __mul__


def jvp(
    function: Callable[[Any], Any], primal: Tensor, tangent: Tensor, *, by_hand: bool
) -> tuple[Tensor, Tensor]:
    """Value of a function of a tensor and its directional derivative.

    Args:
        function: Of one tensor, to one tensor.
        primal: Where.
        tangent: In which direction, of the shape of ``primal``.
        by_hand: Use `Dual` where it knows all functions called; else, and without it,
            ``torch.func.jvp``.
    """
    if by_hand:
        try:
            with torch.no_grad():
                result = function(Dual(primal, tangent))
            return result.value, result.tangent
        except MissingRuleError:
            pass
    with sdpa_kernel(SDPBackend.MATH):  # the fused forms have no tangent
        found = torch.func.jvp(function, (primal,), (tangent,))
    return found[0], found[1]


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return Dual.__torch_function__(function, (), args, kwargs)


def _paired(value: Any, tangent: Any) -> Any:
    if isinstance(value, Tensor):
        return Dual(value, tangent)
    return tuple(Dual(v, t) for v, t in zip(value, tangent, strict=True))


def _value(x: Any) -> Any:
    return x.value if isinstance(x, Dual) else x


def _tangent(x: Any) -> Any:
    """Zeros for a tensor that is no dual."""
    return x.tangent if isinstance(x, Dual) else torch.zeros_like(x)


def _need(known: bool, function: Callable[..., Any]) -> None:
    if not known:
        raise MissingRuleError(f"no tangent is known for {function.__name__} called this way")


Pair = tuple[Any, Any]


def _of_first(function: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> Pair:
    """Functions that are linear in the first argument alone."""
    others = (*args, *kwargs.values())
    _need(isinstance(x, Dual) and not any(isinstance(o, Dual) for o in others), function)
    return function(x.value, *args, **kwargs), function(x.tangent, *args, **kwargs)


def _sum(function: Callable[..., Any], a: Any, b: Any) -> Pair:
    """``a + b`` and ``a - b``; what is no dual moves nothing."""
    value = function(_value(a), _value(b))
    if isinstance(a, Dual) and isinstance(b, Dual):
        return value, function(a.tangent, b.tangent)
    tangent = a.tangent if isinstance(a, Dual) else function(torch.zeros_like(b.tangent), b.tangent)
    return value, tangent.expand(value.shape)


def _product(function: Callable[..., Any], a: Any, b: Any) -> Pair:
    """What is linear in both arguments."""
    value = function(_value(a), _value(b))
    parts = []
    if isinstance(a, Dual):
        parts.append(function(a.tangent, _value(b)))
    if isinstance(b, Dual):
        parts.append(function(_value(a), b.tangent))
    return value, sum(parts[1:], parts[0])


def _affine(
    function: Callable[..., Any], x: Any, weight: Any, bias: Any = None, *args: Any, **kwargs: Any
) -> Pair:
    """Linear maps and convolutions: the bias moves nothing."""
    _need(isinstance(x, Dual) and not isinstance(weight, Dual), function)
    value = function(x.value, weight, bias, *args, **kwargs)
    return value, function(x.tangent, weight, None, *args, **kwargs)


def _baddbmm(function: Callable[..., Any], bias: Tensor, x: Any, weight: Any) -> Pair:
    """Linear maps of several draws: the bias moves nothing."""
    known = isinstance(x, Dual) and not isinstance(bias, Dual) and not isinstance(weight, Dual)
    _need(known, function)
    return function(bias, x.value, weight), torch.bmm(x.tangent, weight)


def _pad(
    function: Callable[..., Any], x: Any, pad: Any, mode: str = "constant", value: Any = None
) -> Pair:
    _need(isinstance(x, Dual) and not value, function)
    if not any(pad):  # PyTorch copies
        return x.value, x.tangent
    return function(x.value, pad, mode), function(x.tangent, pad, mode)


def _joined(function: Callable[..., Any], tensors: Any, dim: int = 0) -> Pair:
    value = function([_value(x) for x in tensors], dim=dim)
    return value, function([_tangent(x) for x in tensors], dim=dim)


def _scatter_add(function: Callable[..., Any], x: Any, dim: int, index: Tensor, src: Any) -> Pair:
    value = function(_value(x), dim, index, _value(src))
    return value, function(_tangent(x), dim, index, _tangent(src))


def _gelu(function: Callable[..., Any], x: Dual, approximate: str = "none") -> Pair:
    value = function(x.value, approximate=approximate)
    return value, torch.ops.aten.gelu_backward(x.tangent, x.value, approximate=approximate)


def _tanh(function: Callable[..., Any], x: Dual) -> Pair:
    value = function(x.value)
    return value, torch.ops.aten.tanh_backward(x.tangent, value)


def _softmax(function: Callable[..., Any], x: Dual, dim: int, *args: Any, **kwargs: Any) -> Pair:
    value = function(x.value, dim, *args, **kwargs)
    changes = value * x.tangent
    return value, changes - value * changes.sum(dim=dim, keepdim=True)


def _layer_norm(
    function: Callable[..., Any],
    x: Dual,
    shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Pair:
    """The Jacobian without weight is symmetric, so its product is that of the backward pass."""
    _need(isinstance(x, Dual), function)
    value, mean, rstd = torch.native_layer_norm(x.value, shape, weight, bias, eps)
    tangent = torch.ops.aten.native_layer_norm_backward(
        x.tangent.contiguous(), x.value, shape, mean, rstd, None, None, [True, False, False]
    )[0]
    return value, tangent if weight is None else tangent * weight


def _attention(
    function: Callable[..., Any],
    q: Any,
    k: Any,
    v: Any,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Pair:
    operands = (q, k, v)
    _need(all(isinstance(x, Dual) for x in operands) and not dropout_p and not is_causal, function)
    if attn_mask is None and q.ndim == 4 and q.shape == k.shape == v.shape:
        values, tangents = (
            (_value(q), _value(k), _value(v)),
            (_tangent(q), _tangent(k), _tangent(v)),
        )
        return kernels.attention_jvp(*values, *tangents, scale)
    scores = (q * (q.shape[-1] ** -0.5 if scale is None else scale)) @ k.transpose(-2, -1)
    if attn_mask is not None:
        hidden = attn_mask.dtype == torch.bool
        scores = scores + (
            torch.zeros_like(attn_mask, dtype=q.dtype).masked_fill(~attn_mask, -torch.inf)
            if hidden
            else attn_mask
        )
    mixed = scores.softmax(-1) @ v
    return mixed.value, mixed.tangent


def _dropout(function: Callable[..., Any], x: Dual, *args: Any, **kwargs: Any) -> Pair:
    training = args[1] if len(args) > 1 else kwargs.get("training", True)
    _need(not training, function)
    return x.value, x.tangent


_LINEAR = (
    *("__getitem__", "chunk", "contiguous", "expand", "flatten", "gather", "movedim", "narrow"),
    *("permute", "reshape", "roll", "select", "split", "squeeze", "transpose", "unbind"),
    *("unflatten", "unfold", "unsqueeze", "view"),
    *("div", "mean", "neg", "sum"),
)
_PLAIN = ("device", "dim", "dtype", "layout", "ndim", "new_zeros", "shape", "size")
"""What a dual has in common with its value."""

_RULES: dict[str, Callable[..., Pair]] = {
    **dict.fromkeys(_LINEAR, _of_first),
    **dict.fromkeys(("add", "sub"), _sum),
    **dict.fromkeys(("mul", "matmul", "bmm"), _product),
    **dict.fromkeys(("linear", "conv2d"), _affine),
    **dict.fromkeys(("cat", "stack"), _joined),
    "baddbmm": _baddbmm,
    "dropout": _dropout,
    "gelu": _gelu,
    "layer_norm": _layer_norm,
    "pad": _pad,
    "scaled_dot_product_attention": _attention,
    "scatter_add": _scatter_add,
    "softmax": _softmax,
    "tanh": _tanh,
}
"""By name: the same in ``torch``, ``torch.nn.functional`` and of the method."""
