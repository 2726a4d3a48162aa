"""Candidates under a name that ``timm.create_model`` knows.

Importing this module registers ``tvtfast_student``. Once `tvtfast.models` and timm are both
imported, in whatever order, this module is. ``import tvtfast`` alone loads neither torch nor timm
and registers nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from torch import nn

from tvtfast.common.normalization import IMAGENET_NORMALIZATION
from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.models.builder import build, described
from tvtfast.models.candidate import CandidateModel
from tvtfast.models.registry import model_of
from tvtfast.models.timm_interface import NAME, layers_of
from tvtfast.models.timm_interface import pretrained_cfg as pretrained_cfg_of
from tvtfast.spaces import ModelOptions, Space
from tvtfast.spaces import get as get_space

ensure_torchvision()

from timm.models import build_model_with_cfg, register_model  # noqa: E402


def tvtfast_student(
    pretrained: bool = False, pretrained_cfg: Any = None, **options: Any
) -> nn.Module:
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
        pretrained_cfg: What timm found in the folder; else that of `tvtfast.build`.
        **options: ``space``, ``arch`` and model options, as for `tvtfast.build`, with its defaults.
            timm's ``global_pool`` is ``pool``, or ``""`` for all tokens.

    Raises:
        ValueError: ``features_only`` of a model that does not describe its features, or a
            ``drop_rate``: candidates have no dropout before the classifier.
    """
    dropout = options.pop("drop_rate", 0)
    if dropout:
        raise ValueError(
            f"drop_rate is {dropout}, and candidates have no dropout before the classifier; leave "
            "it out, or give drop_path_rate"
        )
    space, given = _described(options)
    model_class = model_of(space)
    if pretrained_cfg is None:
        layers = layers_of(model_class, distilled=given.distilled)
        pretrained_cfg = pretrained_cfg_of(asdict(given), IMAGENET_NORMALIZATION, None, layers)
    stages = {"out_indices": getattr(model_class, "num_maps", 1), "feature_cls": "getter"}
    make = _build_stages if options.get("features_only") else _build
    model: nn.Module = build_model_with_cfg(
        make, NAME, pretrained, pretrained_cfg=pretrained_cfg, feature_cfg=stages, **options
    )
    return model


def _described(options: Mapping[str, Any]) -> tuple[Space[Any], ModelOptions]:
    """Space and model options, as `tvtfast.build` reads them."""
    given = {
        field.name: options[field.name] for field in fields(ModelOptions) if field.name in options
    }
    if given.get("num_classes") == 0:
        del given["num_classes"]
    _, space, known = described(options.get("arch"), options.get("space"), given)
    return get_space(space), ModelOptions.of(**known)


def _build(global_pool: str | None = None, **options: Any) -> CandidateModel:
    """A candidate; timm's name for ``pool`` is known."""
    if global_pool:
        options["pool"] = global_pool
    model = build(**options)
    if global_pool == "":
        model.global_pool = global_pool
    return model


def _build_stages(**options: Any) -> CandidateModel:
    model = _build(**options)
    if not hasattr(model, "feature_info"):
        raise ValueError(
            f"{type(model).__name__} does not describe its features (feature_info); read its "
            "blocks with forward_intermediates"
        )
    return model


register_model(tvtfast_student)
