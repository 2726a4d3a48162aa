"""Checkpoints of retrained ViTAS models, as its released code writes them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tvtfast.models.builder import blank
from tvtfast.models.candidate import CandidateModel
from tvtfast.models.checkpoint import CheckpointError, load_weights
from tvtfast.models.fitting import fit
from tvtfast.spaces import Space

_NAMES = (
    (r"backbone_init_stem_Patch_init_0\.0\.(cls_token|pos_embed|patch_embed\.proj\.\w+)", r"\1"),
    (
        r"backbone_Block_Block_(\d+)\.0\.((?:norm[12]|attn\.(?:qkv|proj)|mlp\.fc[12])\.\w+)",
        r"blocks.\1.\2",
    ),
    (r"backbone_Norm_Norm_0\.0\.(\w+)", r"norm.\1"),
    (r"backbone_FC_FC_0\.0\.module\.0\.(\w+)", r"head.\1"),
)
"""Names there, after ``net.``, and here; blocks are numbered by slot there."""
_ADVICE = (
    "give the genotype that was retrained (net_id in its configuration) and the size of its images"
)


def load_released_vitas(
    path: str | os.PathLike[str],
    arch: Any,
    *,
    space: str | Space[Any] = "vitas-deit",
    device: torch.device | str | None = None,
    **options: Any,
) -> CandidateModel:
    """A model that the released code of ViTAS retrained, computing what it computes there.

    Its softmax is scaled as there (``softmax_scale="released"``). Files are read as data, see
    `tvtfast.models.checkpoint.load_weights`. Images are normalised with the mean and deviation of
    ImageNet.

    Args:
        path: The checkpoint, such as ``epoch_299_ckpt.pth.tar``.
        arch: What was retrained: the published genotype, or any other encoding.
        space: The space of the genotype: ``vitas-deit``, ``vitas-deit-cell``, or
            ``vitas-deit-large`` for the 4.9G model.
        device: Where it runs; default CPU.
        **options: Fields of `tvtfast.spaces.ModelOptions` beside ``num_classes``, which is that of
            the weights; such as ``img_size``, default 224.

    Returns:
        The module in evaluation mode, fp32.

    Raises:
        FileNotFoundError: No such file.
        CheckpointError: It is damaged, it holds something else, such as a supernet, or the weights
            are those of another genotype.
        ValueError: No architecture of the space.
    """
    path = Path(path)
    weights = _renamed(load_weights(path), path)
    classes = len(weights["head.weight"]) if "head.weight" in weights else 1
    given = {"num_classes": classes, "softmax_scale": "released", **options}
    model = blank(arch, space=space, **given).to_empty(device=device or "cpu")
    fit(model, weights, path, advice=_ADVICE)
    return model.eval()


def _renamed(weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The weights under our names; active blocks are numbered one after another."""
    found = {_ours(name, path): tensor for name, tensor in weights.items()}
    slots = sorted({int(name.split(".")[1]) for name in found if name.startswith("blocks.")})
    places = {f"blocks.{slot}.": f"blocks.{place}." for place, slot in enumerate(slots)}
    return {_placed(name, places): tensor for name, tensor in found.items()}


def _placed(name: str, places: Mapping[str, str]) -> str:
    head = ".".join(name.split(".")[:2]) + "."
    return places[head] + name.removeprefix(head) if head in places else name


def _ours(name: str, path: Path) -> str:
    bare = name.removeprefix("module.").removeprefix("net.")
    for theirs, ours in _NAMES:
        if found := re.fullmatch(theirs, bare):
            return found.expand(ours)
    raise CheckpointError(
        f"{path} holds {name}, which no model has that the released code of ViTAS retrained; give "
        "the checkpoint of a retraining, not of a supernet or of another model"
    )
