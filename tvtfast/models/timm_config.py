"""timm's description of a candidate on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tvtfast.common.normalization import Normalization

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
    heads = ["head", "head_dist"] if options["distilled"] else "head"
    pretrained_cfg = {
        "input_size": [options["in_chans"], *options["img_size"]],
        "fixed_input_size": True,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "squash",
        "num_classes": options["num_classes"],
        "first_conv": "patch_embed.proj",
        "classifier": heads,
        **{name: list(values) for name, values in asdict(normalization).items()},
    }
    if classes is not None:
        pretrained_cfg["label_names"] = list(classes)
    return {
        "architecture": NAME,
        "num_classes": options["num_classes"],
        "model_args": {"space": space, "arch": arch, **options},
        "pretrained_cfg": pretrained_cfg,
    }
