"""Gradients of the cross entropy of a batch: one backward pass that many proxies read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast.models import UnsupportedModelError
from tvtfast.proxies.network import logits_of

Layer = nn.Conv2d | nn.Linear
NEEDS = frozenset({"weights", "images", "labels", "gradients"})
"""What a proxy of these gradients declares."""


@dataclass(frozen=True)
class LayerGradient:
    """What a backward pass leaves at one convolution or linear layer.

    Args:
        name: Of the layer.
        weight: Its weight, without history.
        gradient: Of the loss, in the shape of the weight.
        fisher: Fisher information of its output channels, summed: fp64 scalar, see
            `tvtfast.proxies.fisher`; ``None`` where its output was not seen.
    """

    name: str
    weight: Tensor
    gradient: Tensor
    fisher: Tensor | None

    @cached_property
    def products(self) -> tuple[Tensor, Tensor]:
        """Sum of the products of weights and gradients, and of their absolute values: fp64."""
        products = self.weight * self.gradient
        return (
            products.sum(dtype=torch.float64),
            torch.linalg.vector_norm(products, 1, dtype=torch.float64),
        )


@dataclass(frozen=True)
class LossGradients:
    """Gradients of the mean cross entropy of a batch.

    Args:
        loss: Scalar, without history.
        layers: Convolutions and linear layers whose weight receives a gradient, in the order of the
            module: patch embedding, projections of attention and MLP, classifiers. Biases, norms,
            tokens and tables of positions are left out, as in the published code of all proxies.
    """

    loss: Tensor
    layers: tuple[LayerGradient, ...]


def loss_gradients(module: nn.Module, images: Tensor, labels: Tensor) -> LossGradients:
    """One forward and one backward pass of the mean cross entropy.

    Args:
        module: Maps images to logits ``[B, num_classes]``; runs in the mode it is in, with frozen
            weights too, and is left as it was.
        images: ``[B, C, H, W]``, in the dtype of the weights or under autocast.
        labels: int64 ``[B]``.

    Raises:
        UnsupportedModelError: The module has no convolution or linear layer that receives a
            gradient, keeps projections elsewhere (``nn.MultiheadAttention``), or returns no logits.
        ValueError: A label is no class of the logits.
    """
    layers = weighted_layers(module)
    weights = {f"{name}.weight": leaf(layer.weight) for name, layer in layers.items()}
    fishers: dict[str, Tensor | None] = {}
    with torch.enable_grad(), _observed(layers, len(images), fishers):
        loss = cross_entropy(module, weights, images, labels)
        gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    found = tuple(
        LayerGradient(name, layer.weight.detach(), gradient, fishers.get(name))
        for (name, layer), gradient in zip(layers.items(), gradients, strict=True)
        if gradient is not None
    )
    if not found:
        raise no_gradient(module)
    return LossGradients(loss.detach(), found)


def weighted_layers(module: nn.Module) -> dict[str, Layer]:
    """Convolutions and linear layers by name.

    Raises:
        UnsupportedModelError: There is none, or projections lie elsewhere.
    """
    for name, part in module.named_modules():
        if isinstance(part, nn.MultiheadAttention):
            raise UnsupportedModelError(
                f"{name} is an nn.MultiheadAttention, whose projections are no linear layers; "
                "proxies of gradients are sums over convolutions and linear layers"
            )
    layers = {
        name: part
        for name, part in module.named_modules()
        if isinstance(part, (nn.Conv2d, nn.Linear))
    }
    foreign = [name for name, layer in layers.items() if not isinstance(layer.weight, nn.Parameter)]
    if foreign:
        raise UnsupportedModelError(
            f"the weight of {foreign[0]} is computed from others (a parametrization); "
            "remove it first"
        )
    if not layers:
        raise UnsupportedModelError(
            f"{type(module).__name__} has no convolution and no linear layer, which proxies of "
            "gradients are sums over"
        )
    return layers


def no_gradient(module: nn.Module) -> UnsupportedModelError:
    """What is raised where nothing reaches a weight."""
    return UnsupportedModelError(
        f"no convolution or linear layer of {type(module).__name__} receives a gradient"
    )


def leaf(weight: Tensor) -> Tensor:
    """The weight as one whose gradient is asked for; the flags of the module stay."""
    return weight.detach().requires_grad_()


def cross_entropy(
    module: nn.Module, weights: Mapping[str, Tensor], images: Tensor, labels: Tensor
) -> Tensor:
    """Mean cross entropy with weights in place of the module's.

    Raises:
        UnsupportedModelError: The module returns no logits.
        ValueError: A label is no class of the logits.
    """
    logits = logits_of(module, torch.func.functional_call(module, dict(weights), (images,)))
    if logits.ndim != 2 or len(logits) != len(images):
        raise UnsupportedModelError(
            f"{type(module).__name__} returns {list(logits.shape)} for {len(images)} images; the "
            "cross entropy needs logits [B, num_classes]"
        )
    if int(labels.max()) >= logits.shape[1]:
        raise ValueError(
            f"label {int(labels.max())} is no class of {type(module).__name__}, which has "
            f"{logits.shape[1]}; give num_classes of the labels"
        )
    return F.cross_entropy(logits, labels.to(logits.device))


@contextlib.contextmanager
def _observed(
    layers: Mapping[str, Layer], images: int, fishers: dict[str, Tensor | None]
) -> Iterator[None]:
    """Note the Fisher information of every layer whose forward runs."""
    handles = [
        layer.register_forward_hook(partial(_watch, name, images, fishers))
        for name, layer in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _watch(
    name: str,
    images: int,
    fishers: dict[str, Tensor | None],
    layer: nn.Module,
    inputs: tuple[Tensor, ...],
    output: Tensor,
) -> None:
    """Hook: a layer has run."""
    if not output.requires_grad:
        return
    channels = 1 if isinstance(layer, nn.Conv2d) else -1
    output.register_hook(
        partial(_note, name, images, fishers, channels, output.detach(), output._version)
    )


def _note(
    name: str,
    images: int,
    fishers: dict[str, Tensor | None],
    channels: int,
    output: Tensor,
    version: int,
    gradient: Tensor,
) -> None:
    """Hook: the gradient of a layer's output is there."""
    known = fishers.get(name, gradient.new_zeros((), dtype=torch.float64))
    if known is None or output._version != version or output.numel() % images:
        fishers[name] = None  # overwritten since, or images are not apart
        return
    fishers[name] = known + channel_fisher(output, gradient, channels, images)


def channel_fisher(output: Tensor, gradient: Tensor, channels: int, images: int) -> Tensor:
    """Half the mean over images of the squared products of channels, summed: fp64 scalar.

    Args:
        output: Of a layer, images first.
        gradient: Of the loss.
        channels: Dimension of the channels.
        images: Number of images.
    """
    product = (output * gradient).movedim(channels, -1)
    by_image = product.reshape(images, -1, product.shape[-1]).sum(dim=1)
    return by_image.double().square().sum() / (2 * images)


PerLayer = Callable[[LayerGradient], Tensor]


def sum_over_layers(gradients: LossGradients, score: PerLayer) -> Tensor:
    """Sum of fp64 scalars of the layers, without history."""
    return torch.stack([score(layer).double() for layer in gradients.layers]).sum()
