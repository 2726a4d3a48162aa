"""Every attention that a model calls: who calls it, and with what.

A mode sees the functions that a model calls, so neither modules nor their flags are changed, and a
model that forms its attention weights is seen like one that leaves them to PyTorch.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils import _pytree

from tvtfast.models.blocks import Attention


@dataclass(frozen=True)
class Caller:
    """A module while it runs: its name, itself, the first tensor that it was given, and who runs
    it."""

    name: str
    module: nn.Module
    given: Tensor | None
    outer: Caller | None


@dataclass(frozen=True)
class Product:
    """What ``scaled_dot_product_attention`` was given; ``mask`` is a bias, or True where a query
    sees a key."""

    q: Tensor
    k: Tensor
    scale: float
    mask: Tensor | None = None
    causal: bool = False


class Observer(Protocol):
    """Is told of every attention, in the order of the calls."""

    def product(self, caller: Caller, product: Product) -> None:
        """Attention from queries and keys."""

    def weights(self, caller: Caller, weights: Tensor, values: Tensor) -> None:
        """Weights, the result of a softmax, that the model multiplies by values."""

    def changed(self, caller: Caller, function: str) -> None:
        """The result of a softmax that is no weight: what is done with it first."""


@contextlib.contextmanager
def observed(model: nn.Module, observer: Observer) -> Iterator[None]:
    """Tell the observer of every attention that the model calls inside; hooks are gone after it."""
    calls = _Calls(observer)
    handles = []
    for name, module in model.named_modules():
        enter = module.register_forward_pre_hook(calls.entering(name), with_kwargs=True)
        leave = module.register_forward_hook(calls.leave, always_call=True)
        handles += [enter, leave]
    try:
        with _uncompiled(), calls:
            yield
    finally:
        for handle in handles:
            handle.remove()


def _uncompiled() -> contextlib.AbstractContextManager[object]:
    """What runs what was compiled as it was written; its import is as dear as that of torch."""
    if "torch._dynamo" not in sys.modules:
        return contextlib.nullcontext()
    return torch.compiler.set_stance("force_eager")


_SOFTMAX = {torch.softmax, Tensor.softmax, F.softmax, torch.special.softmax}
_PRODUCT = {torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm}
_UNCHANGED = {
    *(F.dropout, Tensor.to, Tensor.type_as, Tensor.type, Tensor.contiguous),
    *(Tensor.float, Tensor.half, Tensor.bfloat16),
}
"""Functions through which weights stay what they are: dropout is no part of them."""
_TRANSPOSE = {
    *(torch.transpose, Tensor.transpose, torch.permute, Tensor.permute),
    *(Tensor.mT.__get__, Tensor.swapaxes, torch.swapaxes),  # type: ignore[attr-defined]
}


@dataclass
class _Pending:
    """The result of a softmax that has met no values yet, and what was made of it so far."""

    caller: Caller
    tensor: Tensor
    version: int
    transposed: Tensor | None = None
    changed: str | None = None

    def what_changed(self) -> str | None:
        """Why the tensor is no longer what the softmax returned."""
        if self.tensor._version == self.version:
            return None
        return self.changed or "a function that overwrites it"


class _Calls(TorchFunctionMode):
    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self._observer = observer
        self._stack: list[Caller] = []
        self._pending: list[_Pending] = []

    def entering(self, name: str) -> Callable[..., None]:
        def enter(module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
            given = (x for x in (*inputs, *options.values()) if isinstance(x, Tensor))
            outer = self._stack[-1] if self._stack else None
            caller = Caller(name, module, next(given, None), outer)
            if isinstance(module, Attention):
                q, k = module.queries_and_keys(*inputs, **options)
                self._observer.product(caller, Product(q, k, module.scale))
            self._stack.append(caller)

        return enter

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Forget what the module has made; a softmax that it returns is that of its own caller."""
        caller = self._stack.pop()
        for pending in [pending for pending in self._pending if pending.caller is caller]:
            if output is pending.tensor and self._stack:
                pending.caller = self._stack[-1]
                continue
            self._pending.remove(pending)
            if pending.changed is not None:
                self._observer.changed(caller, pending.changed)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        caller = self._caller()
        if caller is None:
            return func(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            self._observer.product(caller, _product(*args, **kwargs))
        elif func is F.multi_head_attention_forward:
            self._observer.weights(caller, *_multi_head_weights(args, kwargs))
        elif self._pending:
            self._meet(func, args)
        result = func(*args, **kwargs)
        if func in _SOFTMAX and _is_over_the_last(result, args, kwargs):
            self._pending.append(_Pending(caller, result, result._version))
        elif self._pending and isinstance(result, Tensor):
            self._follow(func, args, kwargs, result)
        return result

    def _caller(self) -> Caller | None:
        """The innermost module; None where a candidate of ours has told its queries and keys."""
        if any(isinstance(caller.module, Attention) for caller in self._stack):
            return None
        return self._stack[-1] if self._stack else None

    def _meet(self, func: Any, args: tuple[Any, ...]) -> None:
        """Tell of weights that are multiplied by values, as ``P v`` or as ``v^T P^T``."""
        factors = _factors(func, args)
        if factors is None:
            return
        first, second = factors
        for pending in self._pending:
            if pending.tensor is first:
                values = second
            elif pending.transposed is second:
                values = first.mT
            else:
                continue
            self._pending.remove(pending)
            changed = pending.what_changed()
            if changed is None:
                self._observer.weights(pending.caller, pending.tensor, values)
            else:
                self._observer.changed(pending.caller, changed)
            return

    def _follow(self, func: Any, args: tuple[Any, ...], kwargs: Any, result: Tensor) -> None:
        """Note what is made of a softmax: itself, its transpose, or something else."""
        for x in _pytree.tree_leaves((args, kwargs)):
            for pending in self._pending:
                if pending.tensor is not x:
                    continue
                if func in _UNCHANGED and pending.what_changed() is None:
                    pending.tensor, pending.version = result, result._version
                elif func in _TRANSPOSE and _is_transpose(x, result):
                    pending.transposed = result
                elif pending.changed is None:
                    pending.changed = resolve_name(func) or str(func)


def _product(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Product:
    """The arguments of ``scaled_dot_product_attention`` with one key per query head."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    return Product(query, key, factor, attn_mask, is_causal)


def _multi_head_weights(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Weights ``[B, H, N, M]`` and values of ``torch.nn.MultiheadAttention``, without dropout."""
    call = inspect.signature(F.multi_head_attention_forward).bind(*args, **kwargs)
    call.arguments.update(need_weights=True, average_attn_weights=False, dropout_p=0.0)
    weights = F.multi_head_attention_forward(*call.args, **call.kwargs)[1]
    assert weights is not None
    return weights, call.arguments["value"]


def _factors(func: Any, args: tuple[Any, ...]) -> tuple[Tensor, Tensor] | None:
    """The factors of a product that sums over the last axis of the first of them."""
    if func in _PRODUCT:
        return args[0], args[1]
    if func is not torch.einsum or len(args) != 3 or not isinstance(args[0], str):
        return None
    operands, _, result = args[0].replace(" ", "").partition("->")
    first, _, second = operands.partition(",")
    sums = first[-1:] in second and first[-1:] not in result and first[-2:-1] in result
    return (args[1], args[2]) if sums else None


def _is_transpose(x: Tensor, result: Tensor) -> bool:
    """Whether a view swaps the last two axes and no others."""
    wanted = x.mT
    return result.shape == wanted.shape and result.stride() == wanted.stride()


def _is_over_the_last(result: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a softmax may be that of attention: over the last of three dimensions or more."""
    axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return result.dim() >= 3 and axis in (-1, result.dim() - 1)
