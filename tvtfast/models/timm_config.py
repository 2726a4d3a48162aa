"""timm's description of a candidate on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tvtfast.common.normalization import Normalization
from tvtfast.common.torchvision import ensure_torchvision

NAME = "tvtfast_student"
"""What `timm.create_model` knows candidates by."""


def timm_config(
    space: str,
    arch: Mapping[str, Any] | None,
    model_options: Mapping[str, Any],
    normalization: Normalization,
    classes: Sequence[str] | None,
) -> dict[str, Any]:
    """timm's ``config.json`` for a folder with the weights of a candidate."""
    options = dict(model_options)
    layers = {
        "first_conv": "patch_embed.proj",
        "classifier": ["head", "head_dist"] if options["distilled"] else "head",
    }
    return {
        "architecture": NAME,
        "num_classes": options["num_classes"],
        "model_args": {"space": space, "arch": arch, **options},
        "pretrained_cfg": _pretrained(options, normalization, classes) | layers,
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
        "pretrained_cfg": _pretrained(options, normalization, classes) | layers,
    }


def _pretrained(
    options: Mapping[str, Any], normalization: Normalization, classes: Sequence[str] | None
) -> dict[str, Any]:
    """What timm knows of weights: how images become their input, and what their classes are."""
    described = {
        "input_size": [options["in_chans"], *options["img_size"]],
        "fixed_input_size": True,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "squash",
        "num_classes": options["num_classes"],
        **{name: list(values) for name, values in asdict(normalization).items()},
    }
    return described if classes is None else described | {"label_names": list(classes)}
