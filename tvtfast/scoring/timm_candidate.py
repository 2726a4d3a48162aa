"""Candidates by a name of timm: built when a proxy needs them, with weights that timm draws."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

import torch
from torch import Tensor, nn

from tvtfast.common.names import did_you_mean
from tvtfast.initialization import Draw
from tvtfast.models import FeatureFn, count_flops
from tvtfast.models.named import is_timm, timm_names
from tvtfast.models.timm_network import TimmNetwork, fitted
from tvtfast.scoring.cells import canonical
from tvtfast.spaces import ModelOptions

_OPTIONS = ("num_classes", "img_size", "patch_size", "drop_path_rate")


@dataclass(frozen=True)
class TimmCandidate:
    """A network that timm knows by name, untrained.

    Args:
        source: The name.
        network: How timm builds it.
        options: Image size and classes.
        feature_fn: How to read its features; ``None`` for its own interface.
    """

    source: str
    network: TimmNetwork
    options: ModelOptions
    feature_fn: FeatureFn | None

    @property
    def label(self) -> str:
        return self.source

    @cached_property
    def identity(self) -> str | None:
        if self.feature_fn is not None:
            return None
        network = self.network
        drawn_by = {name: version(name) for name in ("timm", "torch")}
        described = {"name": network.name, "arguments": dict(network.arguments), **drawn_by}
        return canonical({"options": self.options.identity, "timm": described})

    def params(self) -> int:
        return sum(parameter.numel() for parameter in self.network.build().parameters())

    def flops(self, images: Tensor | None) -> int:
        shown = torch.zeros(1, 3, *self.options.img_size) if images is None else images[:1].cpu()
        return count_flops(self.network.build(), shown.float())

    def module(self, seed: int, device: torch.device, draw: Draw | None = None) -> nn.Module:
        return self.network.build(seed).to(device)


def timm_candidate(
    name: str, options: ModelOptions, stated: Collection[str], feature_fn: FeatureFn | None
) -> TimmCandidate:
    """The candidate of a name, checked against the images.

    Args:
        name: A name of timm.
        options: Image size and classes.
        stated: Names of the options that the caller stated; a patch size or rate of stochastic
            depth that nobody stated is the network's own, or suits the images
            (`tvtfast.models.timm_network.fitted`).
        feature_fn: How to read its features.

    Raises:
        ValueError: timm has no such name, the name has the tag of trained weights, or timm cannot
            build the network for the images or with the options.
    """
    head, tag, _ = name.partition(".")
    if not is_timm(name):
        raise ValueError(
            f"{name!r} is no model of timm{did_you_mean(head, timm_names())}; an architecture "
            "needs its space: space=..."
        )
    if tag:
        raise ValueError(
            f"{name!r} names trained weights, and candidates are untrained; give {head!r}, or the "
            "module that timm.create_model builds"
        )
    foreign = sorted(set(stated) - set(_OPTIONS))
    if foreign:
        raise ValueError(
            f"{', '.join(foreign)} cannot be set for a model of timm ({name}); it takes "
            f"{', '.join(_OPTIONS)}"
        )
    height, width = options.img_size
    if height != width:
        raise ValueError(
            f"images are {height} x {width} pixels, and {name} is built for square ones; give the "
            "module that timm.create_model builds for them"
        )
    network = fitted(
        name,
        num_classes=options.num_classes,
        side=height,
        patch_size=options.patch_size if "patch_size" in stated else None,
        drop_path_rate=options.drop_path_rate if "drop_path_rate" in stated else None,
    )
    return TimmCandidate(name, network, options, feature_fn)
