"""Weights of one network that candidates inherit: each takes the first channels of every layer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from tvtfast.common.hashing import fingerprint
from tvtfast.initialization import ParameterInit, initialize_
from tvtfast.models.builder import blank, described, with_memory
from tvtfast.models.candidate import CandidateModel
from tvtfast.models.checkpoint import CheckpointError, load_weights
from tvtfast.models.renames import OWN, RENAME_MAPS, RenameMap, maps_of, read_names
from tvtfast.models.student import CARD, load_student
from tvtfast.spaces import Space
from tvtfast.spaces import get as get_space
from tvtfast.spaces.autoformer import RELATIVE_TABLES

WeightSource: TypeAlias = Mapping[str, Tensor] | nn.Module | str | os.PathLike[str]
"""State dict, module, checkpoint or student folder."""

_STEMS = ("patch_embed.", "patch_embeds.0.")
_OF_THE_SIZE = ("img_size", "drop_path_rate")
"""Options of a student that its weights do not fix, or that scores have of their own."""


class InheritedWeights:
    """The weights of a trained supernet, or of any network as large as the largest candidate, for
    candidates to inherit.

    A candidate takes the first rows and columns of every weight, of the first blocks; of q, k and v
    each by itself, as AutoFormer does (weight entanglement). Images, patches, prefix tokens and
    classes have to be those of the network. It is what ``weights=`` takes in
    `tvtfast.population.Population`, `tvtfast.score`, `tvtfast.Scorer`, `tvtfast.search` and
    `tvtfast.build`, which also take its sources.

    Args:
        source: A state dict, a module, a checkpoint (``.safetensors``, or what `torch.save` wrote,
            read as data), or a student folder.
        rename: Whose names the parameters have: ``autoformer``, ``tf-tas``, ``auto-prox``,
            ``timm``, ``vitas``, ``tvtfast``, or a `tvtfast.models.RenameMap` of your own. Default:
            found out.

    Attributes:
        rename: The map that was taken.
        options: Fields of `tvtfast.spaces.ModelOptions` that the weights fix, such as
            ``num_classes``.
        fingerprint: Hash of names and weights; scores are stored under it.

    Raises:
        FileNotFoundError: No such file.
        CheckpointError: It is damaged, or names are of no known map.
        ValueError: An unknown map, names that two hosts have, or a supernet of a form that no model
            has here.
    """

    def __init__(self, source: WeightSource, rename: str | RenameMap | None = None) -> None:
        self._what, module, weights = _read(source)
        own = isinstance(module, CandidateModel)
        timm = module is not None and type(module).__module__.startswith("timm.")
        if rename is None and (own or timm):
            rename = OWN if own else "timm"
        self.rename, named = _named(weights, rename, self._what)
        self.weights = {
            name: tensor.detach() for name, tensor in self.rename.to_ours(named).items()
        }
        self.options = dict(self.rename.options) | self._fixed()
        if isinstance(module, CandidateModel):
            options = asdict(module.options)
            self.options = {n: v for n, v in options.items() if n not in _OF_THE_SIZE}
        elif module is not None and self.rename.form is not None:
            self.options |= self.rename.form(module)
        names = sorted(self.weights)
        digest = hashlib.sha256("\n".join((str(self.rename.interleaved_qkv), *names)).encode())
        digest.update(fingerprint(*(self.weights[name] for name in names)).encode())
        self.fingerprint = digest.hexdigest()

    def __repr__(self) -> str:
        return f"InheritedWeights({self._what}, rename={self.rename.host!r})"

    def __call__(self, parameter: Tensor, name: str, seed: int, init: ParameterInit) -> None:
        """Copy a slice into a parameter; in place of `tvtfast.initialization.draw_`."""
        with torch.no_grad():
            parameter.copy_(self.take(name, parameter.shape, init.groups))

    def take(self, name: str, shape: Sequence[int], groups: int = 1) -> Tensor:
        """The slice of a parameter, as a view where one can be.

        Args:
            name: Of the parameter.
            shape: Of the slice.
            groups: The first dimension is cut in each of so many equal parts by itself.

        Raises:
            ValueError: The weights have no such parameter, or a smaller one, or one that differs
                where candidates are not cut.
        """
        self.check(name, shape, groups)
        stored = self.weights[name]
        if groups == 1 or not self.nests(name):
            return stored[tuple(slice(size) for size in shape)]
        cut = (slice(None), slice(shape[0] // groups), *map(slice, shape[1:]))
        return stored.unflatten(0, (groups, -1))[cut].flatten(0, 1)

    def nests(self, name: str) -> bool:
        """Whether the groups of a parameter are cut each by itself: not a qkv bias of AutoFormer,
        of which a candidate takes the first entries."""
        return not (self.rename.interleaved_qkv and name.endswith(".qkv.bias"))

    def check(self, name: str, shape: Sequence[int], groups: int = 1) -> None:
        """Refuse a slice that there is none of, as `take` does."""
        if name not in self.weights:
            raise ValueError(
                f"{self._what} hold no {name}, and a candidate has it; a candidate can be no "
                "deeper than the network whose weights it inherits, and has its class and "
                "distillation tokens: give the weights of another network, or other candidates"
            )
        stored = tuple(self.weights[name].shape)
        cut = _cut_dimensions(name, len(stored))
        fits = len(stored) == len(shape) and not (stored and stored[0] % groups)
        for dimension, (there, wanted) in enumerate(zip(stored, shape, strict=False)):
            fits &= wanted <= there if dimension in cut else wanted == there
        if not fits:
            raise ValueError(
                f"{name} is {list(stored)} in {self._what}, and a candidate needs {list(shape)}; "
                "candidates can be narrower than the network whose weights they inherit and not "
                "wider, and have its images, patches, prefix tokens and classes: give img_size, "
                "patch_size, distilled and num_classes of the network, or other candidates"
            )

    def check_space(self, space: Space[Any]) -> None:
        """Refuse a space whose models compute something else than the network of the weights.

        Raises:
            ValueError: It is AutoFormer's supernet, and another space.
        """
        if self.rename.interleaved_qkv and not getattr(space, "relative_position", False):
            raise ValueError(
                f"{self._what} are those of AutoFormer's supernet, whose heads have 64 channels "
                f"each, and heads of {space.name!r} split the width; take a space with "
                "relative_position=True: autoformer-original-tiny, -small or -base, or your own"
            )

    def with_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Model options of a caller, and what the weights fix beside them."""
        return self.options | dict(given)

    def _fixed(self) -> dict[str, Any]:
        """What shapes say of the options."""
        fixed: dict[str, Any] = {"distilled": "head_dist.weight" in self.weights}
        if "head.weight" in self.weights:
            fixed["num_classes"] = len(self.weights["head.weight"])
        patches = self.weights.get("patch_embed.proj.weight")
        if patches is not None and self.rename.model in ("AutoFormer", "PiT"):
            fixed |= {"patch_size": patches.shape[-1], "in_chans": patches.shape[1]}
        return fixed


def refuse_supernet(module: nn.Module, what: str) -> None:
    """Refuse a module that holds many candidates in the place of one.

    Args:
        module: What was given as one candidate.
        what: What to call it.

    Raises:
        ValueError: It has AutoFormer's ``set_sample_config`` or ``sample_...`` attributes; its
            parameters are those of all its subnets together.
    """
    if not callable(getattr(module, "set_sample_config", None)) and not any(
        name.startswith("sample_") for name in vars(module)
    ):
        return
    raise ValueError(
        f"{what} is the supernet {type(module).__name__}, and its parameters are those of all its "
        "subnets together; score architectures instead, such as those of autoformer-original-tiny, "
        "and give the module as weights=: each inherits its slices"
    )


def as_inherited(source: WeightSource | InheritedWeights) -> InheritedWeights:
    """What a ``weights`` argument stands for."""
    return source if isinstance(source, InheritedWeights) else InheritedWeights(source)


def inherit(
    arch: Any | Mapping[str, Any] | str,
    weights: WeightSource | InheritedWeights,
    *,
    space: str | Space[Any] | None = None,
    device: torch.device | str | None = None,
    **options: Any,
) -> CandidateModel:
    """Build one candidate with the weights that it inherits, see `InheritedWeights`.

    Args:
        arch: As in `tvtfast.build`.
        weights: The weights, or their source.
        space: As in `tvtfast.build`.
        device: Where the parameters live; default CPU.
        **options: Fields of `tvtfast.spaces.ModelOptions`; default what the weights fix, and what
            is published.

    Returns:
        The module, fp32, in evaluation mode.

    Raises:
        ValueError: The weights have no slice for a parameter, or as in `tvtfast.build`.
    """
    source = as_inherited(weights)
    arch, space, resolved = described(arch, space, source.options | options)
    source.check_space(get_space(space))
    model = with_memory(blank(arch, space=space, **resolved), device or "cpu")
    return initialize_(model, draw=source).eval()


def _read(source: Any) -> tuple[str, nn.Module | None, Mapping[str, Tensor]]:
    """What to call the source, the module that it is or describes, its weights."""
    if isinstance(source, nn.Module):
        return f"the weights of {type(source).__name__}", source, source.state_dict()
    if isinstance(source, Mapping):
        wrong = [str(n) for n, value in source.items() if not isinstance(value, Tensor)]
        if wrong or not source:
            raise ValueError(
                f"weights is a mapping with {', '.join(wrong[:3]) or 'nothing in it'}; give a "
                "state dict: names and tensors"
            )
        return "the weights", None, source
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"weights is a {type(source).__name__}; give a state dict, a module, the path of a "
            "checkpoint or of a student folder, or an InheritedWeights"
        )
    path = Path(source)
    if (path / CARD).is_file():
        module = load_student(path).module
        return f"the weights in {path}", module, module.state_dict()
    if path.is_dir():
        raise ValueError(
            f"{path} is a folder without {CARD}; give a student folder or a checkpoint, or of a "
            "superformer what tvtfast.supernet.superformer_weights makes of its folder"
        )
    return f"the weights in {path}", None, load_weights(path)


def _named(
    weights: Mapping[str, Tensor], rename: str | RenameMap | None, what: str
) -> tuple[RenameMap, Mapping[str, Tensor]]:
    """The map of the names, and the weights without the prefixes of training tools."""
    if rename == OWN:
        return maps_of(OWN)[0], weights
    if rename is not None:
        maps = (rename,) if isinstance(rename, RenameMap) else maps_of(rename)
        found = read_names(weights, maps)
        if found is None:
            least = min((one.unknown(weights) for one in maps), key=len)
            raise CheckpointError(
                f"{what} hold {least[0]}, which the rename map {maps[0].host!r} does not have; "
                f"give another: {', '.join((*RENAME_MAPS, OWN))}, or a RenameMap of your own"
            )
        return found
    hosts = {host: found for host in RENAME_MAPS if (found := read_names(weights, maps_of(host)))}
    distinct = {(one.pairs, one.joined_tokens): one for one, _ in hosts.values()}
    if not hosts:
        raise CheckpointError(
            f"{what} have names of none of {', '.join(RENAME_MAPS)} (such as "
            f"{next(iter(weights))}); give InheritedWeights(..., rename=) a RenameMap of your own, "
            "or 'tvtfast' for its own names, on the command line --rename tvtfast"
        )
    if len(distinct) > 1 or "timm" in hosts and hosts["timm"][0].model == "AutoFormer":
        raise ValueError(
            f"{what} have names that are those of {', '.join((*hosts, OWN))}; say whose they are: "
            f"InheritedWeights(..., rename={next(iter(hosts))!r}), or on the command line --rename "
            f"{next(iter(hosts))}"
        )
    return next(iter(hosts.values()))


def _cut_dimensions(name: str, dimensions: int) -> set[int]:
    """Dimensions in which a candidate may be narrower."""
    last = name.rpartition(".")[2]
    if name.startswith(("head.", "head_dist.")):
        return {1}
    if last in RELATIVE_TABLES:
        return set()
    if last == "pos_embed":
        return {2} if dimensions == 3 else {1}
    if last in ("cls_token", "dist_token"):
        return {2}
    return {0} if dimensions == 4 and name.startswith(_STEMS) else set(range(dimensions))
