"""Fisher information of the channels."""

from __future__ import annotations

from torch import Tensor

from tvtfast.models import UnsupportedModelError
from tvtfast.proxies.base import Proxy, ProxyInputs, register
from tvtfast.proxies.loss_gradients import NEEDS, LayerGradient, LossGradients, sum_over_layers


def fisher(gradients: LossGradients) -> Tensor:
    r"""Sum over channels of half the mean squared product of activations and their gradients.

    .. math::
        S = \sum_l \sum_c \frac{1}{2B} \sum_b
            \Big( \sum_p a_{lbpc} \, \frac{\partial L}{\partial a_{lbpc}} \Big)^2

    for outputs ``a`` of convolutions and linear layers at positions ``p``. In a transformer the
    channels of a linear layer are its last dimension and positions are tokens; the published code,
    made for maps ``[B, C, H, W]``, would take tokens for channels.

    Args:
        gradients: Of `tvtfast.proxies.loss_gradients`.

    Returns:
        Scalar, fp64; higher is better. Deterministic. Served are all spaces, and modules that
        `loss_gradients` serves and whose layers run by their own forward.

    Raises:
        UnsupportedModelError: The output of a layer was not seen, or was overwritten.

    Source: Turner et al., "BlockSwap", ICLR 2020; as a score Abdelfattah et al., ICLR 2021.
    """
    return sum_over_layers(gradients, _of_layer)


def _of_layer(layer: LayerGradient) -> Tensor:
    if layer.fisher is None:
        raise UnsupportedModelError(
            f"the output of {layer.name} was not seen, or was overwritten, or mixes images, so its "
            "channels have no Fisher information; let the layer run by its own forward, not in "
            "place"
        )
    return layer.fisher


def _compute(inputs: ProxyInputs) -> float:
    return fisher(inputs.gradients).item()


register(
    Proxy(
        "fisher",
        _compute,
        needs=NEEDS,
        description="Fisher information of all channels (BlockSwap, ICLR 2020)",
    )
)
