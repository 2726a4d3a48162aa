"""Registration of the operators with PyTorch; no other file registers any.

Every operator is ``tvtfast::<name>`` with the schema of :mod:`.spec`, one kernel for all devices
that hands real tensors to :mod:`.dispatch`, and a fake that gives shapes, dtypes and strides to the
compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from . import dispatch
from ._layout import empty_gradient, empty_tokens_first
from ._slices import SliceTable
from .dtypes import accumulation_dtype
from .reference import angle_distance as reference_angle_distance
from .reference import gram as reference_gram
from .spec import OPERATORS

NAMESPACE = "tvtfast"

_library = torch.library.Library(NAMESPACE, "DEF")


def _kernel(operator: str) -> Callable[..., Any]:
    def kernel(*arguments: Any, backend: str | None = None) -> Any:
        return dispatch.run(operator, arguments, backend)

    return kernel


def _attention_map_fake(
    x: Tensor, size: Sequence[int], *, backend: str | None = None
) -> tuple[Tensor, Tensor]:
    dtype = accumulation_dtype(x.dtype)
    images = x.shape[0]
    return x.new_empty((images, size[0] * size[1]), dtype=dtype), x.new_empty(images, dtype=dtype)


def _attention_map_distance_fake(
    x: Tensor, teacher: Tensor, size: Sequence[int], *, backend: str | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    values, norm = _attention_map_fake(x, size)
    return torch.empty_like(norm), values, norm


def _attention_map_distances_fake(
    xs: Sequence[Tensor], teacher: Tensor, size: Sequence[int], *, backend: str | None = None
) -> Tensor:
    x = xs[0]
    return x.new_empty((len(xs), x.shape[0]), dtype=accumulation_dtype(x.dtype))


def _attention_map_backward_fake(
    x: Tensor,
    map: Tensor,
    norm: Tensor,
    grad_map: Tensor,
    size: Sequence[int],
    *,
    backend: str | None = None,
) -> Tensor:
    return empty_gradient(x)


def _segment_norms_fake(tensors: Sequence[Tensor], *, backend: str | None = None) -> Tensor:
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    return tensors[0].new_empty(len(tensors), dtype=torch.float64 if wide else torch.float32)


def _slice_norms_fake(weight: Tensor, sizes: Tensor, *, backend: str | None = None) -> Tensor:
    return weight.new_empty(sizes.shape[0], dtype=accumulation_dtype(weight.dtype))


def _writing_fake(*arguments: object, backend: str | None = None) -> None:
    """Of operators whose results are in an argument."""


def _self_attention_stats_fake(
    q: Tensor,
    k: Tensor,
    teacher: Tensor | None,
    scale: float,
    statistics: Sequence[str],
    *,
    backend: str | None = None,
) -> list[Tensor]:
    images, heads, tokens, _ = q.shape
    dtype = accumulation_dtype(q.dtype)
    shapes = [
        (images, tokens, tokens) if name == "head_mean" else (images, heads, tokens)
        for name in statistics
    ]
    if teacher is not None:
        shapes.append((images, heads, tokens))
    return [q.new_empty(shape, dtype=dtype) for shape in shapes]


def _packed_attention_fake(
    qkv: Tensor, num_heads: int, scale: float, *, backend: str | None = None
) -> Tensor:
    return qkv.new_empty(qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3)


def _layer_norm_fake(x: Tensor, eps: float, *, backend: str | None = None) -> Tensor:
    return x.new_empty(x.shape)


def _attention_jvp_fake(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    scale: float,
    *,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    return empty_tokens_first(q), empty_tokens_first(q)


def _gram_fake(
    x: Tensor, y: Tensor | None, relative: bool, *, backend: str | None = None
) -> Tensor:
    matrices, rows, _ = x.shape
    columns = rows if y is None else y.shape[1]
    return x.new_empty((matrices, rows, columns), dtype=accumulation_dtype(x.dtype))


def _angle_distance_fake(student: Tensor, teacher: Tensor, *, backend: str | None = None) -> Tensor:
    return student.new_empty(student.shape[0])


def _slice_norms_kernel(weight: Tensor, sizes: Tensor, *, backend: str | None = None) -> Any:
    table = SliceTable(sizes.to(torch.int64))
    table.check(weight)
    return dispatch.run("slice_norms", (weight, table), backend)


_FAKES: dict[str, Callable[..., Any]] = {
    "attention_map": _attention_map_fake,
    "attention_map_distance": _attention_map_distance_fake,
    "attention_map_distances": _attention_map_distances_fake,
    "attention_map_backward": _attention_map_backward_fake,
    "segment_norms": _segment_norms_fake,
    "slice_norms": _slice_norms_fake,
    "indexed_normal_": _writing_fake,
    "indexed_uniform_": _writing_fake,
    "self_attention_stats": _self_attention_stats_fake,
    "packed_attention": _packed_attention_fake,
    "layer_norm": _layer_norm_fake,
    "linear": _writing_fake,
    "mlp_block": _writing_fake,
    "attention_block": _writing_fake,
    "attention_jvp": _attention_jvp_fake,
    "gram": _gram_fake,
    "angle_distance": _angle_distance_fake,
}

for _name, _operator in OPERATORS.items():
    _library.define(_operator.schema)
    _run = _slice_norms_kernel if _name == "slice_norms" else _kernel(_name)
    _library.impl(_name, _run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"{NAMESPACE}::{_name}", _FAKES[_name], lib=_library)


def _save_map(
    ctx: Any, inputs: tuple[Any, ...], keyword_only_inputs: dict[str, Any], output: Any
) -> None:
    x, size = inputs
    values, norm = output
    ctx.mark_non_differentiable(norm)
    ctx.save_for_backward(x, values, norm)
    ctx.size, ctx.backend = size, keyword_only_inputs["backend"]


def _refuse_second_derivative() -> None:
    if torch.is_grad_enabled():
        raise RuntimeError(
            "attention maps are differentiable once, but create_graph=True asks for a gradient that"
            " can be differentiated again; use torch.func.grad, inside which they are plain PyTorch"
        )


def _map_backward(ctx: Any, grad_map: Tensor, grad_norm: Tensor) -> tuple[Tensor, None]:
    _refuse_second_derivative()
    x, values, norm = ctx.saved_tensors
    gradient = torch.ops.tvtfast.attention_map_backward(
        x, values, norm, grad_map, ctx.size, backend=ctx.backend
    )
    return gradient, None


def _save_distance(
    ctx: Any, inputs: tuple[Any, ...], keyword_only_inputs: dict[str, Any], output: Any
) -> None:
    x, teacher, size = inputs
    _, values, norm = output
    ctx.mark_non_differentiable(values, norm)
    ctx.save_for_backward(x, teacher, values, norm)
    ctx.size, ctx.backend = size, keyword_only_inputs["backend"]


def _distance_backward(
    ctx: Any, grad_distance: Tensor, grad_map: Tensor, grad_norm: Tensor
) -> tuple[Tensor | None, Tensor | None, None]:
    _refuse_second_derivative()
    x, teacher, values, norm = ctx.saved_tensors
    rows, positions = teacher.shape
    repeats = x.shape[0] // max(rows, 1)
    scale = grad_distance.view(repeats, rows, 1) * (2 / positions)
    grad_teacher = scale * (teacher - values.view(repeats, rows, positions))
    grad_x = None
    if ctx.needs_input_grad[0]:
        grad_x = torch.ops.tvtfast.attention_map_backward(
            x, values, norm, -grad_teacher.view_as(values), ctx.size, backend=ctx.backend
        )
    return grad_x, grad_teacher.sum(dim=0) if ctx.needs_input_grad[1] else None, None


torch.library.register_autograd(
    f"{NAMESPACE}::attention_map", _map_backward, setup_context=_save_map, lib=_library
)
torch.library.register_autograd(
    f"{NAMESPACE}::attention_map_distance",
    _distance_backward,
    setup_context=_save_distance,
    lib=_library,
)


def _save_gram(
    ctx: Any, inputs: tuple[Any, ...], keyword_only_inputs: dict[str, Any], output: Any
) -> None:
    x, y, ctx.relative = inputs
    ctx.save_for_backward(x, y)


def _gram_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    x, y = ctx.saved_tensors
    if y is None:
        return reference_gram.backward(x, ctx.relative, grad), None, None
    grad_x = reference_gram.backward_x(y, grad) if ctx.needs_input_grad[0] else None
    grad_y = reference_gram.backward_y(x, y, grad) if ctx.needs_input_grad[1] else None
    return grad_x, grad_y, None


def _save_grams(
    ctx: Any, inputs: tuple[Any, ...], keyword_only_inputs: dict[str, Any], output: Any
) -> None:
    ctx.save_for_backward(*inputs)


def _angle_distance_backward(ctx: Any, grad: Tensor) -> Any:
    pull_back = torch.func.vjp(reference_angle_distance.forward, *ctx.saved_tensors)[1]
    return pull_back(grad)


torch.library.register_autograd(
    f"{NAMESPACE}::gram", _gram_backward, setup_context=_save_gram, lib=_library
)
torch.library.register_autograd(
    f"{NAMESPACE}::angle_distance",
    _angle_distance_backward,
    setup_context=_save_grams,
    lib=_library,
)
