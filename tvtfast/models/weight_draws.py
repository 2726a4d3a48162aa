"""Several weight draws of one architecture, run as one network.

A small network leaves a GPU idle between launches. Draws differ in nothing but their weights: the
images of all draws go through one module as one batch, and every layer with weights multiplies the
images of a draw by those of that draw. What has no weights does not know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tvtfast.models.candidate import CandidateModel
from tvtfast.models.features import UnsupportedModelError

PIXELS = {"cpu": 1 << 17, "cuda": 1 << 23}
"""Pixels of the images, all draws counted, that go through a network at a time on a type of device.

On a CPU more are slower (``bench/results/asvit-cpu.md``); elsewhere it is memory that they take.
"""
_LAYERS = (nn.Linear, nn.Conv2d, nn.LayerNorm)


def passes_of_draws(
    modules: Sequence[nn.Module], images: int, img_size: tuple[int, int]
) -> list[slice]:
    """Which of some modules `run_together`, in order: consecutive ones, as many as `PIXELS` allows,
    if they are candidates of tvtfast that differ in nothing but their weights, and these are of
    linear layers, convolutions and layer norms; else each by itself.

    Args:
        modules: One or more.
        images: Images that each is shown.
        img_size: Their height and width.
    """
    together = 1
    if len(modules) > 1 and _alike(modules):
        device = next(modules[0].parameters()).device.type
        limit = PIXELS.get(device, PIXELS["cuda"])
        together = max(1, limit // max(1, images * img_size[0] * img_size[1]))
    return [slice(begin, begin + together) for begin in range(0, len(modules), together)]


@contextmanager
def run_together(modules: Sequence[nn.Module]) -> Iterator[nn.Module]:
    """Have the first of some modules compute with the weights of all.

    Inside, it takes images draw by draw, ``[R*B, C, H, W]``, and whatever it computes for them, it
    computes with the weights of their draw. Gradients reach its activations, and no weight. A
    single module is left as it is.

    Args:
        modules: ``R`` modules of one of the `passes_of_draws`.

    Raises:
        UnsupportedModelError: A weight is used in another way than its layer does.
    """
    if len(modules) == 1:
        yield modules[0]
        return
    with _WeightsOfDraws(modules):
        yield modules[0]


class _WeightsOfDraws(TorchFunctionMode):
    """Functions that are called with weights of the first module take those of all."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self._draws = len(modules)
        own = list(modules[0].parameters())
        stack = torch.cat([p.detach().flatten() for m in modules for p in m.parameters()])
        parts = stack.view(len(modules), -1).split([p.numel() for p in own], dim=1)
        self._stacks = {
            id(p): part.view(-1, *p.shape).requires_grad_(p.requires_grad)
            for p, part in zip(own, parts, strict=True)
        }
        """``[R, *]`` by the identity of the first module's."""
        self._rules: dict[Callable[..., Any], Callable[..., Any]] = {
            F.linear: self._linear,
            F.conv2d: self._conv2d,
            F.layer_norm: self._layer_norm,
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not any(id(x) in self._stacks for x in _flat((*args, *kwargs.values()))):
            return func(*args, **kwargs)
        if func not in self._rules:
            raise UnsupportedModelError(
                f"weights of several draws are known in linear, conv2d and layer_norm, and the "
                f"model uses one in {func.__name__}; pass its modules one at a time"
            )
        return self._rules[func](*args, **kwargs)

    def _linear(self, x: Any, weight: Tensor, bias: Tensor | None = None) -> Any:
        weights = self._stacks[id(weight)].mT
        rows = x.reshape(self._draws, -1, x.shape[-1])
        if bias is None:
            found = torch.bmm(rows, weights)
        else:
            found = torch.baddbmm(self._stacks[id(bias)][:, None], rows, weights)
        return found.reshape(*x.shape[:-1], weights.shape[-1])

    def _conv2d(
        self, x: Any, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """One by one: a convolution in groups would copy images before and after."""
        weights = self._stacks[id(weight)]
        biases = [None] * self._draws if bias is None else self._stacks[id(bias)]
        by_draw = zip(x.unflatten(0, (self._draws, -1)).unbind(0), weights, biases, strict=True)
        return torch.cat([F.conv2d(images, w, b, *args, **kwargs) for images, w, b in by_draw])

    def _layer_norm(
        self,
        x: Any,
        shape: Sequence[int],
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Any:
        normed = F.layer_norm(x, shape, eps=eps).unflatten(0, (self._draws, -1))
        ones = (1,) * (x.ndim - len(shape))
        if weight is not None:
            normed = normed * self._stacks[id(weight)].view(self._draws, *ones, *shape)
        if bias is not None:
            normed = normed + self._stacks[id(bias)].view(self._draws, *ones, *shape)
        return normed.flatten(0, 1)


def _flat(arguments: Iterable[Any]) -> Iterator[Any]:
    for argument in arguments:
        if isinstance(argument, (list, tuple)):
            yield from argument
        else:
            yield argument


def _alike(modules: Sequence[nn.Module]) -> bool:
    first = modules[0]
    if not isinstance(first, CandidateModel) or not all(map(_is_known, first.modules())):
        return False
    one_dtype = len({p.dtype for p in first.parameters()}) == 1  # so that they lie in one tensor
    settings = _settings(first)
    return one_dtype and all(_settings(module) == settings for module in modules[1:])


def _is_known(part: nn.Module) -> bool:
    """Whether its tensors, if it has any of its own, are weights that functions here know."""
    loose = part._buffers or any(isinstance(value, Tensor) for value in vars(part).values())
    return not loose and (isinstance(part, _LAYERS) or not part._parameters)


def _settings(module: nn.Module) -> list[Any]:
    """Everything that two modules have to have in common, their weights apart."""
    parts = [
        (name, type(part), {k: v for k, v in vars(part).items() if not k.startswith("_")})
        for name, part in module.named_modules()
    ]
    weights = [
        (name, p.shape, p.dtype, p.device, p.requires_grad) for name, p in module.named_parameters()
    ]
    return [parts, weights]
