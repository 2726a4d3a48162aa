"""timm's description of a candidate on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tvtfast.common.normalization import Normalization
from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.models.registry import model_of
from tvtfast.models.timm_interface import NAME, layers_of, pretrained_cfg
from tvtfast.spaces import get as get_space


def timm_config(
    space: str,
    arch: Mapping[str, Any] | None,
    model_options: Mapping[str, Any],
    normalization: Normalization,
    classes: Sequence[str] | None,
) -> dict[str, Any]:
    """timm's ``config.json`` for a folder with the weights of a candidate."""
    options = dict(model_options)
    model = model_of(get_space(space))
    layers = layers_of(model, distilled=options["distilled"])
    return {
        "architecture": NAME,
        "num_classes": options["num_classes"],
        "model_args": {"space": space, "arch": arch, **options},
        "pretrained_cfg": pretrained_cfg(options, normalization, classes, layers),
    }


def timm_network_config(
    name: str,
    arguments: Mapping[str, Any],
    model_options: Mapping[str, Any],
    normalization: Normalization,
    classes: Sequence[str] | None,
) -> dict[str, Any]:
    """timm's ``config.json`` for a folder with the weights of one of its own models; what it says
    of the layers of the model stays."""
    ensure_torchvision()
    import timm

    own: Any = timm.get_pretrained_cfg(name)
    layers = {"first_conv": own.first_conv, "classifier": own.classifier}
    options = {"in_chans": 3, **model_options}
    return {
        "architecture": name.partition(".")[0],
        "num_classes": options["num_classes"],
        "model_args": dict(arguments),
        "pretrained_cfg": pretrained_cfg(options, normalization, classes, layers),
    }
