"""Students that timm builds: a name, and the arguments that fit it to the images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.spaces import default_patch_size

_SMALL_IMAGE = 112
"""Below, the patches of a columnar ViT are fitted to the images; it is made for 224 pixels."""
_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")


@dataclass(frozen=True)
class TimmNetwork:
    """How timm builds a network.

    Args:
        name: What ``timm.create_model`` knows it by.
        num_classes: Width of the classifier.
        arguments: What it takes besides, such as ``img_size`` and ``patch_size``.
    """

    name: str
    num_classes: int
    arguments: Mapping[str, Any]

    def build(self, seed: int = 0) -> nn.Module:
        """The network with the initial weights that timm draws, the same for equal seeds; the
        random state of the caller stays as it is."""
        ensure_torchvision()
        import timm

        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed seeds every GPU too
            module: nn.Module = timm.create_model(
                self.name, num_classes=self.num_classes, **self.arguments
            )
        return module.eval()


def fitted(
    name: str,
    *,
    num_classes: int,
    side: int,
    patch_size: int | None = None,
    drop_path_rate: float | None = None,
) -> TimmNetwork:
    """A network of timm for square images of a size.

    What it does not take is left out, unless it was asked for: a ConvNet serves every size as it
    is. The patches of a ViT whose blocks all have one grid are those of its name, or those that
    suit the images (`tvtfast.spaces.default_patch_size`) where these are smaller than 112 pixels or
    its own patches do not cover them.

    Args:
        name: A name that timm knows.
        num_classes: Width of the classifier.
        side: Of the images, in pixels.
        patch_size: Side of a patch; default as said above.
        drop_path_rate: Stochastic depth rate of the last block; default that of the model.

    Raises:
        ValueError: timm cannot build it so, or its patches would leave pixels out; the message says
            which sizes were given.
    """
    asked = {"patch_size": patch_size, "drop_path_rate": drop_path_rate}
    given = {key: value for key, value in asked.items() if value is not None}
    network, module = _taken(
        TimmNetwork(name, num_classes, {"img_size": side, **given}), side, given
    )
    own = _own_patch(module)
    if patch_size is None and own is not None and (side < _SMALL_IMAGE or side % own):
        arguments = {**network.arguments, "patch_size": default_patch_size(side)}
        network, module = _taken(TimmNetwork(name, num_classes, arguments), side, given)
    _check_covered(name, module, side)
    with _refusing(network, side), torch.no_grad():
        module(torch.zeros(1, 3, side, side))
    return network


def _taken(
    network: TimmNetwork, side: int, asked: Mapping[str, Any]
) -> tuple[TimmNetwork, nn.Module]:
    """The same without the arguments that the model does not take, and what timm builds of it."""
    while True:
        try:
            with _refusing(network, side):
                return network, network.build()
        except TypeError as error:
            found = _UNEXPECTED.search(str(error))
            unknown = "" if found is None else found[1]
            if unknown in asked:
                raise ValueError(
                    f"{unknown} is {asked[unknown]!r}, and timm's {network.name} takes none; leave "
                    "it out"
                ) from error
            if unknown not in network.arguments:
                raise
            left = {key: value for key, value in network.arguments.items() if key != unknown}
            network = replace(network, arguments=left)


@contextmanager
def _refusing(network: TimmNetwork, side: int) -> Iterator[None]:
    """Name the sizes that timm stumbles over."""
    try:
        yield
    except (AssertionError, RuntimeError, ValueError, ZeroDivisionError) as error:
        sizes = ", ".join(
            f"{key}={value}" for key, value in {"img_size": side, **network.arguments}.items()
        )
        raise ValueError(
            f"timm's {network.name} does not work with {sizes} "
            f"({str(error) or type(error).__name__}); give another img_size or patch_size"
        ) from error


def _own_patch(module: nn.Module) -> int | None:
    """Side of the square patches of a ViT whose blocks all have one grid."""
    blocks = getattr(module, "feature_info", None) or ()
    columnar = len({block.get("reduction") for block in blocks if isinstance(block, dict)}) == 1
    sides = getattr(getattr(module, "patch_embed", None), "patch_size", None)
    if not columnar or not isinstance(sides, tuple) or len(set(sides)) != 1:
        return None
    return int(sides[0])


def _check_covered(name: str, module: nn.Module, side: int) -> None:
    """Refuse an embedding convolution that leaves pixels out, which timm would not mention."""
    config: Any = getattr(module, "pretrained_cfg", None) or {}
    layer = config.get("first_conv")
    embedding = module.get_submodule(layer) if isinstance(layer, str) else None
    if not isinstance(embedding, nn.Conv2d) or any(map(bool, embedding.padding)):
        return
    kernel, stride = embedding.kernel_size[0], embedding.stride[0]
    if side < kernel or (side - kernel) % stride:
        raise ValueError(
            f"img_size is {side}, and the patches of timm's {name} ({kernel} pixels, every "
            f"{stride}) leave pixels out; give another img_size or patch_size"
        )
