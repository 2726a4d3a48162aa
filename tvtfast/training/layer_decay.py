"""Parameters by layer, with learning rates that fall towards the input."""

from __future__ import annotations

from typing import Any

from torch import nn

from tvtfast.common.torchvision import ensure_torchvision

NO_DECAY = ("*cls_token", "*dist_token", "*pos_embed")
"""Patterns of parameters that are not decayed, beside biases and norms."""


def layer_groups(
    objective: Any, layer_decay: float, weight_decay: float, *, decay_all: bool
) -> list[dict[str, Any]]:
    """timm's groups of the network of an objective, and one of what its loss trains.

    Layers are those of the network's ``group_matcher``, as every network of timm and every
    candidate of tvtfast has one.

    Args:
        objective: A module with ``model`` and ``criterion``.
        layer_decay: Factor from a layer to the one before it.
        weight_decay: As in `tvtfast.training.recipe.Recipe`.
        decay_all: As there.

    Raises:
        ValueError: The network does not say what its layers are.
    """
    ensure_torchvision()
    from timm.optim import param_groups_layer_decay

    model: nn.Module = objective.model
    if not hasattr(model, "group_matcher"):
        raise ValueError(
            f"layer_decay={layer_decay}: {type(model).__name__} does not say what its layers are "
            "(timm's group_matcher); leave layer_decay out"
        )
    groups = param_groups_layer_decay(
        model,
        weight_decay,
        no_weight_decay_list=() if decay_all else NO_DECAY,
        weight_decay_exclude_1d=not decay_all,
        layer_decay=layer_decay,
    )
    loss = [p for p in objective.criterion.parameters() if p.requires_grad]
    return [*groups, {"params": loss, "weight_decay": weight_decay}] if loss else list(groups)
