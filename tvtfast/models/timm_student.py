"""Candidates under a name that ``timm.create_model`` knows.

Importing this module registers ``tvtfast_student``. Once `tvtfast.models` and timm are both
imported, in whatever order, this module is. ``import tvtfast`` alone loads neither torch nor timm
and registers nothing.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.models.builder import build
from tvtfast.models.timm_config import NAME

ensure_torchvision()

from timm.models import build_model_with_cfg, register_model  # noqa: E402


def tvtfast_student(pretrained: bool = False, **options: Any) -> nn.Module:
    """A candidate, as timm builds it.

    ``timm.create_model("local-dir:runs/student", pretrained=True)`` reads a student folder;
    ``timm.create_model("tvtfast_student", space=..., arch=..., num_classes=..., img_size=...)``
    builds any candidate, ``checkpoint_path=`` loads its weights. ``features_only=True`` gives the
    backbone of a detector: the maps of the four stages of a candidate of ``asvit`` (at strides 4 to
    32) or of ``vitas-twins``, whose channels and strides ``model.feature_info`` states;
    ``out_indices`` chooses among them.

    Args:
        pretrained: Load the weights of the folder.
        **options: ``space``, ``arch`` and model options, as for `tvtfast.build`.

    Raises:
        ValueError: ``features_only`` of a model without stages.
    """
    stages = {"out_indices": (0, 1, 2, 3), "feature_cls": "getter"}
    make = _build_stages if options.get("features_only") else build
    model: nn.Module = build_model_with_cfg(make, NAME, pretrained, feature_cfg=stages, **options)
    return model


def _build_stages(*arguments: Any, **options: Any) -> nn.Module:
    model = build(*arguments, **options)
    if not hasattr(model, "feature_info"):
        raise ValueError(
            f"{type(model).__name__} has no stages of different strides; features_only serves "
            "candidates of the spaces 'asvit' and 'vitas-twins'. Read blocks of others with "
            "forward_intermediates"
        )
    return model


register_model(tvtfast_student)
