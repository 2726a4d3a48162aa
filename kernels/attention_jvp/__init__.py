"""Public tangent of attention."""

from __future__ import annotations

from torch import Tensor

from .. import checks, transforms
from ..calls import execute
from . import reference
from .definition import Arguments

__all__ = ["attention_jvp"]


def attention_jvp(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    scale: float | None = None,
    *,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Attention and its forward-mode tangent in one pass, without ever holding ``[B, H, N, N]``.

    With ``P = softmax(S)`` of ``S = scale q k^T`` and ``dS = scale (dq k^T + q dk^T)``,

    .. math:: out = P v, \quad
        dout = P\,dv + (P \circ dS) v - rowsum(P \circ dS) \circ out

    Args:
        q: Queries ``[B, H, N, D]``; fp32, fp16, bf16 or fp64, any strides, such as a part of a
            fused projection.
        k: Keys, of the shape and dtype of ``q``, as are all the others.
        v: Values.
        dq: Tangent of the queries.
        dk: Tangent of the keys.
        dv: Tangent of the values.
        scale: Factor of the scores; ``D ** -0.5`` by default.
        backend: ``auto``, or a name of :func:`~tvtfast.kernels.backends`.

    Returns:
        ``(out, dout)``, ``[B, H, N, D]`` of the dtype of ``q``, laid out as ``[B, N, H, D]``, so
        that ``.transpose(1, 2).flatten(2)`` copies nothing.

    Sums are fp32 (fp64 for fp64). The native backend replaces the exponential by its series of
    second order in heads whose scores are provably so small (6.9e-4) that the error is 2^-22; the
    triton backend rounds weights of half inputs to their dtype before they weigh values. Both give
    the same bits on every run, the native one whatever the number of threads. Where gradients are
    recorded and inside ``torch.func`` transforms it is plain PyTorch, differentiable any number of
    times. Autocast leaves it alone. A NaN in a key makes its head NaN. Error bound:
    :func:`tvtfast.kernels.attention_jvp.definition.tolerance`.

    Raises:
        TypeError: A tensor is not floating-point of a listed dtype, or not of the dtype of ``q``.
        ValueError: Shapes or devices do not fit together.
        BackendError: The backend asked for by name cannot serve the call.

    Source: attention as in Vaswani et al., "Attention is all you need", NeurIPS 2017, eq. 1; its
    derivative is elementary.
    """
    operands = (q, k, v, dq, dk, dv)
    checks.like_queries("attention_jvp", dict(zip(Arguments._fields, operands, strict=False)))
    factor = q.shape[-1] ** -0.5 if scale is None else float(scale)
    call = Arguments(*operands, factor)
    if transforms.takes_reference("attention_jvp", backend, *operands):
        return reference.run(call)
    out, tangent = execute("attention_jvp", call, backend, *operands)
    return out, tangent
