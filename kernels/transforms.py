"""Detection of ``torch.func`` transforms and forward-mode differentiation.

A registered operator has no tangent: under ``torch.func.jvp`` PyTorch would take it as zero without
a word. Public functions therefore compute with the plain-PyTorch reference while a transform is
active.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .backend import reference
from .dispatch import AUTO, BackendError, requested

_PLAIN_TYPES = (Tensor, torch.nn.Parameter, type(None))


def active() -> bool:
    """Whether a ``torch.func`` transform or a forward-mode level is under way."""
    functorch = torch._C._are_functorch_transforms_active()
    return bool(functorch) or forward_ad._current_level >= 0


def records_gradients(*tensors: Tensor | None) -> bool:
    """Whether autograd records what is computed from these tensors."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)


def is_plain(*tensors: Tensor | None) -> bool:
    """Whether nothing watches the operators: no autograd, compiler, tracer or tensor subclass.

    A plain call goes to the backend at once; the registered operator would add some 10 us.
    """
    return not (
        records_gradients(*tensors)
        or torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._get_tracing_state()
        or any(type(tensor) not in _PLAIN_TYPES for tensor in tensors)
    )


def takes_reference(operator: str, backend: str | None, *differentiated: Tensor | None) -> bool:
    """Whether only the reference can serve.

    It alone can inside a transform and, for operators that have no derivative of their own, where
    gradients of the tensors ``differentiated`` are recorded.
    """
    if active():
        where = "inside a torch.func transform or forward-mode differentiation"
    elif records_gradients(*differentiated):
        where = "whose gradients are recorded"
    else:
        return False
    name = requested(backend)
    if name not in (AUTO, reference.NAME):
        raise BackendError(
            f"{operator}: backend {name!r} cannot serve a call {where}; use backend='auto' or"
            " 'reference' there"
        )
    return True


def refuse(operator: str, tensor: Tensor) -> None:
    """Raise ``RuntimeError`` where an operator that fills ``tensor`` would go unnoticed.

    A transform does not see it, and neither does autograd: what the tensor was computed from would
    receive gradients of values that are gone. Leaves such as parameters are filled.
    """
    if active():
        raise RuntimeError(
            f"{operator}: fills its tensor in place and has no meaning inside a torch.func"
            " transform or forward-mode differentiation; fill the tensor before it"
        )
    if records_gradients(tensor):
        root = tensor if tensor._base is None else tensor._base
        if not root.is_leaf:
            raise RuntimeError(
                f"{operator}: fills a tensor that autograd has computed, and gradients would flow"
                " to what it was computed from; pass tensor.detach(), or use torch.no_grad()"
            )
