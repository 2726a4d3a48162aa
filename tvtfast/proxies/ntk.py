"""Condition number of the neural tangent kernel: how unevenly an untrained network would learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from tvtfast import kernels
from tvtfast.common import checks
from tvtfast.models import (
    CandidateModel,
    FeatureFn,
    UnsupportedModelError,
    passes_of_draws,
    pooled_features,
    run_together,
    temporary_mode,
)
from tvtfast.proxies.base import UndefinedScoreError
from tvtfast.proxies.kernel_proxy import kernel_proxy
from tvtfast.proxies.options import with_options

METHODS = ("layers", "samples", "published")
_SAMPLES = (
    "use method='samples'; as proxies these are ntk_condition:method=samples and "
    "ntk_trace:method=samples"
)
check_method = partial(checks.choice, "method", allowed=METHODS)
"""Check of an option."""


@with_options(
    partial(
        kernel_proxy,
        higher_is_better=False,
        description="condition number of the neural tangent kernel (As-ViT, arXiv 2202.11921)",
    ),
    method=check_method,
)
def ntk_condition(
    module: nn.Module | Sequence[nn.Module],
    images: Tensor,
    *,
    method: str | None = None,
    feature_fn: FeatureFn | None = None,
) -> Tensor:
    r"""Largest over smallest eigenvalue of the neural tangent kernel of a batch.

    .. math:: \kappa = \lambda_{max}(K) / \lambda_{min}(K)

    for the kernel of `ntk_gram`, solved in fp64. Arguments are those of `ntk_gram`. Without a
    module it is the proxy with that ``method``: ``ntk_condition(method="samples")``.

    Returns:
        Scalar, fp64, without history; at least 1, lower is better. For a sequence of modules
        ``[R]``, NaN where a single one would raise `UndefinedScoreError`.

    Raises:
        UndefinedScoreError: The kernel holds NaN or infinite values, or is singular: its smallest
            eigenvalue is not above ``B 2^-52`` of the largest. The released code scores -1 where it
            meets a NaN.
        ValueError, UnsupportedModelError: As `ntk_gram` does.

    Source: As-ViT (arXiv 2202.11921); Chen et al., TE-NAS, ICLR 2021.
    """
    products = ntk_gram(module, images, method=method, feature_fn=feature_fn)
    finite = products.isfinite().flatten(-2).all(dim=-1)
    eigenvalues = torch.linalg.eigvalsh(products.where(finite[..., None, None], 0.0))
    smallest, largest = eigenvalues[..., 0], eigenvalues[..., -1]
    regular = smallest > len(images) * torch.finfo(torch.float64).eps * largest
    if not isinstance(module, nn.Module):
        return (largest / smallest).where(finite & regular, math.nan)
    if not finite:
        raise UndefinedScoreError(
            "the neural tangent kernel holds NaN or infinite values; gradients over- or underflow"
        )
    if not regular:
        raise UndefinedScoreError(
            f"the neural tangent kernel is singular: eigenvalues from {smallest.item():.3g} to "
            f"{largest.item():.3g}; are there equal images in the batch, or more images than "
            "weights?"
        )
    return largest / smallest


def ntk_gram(
    module: nn.Module | Sequence[nn.Module],
    images: Tensor,
    *,
    method: str | None = None,
    feature_fn: FeatureFn | None = None,
) -> Tensor:
    r"""Neural tangent kernel of a batch: inner products of the gradients of its images.

    .. math:: K_{ij} = \sum_l \langle \nabla_{W_l} s(x_i), \nabla_{W_l} s(x_j) \rangle

    where ``s`` is the sum of the pooled feature and ``W_l`` are all parameters named ``weight``
    that require and receive gradients: those of linear layers, convolutions and norms. Final norm
    and heads come after the feature and receive none.

    Args:
        module: Any module; evaluated in evaluation mode, and left as it was. Or a sequence of ``R``
            modules: with ``layers``, weight draws of one architecture are computed together, see
            `tvtfast.models.passes_of_draws`.
        images: ``[B, C, H, W]``, converted to the dtype of the weights and moved to their device.
        method: ``layers``: one backward pass, and per layer `tvtfast.kernels.sample_gram` of its
            inputs and the gradients of its outputs; the default for candidates of tvtfast, whose
            layers are known to keep images apart. ``samples``: gradients of every image by
            ``torch.func.vmap``; the default for other modules. ``published``: one backward pass
            over the whole batch for every image.
        feature_fn: How to read features, see `tvtfast.models.pooled_features`.

    Returns:
        ``[B, B]``, fp64, or ``[R, B, B]`` for a sequence, without history: gradients have the dtype
        of the weights, products are summed in fp64.

    Raises:
        ValueError: An unknown method, or no module.
        UnsupportedModelError: No weight receives a gradient; or ``layers`` was asked for, and a
            weight belongs to a layer of an unknown kind, or is used beside its layer.
    """
    modules = [module] if isinstance(module, nn.Module) else list(module)
    if not modules:
        raise ValueError("there is no module; give one or more")
    if method is None:
        known = feature_fn is None and all(isinstance(m, CandidateModel) for m in modules)
        method = "layers" if known else "samples"
    check_method(method)
    if method == "layers" and feature_fn is None:
        height, width = images.shape[-2:]
        parts = [modules[part] for part in passes_of_draws(modules, len(images), (height, width))]
    else:
        parts = [[module] for module in modules]
    products = torch.cat([_draws_gram(part, images, method, feature_fn) for part in parts])
    return products[0] if isinstance(module, nn.Module) else products


def _draws_gram(
    modules: Sequence[nn.Module], images: Tensor, method: str, feature_fn: FeatureFn | None
) -> Tensor:
    """The kernels of modules that run together, ``[R, B, B]``."""
    weight = next((p for p in modules[0].parameters() if p.is_floating_point()), images)
    images = images.to(weight.device, weight.dtype)
    feature = _Feature(modules, feature_fn)
    with temporary_mode(feature.module, training=False), torch.enable_grad():
        parts = list(_GRAMS[method](feature, images)) if feature.weights() else []
    if not parts:
        raise UnsupportedModelError(
            f"no weight of {type(modules[0]).__name__} receives a gradient; check requires_grad"
        )
    # Gradients of images that torch.func has formed keep a graph, to the biases alone.
    return torch.stack(parts).sum(dim=0).view(-1, len(images), len(images)).detach()


class _Feature(nn.Module):
    """The sum of the pooled feature of every image with the weights of every draw, ``[R*B]``."""

    def __init__(self, modules: Sequence[nn.Module], feature_fn: FeatureFn | None) -> None:
        super().__init__()
        self.module, self.feature_fn = modules[0], feature_fn
        self.draws = tuple(modules)
        self.watch: AbstractContextManager[Any] = nullcontext()

    def forward(self, images: Tensor) -> Tensor:
        shown = images if len(self.draws) == 1 else images.repeat(len(self.draws), 1, 1, 1)
        with run_together(self.draws) as network, self.watch:
            return pooled_features(network, shown, feature_fn=self.feature_fn).sum(dim=1)

    def weights(self) -> dict[str, Tensor]:
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if "weight" in name.rpartition(".")[2] and parameter.requires_grad
        }


def _published_grams(feature: _Feature, images: Tensor) -> Iterator[Tensor]:
    """One backward pass per image, each through the graph of the whole batch."""
    weights = list(feature.weights().values())
    scores = feature(images)
    rows = []
    for score in scores:
        gradients = torch.autograd.grad(score, weights, retain_graph=True, allow_unused=True)
        rows.append([g.flatten() for g in gradients if g is not None])
    if rows[0]:
        yield kernels.gram(torch.stack([torch.cat(row) for row in rows]).double())


def _sample_grams(feature: _Feature, images: Tensor) -> Iterator[Tensor]:
    """Gradients of every image, formed at once."""
    weights = {name: weight.detach() for name, weight in feature.weights().items()}

    def score(weights: dict[str, Tensor], image: Tensor) -> Tensor:
        value: Tensor = torch.func.functional_call(feature, weights, (image[None],))[0]
        return value

    with sdpa_kernel(SDPBackend.MATH):  # the fused forms know no vmap
        gradients = torch.func.vmap(torch.func.grad(score), (None, 0))(weights, images)
    for gradient in gradients.values():
        if gradient.any() or gradient.isnan().any():
            yield kernels.gram(gradient.flatten(1).double())


def _layer_grams(feature: _Feature, images: Tensor) -> Iterator[Tensor]:
    """One backward pass; a weight's part comes from what its layer read and what reaches it."""
    calls: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}
    uses = _Uses(feature)

    def observe(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        uses.running = None
        if output is not inputs[0]:
            calls.setdefault(layer, []).append((inputs[0].detach(), output))

    with _hooked(feature, uses.begin, observe):
        feature.watch = uses
        score = feature(images).sum()
    outputs = [output for found in calls.values() for _, output in found]
    called = {weight for layer in calls for weight in layer.parameters(recurse=False)}
    others = {name: w for name, w in feature.weights().items() if w not in called}
    gradients = torch.autograd.grad(score, [*outputs, *others.values()], allow_unused=True)
    reached = zip(others, gradients[len(outputs) :], strict=True)
    uses.refuse(name for name, gradient in reached if gradient is not None)
    remaining = iter(gradients)
    for layer, found in calls.items():
        pairs = [(x, g) for (x, _), g in zip(found, remaining, strict=False) if g is not None]
        if pairs:
            yield _LAYERS[_kind(layer)](layer, (len(feature.draws), len(images)), pairs)


class _Uses(TorchFunctionMode):
    """Sees weights that are read while another layer than their own runs, or none.

    Attributes:
        running: The layer with weights that runs.
    """

    def __init__(self, feature: _Feature) -> None:
        super().__init__()
        self.running: nn.Module | None = None
        self._names = {id(weight): name for name, weight in feature.weights().items()}
        self._beside: dict[str, None] = {}

    def begin(self, layer: nn.Module, inputs: Any) -> None:
        """Hook: a layer begins."""
        self.running = layer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        own = () if self.running is None else map(id, self.running.parameters(recurse=False))
        read = {id(x) for x in tree_leaves((args, kwargs)) if isinstance(x, nn.Parameter)}
        beside = [self._names[key] for key in read.difference(own) if key in self._names]
        if beside and any(isinstance(x, Tensor) and x.requires_grad for x in tree_leaves(result)):
            self._beside |= dict.fromkeys(beside)
        return result

    def refuse(self, others: Iterable[str]) -> None:
        """Raise where weights were used beside their layers.

        Args:
            others: Weights that a gradient reached though their layers did not run.
        """
        found = [name.removeprefix("module.") for name in dict.fromkeys((*self._beside, *others))]
        if found:
            raise UnsupportedModelError(
                f"{', '.join(found)}: used beside the forward of the layer, whose inputs and "
                "outputs are all that is seen, so a part of the kernel would be left out; "
                f"{_SAMPLES}"
            )


@contextmanager
def _hooked(
    feature: _Feature, begin: Callable[..., None], observe: Callable[..., None]
) -> Iterator[None]:
    weights = set(feature.weights().values())
    handles = []
    try:
        for name, layer in feature.named_modules():
            own = weights.intersection(layer.parameters(recurse=False))
            if own and _kind(layer) is None:
                raise UnsupportedModelError(
                    f"{name.removeprefix('module.')} is a {type(layer).__name__}, and per-sample "
                    f"gradients are known of {', '.join(kind.__name__ for kind in _LAYERS)}; "
                    f"{_SAMPLES}"
                )
            if own:
                handles.append(layer.register_forward_pre_hook(begin))
                handles.append(layer.register_forward_hook(observe))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _kind(layer: nn.Module) -> Any:
    return next((kind for kind in _LAYERS if isinstance(layer, kind)), None)


Samples = tuple[int, int]
"""Draws and images: the first dimension of what a layer reads is their product."""
Calls = list[tuple[Tensor, Tensor]]


def _linear(layer: nn.Linear, samples: Samples, calls: Calls) -> Tensor:
    pairs = [
        (x.reshape(*samples, -1, x.shape[-1]), g.reshape(*samples, -1, g.shape[-1]))
        for x, g in calls
    ]
    inputs, gradients = (torch.cat(parts, dim=2).double() for parts in zip(*pairs, strict=True))
    return kernels.sample_gram(inputs, gradients)


def _conv(layer: nn.Conv2d, samples: Samples, calls: Calls) -> Tensor:
    """Groups are small linear layers side by side; their gradients are formed and put together."""
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise UnsupportedModelError(
            f"per-sample gradients are known of convolutions padded with zeros, and {layer} pads "
            f"otherwise; {_SAMPLES}"
        )
    inputs, gradients = [], []
    for x, g in calls:
        patches = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        inputs.append(patches.unflatten(1, (layer.groups, -1)).double())
        gradients.append(g.flatten(2).unflatten(1, (layer.groups, -1)).double())
    patches, gradient = (torch.cat(x, dim=-1).unflatten(0, samples) for x in (inputs, gradients))
    if layer.groups == 1:
        return kernels.sample_gram(patches[:, :, 0].mT, gradient[:, :, 0].mT)
    return kernels.gram((patches @ gradient.mT).flatten(2))


def _layer_norm(layer: nn.LayerNorm, samples: Samples, calls: Calls) -> Tensor:
    shape = layer.normalized_shape
    rows = [
        (F.layer_norm(x, shape, eps=layer.eps).double() * g)
        .reshape(*samples, -1, *shape)
        .sum(dim=2)
        for x, g in calls
    ]
    return kernels.gram(torch.stack(rows).sum(dim=0).flatten(2))


_GRAMS: dict[str, Callable[[_Feature, Tensor], Iterator[Tensor]]] = {
    "layers": _layer_grams,
    "samples": _sample_grams,
    "published": _published_grams,
}
_LAYERS: dict[type[nn.Module], Callable[[Any, Samples, Calls], Tensor]] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv,
    nn.LayerNorm: _layer_norm,
}
