"""Weights of a model of tvtfast, as another code base loads them."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

import torch
from torch import Tensor

from tvtfast.models.blocks import LAYER_NORM_EPS
from tvtfast.models.builder import blank
from tvtfast.models.candidate import CandidateModel
from tvtfast.models.renames import OWN, RenameMap, maps_of
from tvtfast.spaces import Space
from tvtfast.spaces.autoformer import ORIGINAL_HEAD_DIM, AutoFormerArch, AutoFormerSpace

_log = logging.getLogger(__name__)


def rename_weights(module: CandidateModel, host: str, *, space: Space[Any]) -> dict[str, Tensor]:
    """The state dict of a model under the names of a code base, for it to load.

    AutoFormer and TF_TAS load subnets into their supernet, so theirs is that of the supernet of the
    space: its entries that the subnet does not take are 0. Blocks of ViTAS are numbered without
    gaps: identities come last in its genotype.

    Args:
        module: A candidate.
        host: One of `tvtfast.models.RENAME_MAPS`.
        space: Its space.

    Returns:
        Copies on the CPU.

    Raises:
        ValueError: An unknown host, or one that has no model that computes the same.
    """
    kind = type(module).__name__
    weights = {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
    if host == OWN:
        return weights
    maps = [one for one in maps_of(host) if one.model == kind and not one.unknown_here(weights)]
    maps = [one for one in maps if not one.interleaved_qkv or _relative(space)]
    if not maps:
        raise ValueError(
            f"{host!r} has no names for this {kind} of space {space.name!r}; it has those of "
            f"{', '.join(dict.fromkeys(one.model for one in maps_of(host)))} in another form"
        )
    _check_form(module, maps[0], space)
    if maps[0].interleaved_qkv:
        assert isinstance(space, AutoFormerSpace)
        weights = _padded(module, weights, space)
    return {name: tensor.contiguous() for name, tensor in maps[0].to_theirs(weights).items()}


def _relative(space: Space[Any]) -> bool:
    return isinstance(space, AutoFormerSpace) and space.relative_position


def _check_form(module: CandidateModel, rename: RenameMap, space: Space[Any]) -> None:
    """Refuse a model whose logits would be others there."""
    options = module.options
    forms = {"pool": space.pool_of(options), "softmax_scale": options.softmax_scale}
    for name, wanted in rename.options.items():
        if name in forms and forms[name] != wanted:
            raise ValueError(
                f"the model has {name}={forms[name]!r}, and those of {rename.host!r} compute what "
                f"one with {name}={wanted!r} does; build and train it with that"
            )
    own = LAYER_NORM_EPS if options.norm_eps is None else options.norm_eps
    there = float(rename.options.get("norm_eps", LAYER_NORM_EPS))
    if own != there:
        _log.warning(
            "norms of the model add %g to the variance and those of %s add %g: logits differ a "
            "little; build and train it with norm_eps=%g for equal ones",
            own,
            rename.host,
            there,
            there,
        )


def _padded(
    module: CandidateModel, weights: Mapping[str, Tensor], space: AutoFormerSpace
) -> dict[str, Tensor]:
    """Weights of a subnet as the first entries of those of the supernet, the others 0."""
    arch = cast(AutoFormerArch, module.arch)
    widest = max(arch.hidden_dim, *space.hidden_dims)
    heads = max(*arch.num_heads, *space.head_counts, math.ceil(widest / ORIGINAL_HEAD_DIM))
    depth = max(arch.depth, *space.depths)
    ratio = max(*arch.mlp_ratio, *space.mlp_ratios)
    supernet = AutoFormerArch(ORIGINAL_HEAD_DIM * heads, depth, (ratio,) * depth, (heads,) * depth)
    shapes = blank(supernet, space=space, **asdict(module.options)).state_dict()
    padded = {}
    for name, shape in shapes.items():
        padded[name] = target = torch.zeros(shape.shape, dtype=shape.dtype)
        if name not in weights:
            continue
        given = weights[name]
        if name.endswith(".qkv.weight"):
            target, given = (x.unflatten(0, (3, -1)) for x in (target, given))
        target[tuple(map(slice, given.shape))] = given
    return padded
