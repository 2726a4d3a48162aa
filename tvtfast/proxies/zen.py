"""Expected Gaussian complexity of a network with layer norms."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tvtfast import kernels
from tvtfast.models import FeatureFn, UnsupportedModelError, last_features, temporary_mode
from tvtfast.proxies.base import Proxy, ProxyInputs, UndefinedScoreError, register
from tvtfast.proxies.network import at_least_single, input_shape, like_weights

INPUTS = 16
STEP = 0.01


def zen(
    module: nn.Module,
    *,
    img_size: int | tuple[int, int],
    seed: int = 0,
    feature_fn: FeatureFn | None = None,
) -> Tensor:
    r"""How far a small random step moves the features, with the scale that norms take away.

    .. math:: \log \mathrm{E}_{x, \epsilon} \lVert f(x) - f(x + \alpha \epsilon) \rVert_F
        + \sum_l \log \sqrt{\bar v_l}, \qquad \alpha = 0.01

    with 16 normal images ``x`` and steps :math:`\epsilon`, the features ``f`` of the last block
    (before the final norm, tokens before the patches left out) and standard normal weights of
    linear layers and convolutions, whose biases are 0. ZenNAS has batch norms, and
    :math:`\bar v_l` is the mean over channels of their variances. What replaces it here: for every
    layer norm that is called before the features, the mean over images and tokens of the variance
    over channels of its input, for the images ``x``. Residual connections stay; ZenNAS leaves
    them out.

    Args:
        module: A network with layer norms and without batch norms; evaluated in evaluation mode.
            Nothing of it is written to.
        img_size: Height and width of its images.
        seed: Of images, steps and weights, which are keyed by index: candidates share every number
            at every index that both have.
        feature_fn: How to read features, see `tvtfast.models.last_features`.

    Returns:
        Scalar, fp64, without history; higher is better. A function of its arguments; of the
        module's own parameters only positions, tokens and norms matter.

    Raises:
        UnsupportedModelError: A batch norm was called, no layer norm was, or there are no features.
        UndefinedScoreError: The features do not move, or are NaN or infinite.

    Source: Lin et al., "Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition", ICCV
    2021.
    """
    size = (img_size, img_size) if isinstance(img_size, int) else img_size
    shape = (INPUTS, *input_shape(module, size))
    x, step = (like_weights(module, _normal(shape, seed, name)) for name in ("images", "steps"))
    reader = _Reader(module, feature_fn)
    state = _normal_weights(reader, seed)
    norms = _Norms()
    with temporary_mode(reader, training=False), torch.no_grad():
        with norms:
            before = torch.func.functional_call(reader, state, (x,))
        after = torch.func.functional_call(reader, state, (x + STEP * step,))
    if not norms.variances:
        raise UnsupportedModelError(
            f"{type(module).__name__} called no layer norm; zen replaces ZenNAS' batch norms by "
            "layer norms and knows no other scale"
        )
    moved = (before.double() - after.double()).flatten(1).norm(dim=1).mean()
    score = moved.log() + torch.stack(norms.variances).log().sum().to(moved.device) / 2
    if not score.isfinite():
        raise UndefinedScoreError("features do not move with a small step, or are NaN or infinite")
    return score


class _Reader(nn.Module):
    """Patch features ``[B, C, N]`` of the last block."""

    def __init__(self, module: nn.Module, feature_fn: FeatureFn | None) -> None:
        super().__init__()
        self.module, self.feature_fn = module, feature_fn

    def forward(self, images: Tensor) -> Tensor:
        features = last_features(self.module, images, feature_fn=self.feature_fn)
        return at_least_single(features.channels())


class _Norms(TorchFunctionMode):
    """Sees the variances of what is normed."""

    def __init__(self) -> None:
        super().__init__()
        self.variances: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.batch_norm:
            raise UnsupportedModelError(
                "zen is of networks with layer norms, and this one calls a batch norm, whose "
                "statistics are those of other weights"
            )
        if func is F.layer_norm:
            x, normalized = args[0], args[1] if len(args) > 1 else kwargs["normalized_shape"]
            axes = tuple(range(-len(normalized), 0))
            self.variances.append(x.double().var(dim=axes, correction=0).mean())
        return func(*args, **kwargs)


def _normal(shape: tuple[int, ...], seed: int, name: str) -> Tensor:
    drawn = torch.empty(shape)
    kernels.indexed_normal_(drawn, seed=seed, name=f"zen.{name}")
    return drawn


def _normal_weights(reader: _Reader, seed: int) -> dict[str, Tensor]:
    """Weights of linear layers and convolutions, standard normal, and their biases, 0."""
    state: dict[str, Tensor] = {}
    for path, layer in reader.named_modules():
        if not isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            continue
        name = path.removeprefix("module.")
        drawn = _normal(tuple(layer.weight.shape), seed, f"{name}.weight")
        state[f"{path}.weight"] = drawn.to(layer.weight)
        if layer.bias is not None:
            state[f"{path}.bias"] = torch.zeros_like(layer.bias)
    return state


def _compute(inputs: ProxyInputs) -> float:
    return zen(
        inputs.module, img_size=inputs.img_size, seed=inputs.seed, feature_fn=inputs.feature_fn
    ).item()


register(
    Proxy(
        "zen",
        _compute,
        needs=frozenset({"weights"}),
        description="Gaussian complexity, layer norms in the place of batch norms (Zen-NAS, "
        "ICCV 2021)",
    )
)
