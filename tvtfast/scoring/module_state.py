"""What a proxy finds in a module, put back after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_PARTS = frozenset(nn.Module().__dict__) | {"forward"}
"""Attributes of a module that are put back: its mode, parameters, buffers, submodules and hooks,
and a forward of its own. Others, such as counters, are the module's affair."""


class _Saved(NamedTuple):
    """A parameter or buffer.

    Args:
        tensor: Itself.
        data: Another view of its memory, which its version counter does not see.
        copy: Its values.
        requires_grad: Its flag.
        grad: Its gradient.
        grad_copy: Values of that.
    """

    tensor: Tensor
    data: Tensor
    copy: Tensor
    requires_grad: bool
    grad: Tensor | None
    grad_copy: Tensor | None


class ModuleState:
    """Weights, buffers, gradients, flags, modes, submodules, hooks and forward of a module.

    Values are compared, since version counters do not see what is written through ``.data``.

    Args:
        module: The module, in the state that `restore` puts back.
    """

    def __init__(self, module: nn.Module) -> None:
        self._parts = [(part, _attributes(part)) for part in module.modules()]
        self._saved = [
            _Saved(
                tensor,
                tensor.data,
                tensor.detach().clone(),
                tensor.requires_grad,
                tensor.grad if tensor.is_leaf else None,
                tensor.grad.clone() if tensor.is_leaf and tensor.grad is not None else None,
            )
            for tensor in dict.fromkeys((*module.parameters(), *module.buffers()))
        ]

    def restore(self) -> bool:
        """Put everything back that differs.

        Returns:
            Whether something did that scores depend on: a value, a mode, a submodule, a hook or a
            forward.
        """
        changed = False
        for part, attributes in self._parts:
            changed |= _put_back(part, attributes)
        for saved in self._saved:
            changed |= _put_values_back(saved)
        return changed


def _attributes(part: nn.Module) -> dict[str, tuple[Any, Any]]:
    """Attributes, and the content of those that are containers."""
    return {
        name: (value, value.copy() if isinstance(value, (dict, set)) else None)
        for name, value in part.__dict__.items()
        if name in _PARTS
    }


def _put_back(part: nn.Module, attributes: dict[str, tuple[Any, Any]]) -> bool:
    changed = False
    for name in [name for name in part.__dict__ if name in _PARTS and name not in attributes]:
        del part.__dict__[name]
        changed = True
    for name, (value, content) in attributes.items():
        if part.__dict__.get(name) is not value:
            part.__dict__[name] = value
            changed = True
        if content is not None and not _same(value, content):
            value.clear()
            value.update(content)
            changed = True
    return changed


def _same(value: Any, content: Any) -> bool:
    """Whether a container holds the same objects in the same order."""
    pairs = list(zip(_entries(value), _entries(content), strict=False))
    return len(value) == len(content) and all(a == b and x is y for (a, x), (b, y) in pairs)


def _entries(container: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(container, dict):
        yield from container.items()
    else:
        yield from ((entry, None) for entry in sorted(container))


@torch.no_grad()
def _put_values_back(saved: _Saved) -> bool:
    tensor, data = saved.tensor, saved.data
    changed = False
    if tensor.data_ptr() != data.data_ptr() or tensor.shape != data.shape:
        tensor.data = data
        changed = True
    if not torch.equal(data, saved.copy):
        changed |= not torch.equal(data.isnan(), saved.copy.isnan()) or not torch.equal(
            data.nan_to_num(), saved.copy.nan_to_num()
        )
        data.copy_(saved.copy)
    if tensor.requires_grad != saved.requires_grad:
        tensor.requires_grad_(saved.requires_grad)
    if saved.tensor.is_leaf and tensor.grad is not saved.grad:
        tensor.grad = saved.grad
    if saved.grad is not None and saved.grad_copy is not None:
        saved.grad.data.copy_(saved.grad_copy)
    return changed
