"""Candidates under a name that ``timm.create_model`` knows.

Importing this module registers ``tvtfast_student``. Once `tvtfast.models` and timm are both
imported, in whatever order, this module is. ``import tvtfast`` alone loads neither torch nor timm
and registers nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.models.builder import build
from tvtfast.models.registry import model_of
from tvtfast.models.timm_config import NAME
from tvtfast.spaces import get as get_space
from tvtfast.spaces import reference

ensure_torchvision()

from timm.models import build_model_with_cfg, register_model  # noqa: E402


def tvtfast_student(pretrained: bool = False, **options: Any) -> nn.Module:
    """A candidate, as timm builds it.

    ``timm.create_model("local-dir:runs/student", pretrained=True)`` reads a student folder;
    ``timm.create_model("tvtfast_student", space=..., arch=..., num_classes=..., img_size=...)``
    builds any candidate, ``checkpoint_path=`` loads its weights. ``features_only=True`` gives the
    backbone of a detector: the maps of the four stages of a candidate of ``asvit`` or
    ``vitas-twins`` (at strides 4 to 32, for images of any size), of the three stages of ``pit``, or
    the one map of the last block of other ViTs, both for images of ``img_size``.
    ``model.feature_info`` states channels and strides; ``out_indices`` chooses other stages or
    blocks.

    Args:
        pretrained: Load the weights of the folder.
        **options: ``space``, ``arch`` and model options, as for `tvtfast.build`.

    Raises:
        ValueError: ``features_only`` of a model that does not describe its features.
    """
    stages = {"out_indices": _num_maps(options), "feature_cls": "getter"}
    make = _build_stages if options.get("features_only") else build
    model: nn.Module = build_model_with_cfg(make, NAME, pretrained, feature_cfg=stages, **options)
    return model


def _build_stages(*arguments: Any, **options: Any) -> nn.Module:
    model = build(*arguments, **options)
    if not hasattr(model, "feature_info"):
        raise ValueError(
            f"{type(model).__name__} does not describe its features (feature_info); read its "
            "blocks with forward_intermediates"
        )
    return model


def _num_maps(options: Mapping[str, Any]) -> int:
    """How many maps a model gives by default: the last ones that it has."""
    space = options.get("space") or reference(options["arch"]).space
    return getattr(model_of(get_space(space).arch_type), "num_maps", 1)


register_model(tvtfast_student)
