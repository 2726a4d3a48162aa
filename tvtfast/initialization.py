"""Index-keyed initialisation: same seed, same name, same index, same weight.

Independent draws give two candidates of different width two unrelated networks, and their scores
differ by the luck of the draw. Here the standard variate behind every weight depends on
``(seed, parameter name, logical index)`` alone: not on the shape of the tensor, the device, the
number of threads or the order of calls. A narrow candidate is a slice of a wide one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor, nn

from tvtfast import kernels

M = TypeVar("M", bound=nn.Module)

_MAX_INDEX_DIMS = 4


@dataclass(frozen=True)
class Normal:
    """Normal distribution with mean 0."""

    std: float


@dataclass(frozen=True)
class Uniform:
    """Uniform distribution on ``[-bound, bound)``."""

    bound: float


@dataclass(frozen=True)
class Constant:
    """One value everywhere."""

    value: float


@dataclass(frozen=True)
class Keep:
    """Leave the present value."""


Distribution = Normal | Uniform | Constant | Keep


@dataclass(frozen=True)
class ParameterInit:
    """How one parameter is drawn.

    Args:
        distribution: The law of its entries.
        groups: The first dimension of size ``groups * n`` is indexed as ``(groups, n)``. A fused
            qkv weight has ``groups=3``, so that q, k and v line up across widths.
    """

    distribution: Distribution
    groups: int = 1


Draw = Callable[[Tensor, str, int, ParameterInit], None]
"""Draws a parameter in place, from its name, the seed and how."""


@runtime_checkable
class DeclaresInit(Protocol):
    """A module that states how the parameters of its subtree are drawn.

    ``parameter_init`` receives the parameter's name relative to that module and the submodule that
    owns it, and returns ``None`` for the framework's default.
    """

    def parameter_init(self, name: str, owner: nn.Module) -> ParameterInit | None: ...


def initialize_(module: M, seed: int = 0, *, draw: Draw | None = None) -> M:
    """Draw every parameter of ``module`` by its index, in place.

    The distribution of a parameter is what the closest enclosing module with a ``parameter_init``
    method declares (all models of tvtfast do), else the framework's default: ``U(-1/sqrt(fan_in),
    1/sqrt(fan_in))`` for linear and convolution weights and biases, Xavier uniform for the packed
    projection of ``nn.MultiheadAttention``, 1 and 0 for the affine parameters of norm layers,
    ``N(0, 1)`` for embeddings. Parameters held by no such layer (class tokens, position tables) are
    drawn from ``N(0, 0.02^2)`` when they have two dimensions or more, and otherwise keep their
    value (scales, gates, temperatures). Running statistics of norm layers are reset.

    Where the framework's bound depends on the fan-in, candidates of different fan-in share the
    underlying variate, each scaled by its own bound.

    Args:
        module: Any module, on any device, of any floating dtype.
        seed: Integer in ``[0, 2**64)``.
        draw: Draws a parameter in place of `draw_`, with the same values.

    Returns:
        ``module`` itself.

    Determinism: bit for bit equal on every run, shape and thread count, see
    `tvtfast.kernels.indexed_normal_`.
    """
    with torch.no_grad():
        _initialize_subtree(module, "", seed, draw or draw_, rule=None, rule_prefix="", done=set())
    return module


def _initialize_subtree(
    module: nn.Module,
    prefix: str,
    seed: int,
    draw: Draw,
    rule: DeclaresInit | None,
    rule_prefix: str,
    done: set[int],
) -> None:
    if hasattr(type(module), "parameter_init"):  # what isinstance asks, in a tenth of the time
        rule, rule_prefix = cast(DeclaresInit, module), prefix
    for short_name, parameter in module.named_parameters(recurse=False):
        if id(parameter) in done:
            continue
        done.add(id(parameter))
        name = prefix + short_name
        declared = rule.parameter_init(name[len(rule_prefix) :], module) if rule else None
        draw(parameter, name, seed, declared or framework_init(module, short_name, parameter))
    if callable(reset := getattr(module, "reset_running_stats", None)):
        reset()
    for child_name, child in module.named_children():
        _initialize_subtree(child, f"{prefix}{child_name}.", seed, draw, rule, rule_prefix, done)


def draw_(parameter: Tensor, name: str, seed: int, init: ParameterInit) -> None:
    """Draw one parameter by its index, in place, as `initialize_` does.

    Args:
        parameter: Any shape; the entries that two shapes share are equal.
        name: Its full name in the model.
        seed: Integer in ``[0, 2**64)``.
        init: How it is drawn.
    """
    match init.distribution:
        case Keep():
            return
        case Constant(value):
            parameter.fill_(value)
        case Normal(std):
            kernels.indexed_normal_(_indexed(parameter, init.groups), seed=seed, name=name, std=std)
        case Uniform(bound):
            kernels.indexed_uniform_(
                _indexed(parameter, init.groups), seed=seed, name=name, low=-bound, high=bound
            )


def _indexed(parameter: Tensor, groups: int) -> Tensor:
    view = parameter.detach()
    if groups > 1:
        view = view.unflatten(0, (groups, -1))
    if view.ndim > _MAX_INDEX_DIMS:
        view = view.flatten(_MAX_INDEX_DIMS - 1)
    return view


def framework_init(module: nn.Module, name: str, parameter: Tensor) -> ParameterInit:
    """How a parameter is drawn that no model declares, see `initialize_`."""
    if isinstance(module, nn.MultiheadAttention):
        return _multihead_init(module, name)
    if isinstance(module, nn.Embedding):
        return ParameterInit(Normal(1.0))
    if name in ("weight", "bias"):
        weight = module.weight
        if isinstance(weight, Tensor) and weight.ndim >= 2:
            fan_in = weight[0].numel()
            return ParameterInit(Uniform(1 / math.sqrt(fan_in) if fan_in else 0.0))
        return ParameterInit(Constant(1.0 if name == "weight" else 0.0))
    return ParameterInit(Normal(0.02) if parameter.ndim >= 2 else Keep())


def _multihead_init(module: nn.MultiheadAttention, name: str) -> ParameterInit:
    if name.endswith("bias"):
        return ParameterInit(Constant(0.0))
    if name in ("bias_k", "bias_v"):
        return ParameterInit(Normal(math.sqrt(1 / module.embed_dim)))
    groups = 3 if name == "in_proj_weight" else 1
    weight: Tensor = getattr(module, name)
    return ParameterInit(Uniform(math.sqrt(6 / sum(weight.shape))), groups)
