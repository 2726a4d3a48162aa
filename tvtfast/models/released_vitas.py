"""Checkpoints of retrained ViTAS models, as its released code writes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tvtfast.models.builder import blank
from tvtfast.models.candidate import CandidateModel
from tvtfast.models.checkpoint import CheckpointError, load_weights
from tvtfast.models.fitting import fit
from tvtfast.models.renames import maps_of
from tvtfast.spaces import Space

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
    (rename,) = maps_of("vitas")
    bare = {name.removeprefix("module."): tensor for name, tensor in weights.items()}
    if foreign := rename.unknown(bare):
        raise CheckpointError(
            f"{path} holds {foreign[0]}, which no model has that the released code of ViTAS "
            "retrained; give the checkpoint of a retraining, not of a supernet or of another model"
        )
    return rename.to_ours(bare)
