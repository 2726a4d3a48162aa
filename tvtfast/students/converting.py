"""Trained weights from one code base to another."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, overload

import safetensors.torch
import torch
from torch import Tensor

from tvtfast.common.files import check_file, check_folder, write_durably
from tvtfast.common.names import unknown
from tvtfast.common.normalization import IMAGENET_NORMALIZATION, Normalization
from tvtfast.models import (
    RENAME_MAPS,
    CandidateModel,
    CheckpointError,
    InheritedWeights,
    RenameMap,
    Student,
    StudentCard,
    WeightSource,
    inherit,
    load_student,
    rename_weights,
    save_student,
)
from tvtfast.spaces import Space, reference, references
from tvtfast.spaces import get as get_space

OWN = "tvtfast"
_UNKNOWN = "unknown"


@overload
def convert(
    source: Student | WeightSource,
    output: str | os.PathLike[str] | None = None,
    *,
    to: Literal["tvtfast"] = "tvtfast",
    arch: Any = None,
    space: str | Space[Any] | None = None,
    rename: str | RenameMap | None = None,
    normalization: Normalization = IMAGENET_NORMALIZATION,
    **options: Any,
) -> Student: ...


@overload
def convert(
    source: Student | WeightSource,
    output: str | os.PathLike[str] | None = None,
    *,
    to: str,
    arch: Any = None,
    space: str | Space[Any] | None = None,
    rename: str | RenameMap | None = None,
    normalization: Normalization = IMAGENET_NORMALIZATION,
    **options: Any,
) -> Student | dict[str, Tensor]: ...


def convert(
    source: Student | WeightSource,
    output: str | os.PathLike[str] | None = None,
    *,
    to: str = OWN,
    arch: Any = None,
    space: str | Space[Any] | None = None,
    rename: str | RenameMap | None = None,
    normalization: Normalization = IMAGENET_NORMALIZATION,
    **options: Any,
) -> Student | dict[str, Tensor]:
    """Make a student of a checkpoint of another code base, or the other way round.

    Equal images give equal logits on both sides, up to the rounding of matrix products.

    Args:
        source: A student (`tvtfast.models.Student` or its folder), or weights of another code base:
            a checkpoint, a state dict, a module.
        output: Where to write: a student folder, or for another code base a file that ends in
            ``.safetensors`` or ``.pth``. Default: nowhere.
        to: ``tvtfast``, or one of `tvtfast.models.RENAME_MAPS`: ``autoformer`` (Cream), ``tf-tas``,
            ``auto-prox`` (pycls), ``timm``, ``vitas``.
        arch: What the weights are of, in any encoding of ``space``, or the name of a published
            model; of a student its own.
        space: The space of ``arch``.
        rename: Whose names the weights have, see `tvtfast.models.InheritedWeights`.
        normalization: What inputs of the weights are normalised with; a student's own is known.
        **options: Fields of `tvtfast.spaces.ModelOptions` that weights do not tell, such as
            ``img_size``.

    Returns:
        The student, or the state dict for the other code base.

    Raises:
        CheckpointError: The weights are damaged, or those of another architecture.
        ValueError: An unknown code base, no architecture, or a form of model that the other code
            base does not have.
        OutputError: ``output`` cannot be written; said before anything is computed.
    """
    if to not in (*RENAME_MAPS, OWN):
        raise ValueError(unknown("code base", to, (*RENAME_MAPS, OWN)))
    target = None if output is None else _check_output(output, to)
    student = _as_student(source, arch, space, rename, normalization, options)
    if to == OWN:
        if target is not None:
            save_student(target, student.module, student.card)
        return student
    module, card = student.module, student.card
    if not isinstance(module, CandidateModel) or card.space is None:
        raise ValueError(
            f"the student is a {type(module).__name__}, which is no candidate of a space; its "
            "weights have the names of its own code base already"
        )
    weights = rename_weights(module, to, space=get_space(card.space))
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_durably(target, lambda path: _write(weights, path, target.suffix))
    return weights


def _check_output(output: str | os.PathLike[str], to: str) -> Path:
    target = Path(output)
    if to == OWN:
        check_folder("output", target)
    elif target.suffix not in (".safetensors", ".pth"):
        raise ValueError(
            f"output is {os.fspath(output)!r}; weights for {to!r} are written to a file that ends "
            "in .safetensors or .pth"
        )
    else:
        check_file("output", target)
    return target


def _write(weights: Mapping[str, Tensor], path: Path, suffix: str) -> None:
    if suffix == ".pth":
        torch.save({"model": dict(weights)}, path)
    else:
        safetensors.torch.save_file(dict(weights), path)


def _as_student(
    source: Student | WeightSource,
    arch: Any,
    space: str | Space[Any] | None,
    rename: str | RenameMap | None,
    normalization: Normalization,
    options: Mapping[str, Any],
) -> Student:
    if isinstance(source, Student):
        return source
    if isinstance(source, (str, os.PathLike)) and Path(source).is_dir():
        return load_student(source)
    if arch is None:
        raise ValueError(
            "weights do not tell the number of heads; give their architecture: arch=... and "
            "space=..., or the name of a published model"
        )
    weights = InheritedWeights(source, rename)
    if space is None and isinstance(arch, str) and arch in references():
        space = reference(arch).space
        options = {**asdict(reference(arch).options), **weights.options, **options}
        arch = reference(arch).arch
    if space is None:
        raise ValueError(
            "name the space of the architecture: space='autoformer-tiny', or on the command line "
            "--space autoformer-tiny"
        )
    known = get_space(space)
    module = inherit(arch, weights, space=known, **options)
    _refuse_rest(module, weights)
    card = StudentCard(
        space=known.name,
        arch=known.to_dict(known.decode(arch)),
        model_options=asdict(module.options),
        normalization=normalization,
        classes=None,
        dataset=_UNKNOWN,
        accuracy=None,
        recipe={"converted_from": weights.rename.host, "weights": weights.fingerprint},
    )
    return Student(module, card)


def _refuse_rest(module: CandidateModel, weights: InheritedWeights) -> None:
    """Refuse weights of a larger network, unless it is a supernet, whose subnets are slices."""
    if weights.rename.interleaved_qkv:
        return
    taken = module.state_dict()
    for name, tensor in weights.weights.items():
        if name not in taken or taken[name].shape != tensor.shape:
            has = list(taken[name].shape) if name in taken else "no such parameter"
            raise CheckpointError(
                f"the weights hold {name} {list(tensor.shape)}, and the architecture has {has}; "
                "give the architecture that was trained"
            )
